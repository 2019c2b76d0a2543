"""Answers of processes that the operator does not answer for, read up to a limit.

A cascade's author chooses the image of its pods and the URL of its Prometheus; none of them may
fill the memory of an operator that looks after everybody else's cascades, too.
"""

import aiohttp

CHUNK = 64 * 1024
HEADERS = {"Accept-Encoding": "identity"}
"""Together with `auto_decompress=False`: a few bytes unpack to gigabytes."""


class TooLarge(ValueError):
    """The answer goes on beyond the limit."""


async def read(reply: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body of an answer as it was sent; TooLarge for more than `limit` bytes."""
    found = bytearray()
    while chunk := await reply.content.read(CHUNK):
        found += chunk
        if len(found) > limit:
            raise TooLarge(f"the answer is larger than {limit} bytes")
    return bytes(found)


async def read_start(reply: aiohttp.ClientResponse, limit: int) -> str:
    """Return at most the first `limit` bytes of an answer as text, for people."""
    found = bytearray()
    while len(found) < limit and (chunk := await reply.content.read(limit - len(found))):
        found += chunk
    return found.decode("utf-8", errors="replace")

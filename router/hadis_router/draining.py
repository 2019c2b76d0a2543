"""Leaving: what is inside is finished, but not for longer than its deadlines or a limit allow.

Every wait of a request ends at its deadline, so a drain does too. What a limit or a second signal
cuts short is told so in an answer of its own; nobody is left with a closed connection.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Protocol

log = logging.getLogger(__name__)

POLL_S = 0.05
SETTLING_S = 0.5
"""Added to the latest deadline: a request ends at it, and its answer is still to be written."""


class Leavable(Protocol):
    """A request that is inside."""

    @property
    def latest_s(self) -> float:
        """When it ends by itself at the latest."""

    def give_up(self) -> None:
        """End it now with an error."""


class OpenRequests:
    """The requests that are inside."""

    def __init__(self) -> None:
        self._inside: set[Leavable] = set()

    def __len__(self) -> int:
        return len(self._inside)

    def __iter__(self) -> Iterator[Leavable]:
        return iter(tuple(self._inside))

    def enter(self, request: Leavable) -> None:
        """Note that a request is inside."""
        self._inside.add(request)

    def leave(self, request: Leavable) -> None:
        """Note that a request has ended."""
        self._inside.discard(request)


async def drain(
    requests: OpenRequests,
    hurry: asyncio.Event,
    *,
    clock: Callable[[], float],
    most_s: float | None,
) -> None:
    """Wait until nothing is inside, at most `most_s`; `hurry` cuts the wait short.

    The caller has closed the door: only what is inside now is waited for.
    """
    now_s = clock()
    patience_s = max((request.latest_s for request in requests), default=now_s) - now_s
    patience_s = max(0.0, patience_s) + SETTLING_S
    if most_s is not None:
        patience_s = min(patience_s, most_s)
    if requests:
        log.info(
            "stopping: %d requests inside, at most %.1f s for them; a second signal cuts it short",
            len(requests),
            patience_s,
        )
    while requests and not hurry.is_set() and clock() < now_s + patience_s:
        await asyncio.sleep(POLL_S)
    if requests:
        log.warning("stopping: %d requests are given up", len(requests))
    for request in requests:
        request.give_up()

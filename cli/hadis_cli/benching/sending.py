"""One request to the images API, booked; and the open loop that sends a whole schedule."""

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace

import aiohttp

from hadis.errors import HadisError
from hadis_cli import endpoints
from hadis_cli.benching.arrivals import Arrival
from hadis_cli.benching.books import OUTCOME_OF_PATH, REFUSED, Entry, Tally

CONNECT_S = 10.0
PATIENCE_S = 30.0
"""How long past its deadline an answer is waited for, before it counts as none."""


class Sender:
    """Sends requests to one endpoint. `slo_s` is judged; it is sent along when `tell_slo`.

    `slo_s` may be set anew between requests where it is not sent along.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, slo_s: float, tell_slo: bool = True
    ) -> None:
        self._session = session
        self._url = f"{url}/v1/images/generations"
        self.slo_s = slo_s
        self._headers = {"Hadis-Deadline-Seconds": f"{slo_s:g}"} if tell_slo else {}

    async def send(self, entry: Entry, origin_s: float) -> None:
        """Send `entry` now and book how it ended; never raises for what the network does."""
        clock = asyncio.get_running_loop().time
        try:
            async with self._session.post(
                self._url,
                json={"prompt": entry.prompt, "seed": entry.seed},
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(
                    total=self.slo_s + PATIENCE_S, sock_connect=CONNECT_S
                ),
                trace_request_ctx=(entry, origin_s),
            ) as reply:
                body = await reply.read()
                entry.status = reply.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            entry.error = str(error) or type(error).__name__
        entry.done_s = clock() - origin_s
        if entry.status:
            _read(entry, body)


@contextlib.asynccontextmanager
async def open_session(api_key: str | None) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session without any limit on connections, which would close the loop."""
    _raise_file_limit()
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_note_sent)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        headers=endpoints.headers(api_key),
        trace_configs=[trace],
    ) as session:
        yield session


async def run_schedule(
    arrivals: Sequence[Arrival],
    sender: Sender,
    *,
    slo_s: float,
    on_progress: Callable[[Tally], None],
) -> list[Entry]:
    """Send every arrival at its time, wait for the answers, and return the books."""
    clock = asyncio.get_running_loop().time
    entries: list[Entry] = []
    tally = Tally()
    origin_s = clock()

    async def one(entry: Entry) -> None:
        await sender.send(entry, origin_s)
        tally.book(entry, slo_s)
        on_progress(tally)

    async with asyncio.TaskGroup() as group:
        for arrival in arrivals:
            wait_s = origin_s + arrival.at_s - clock()
            # A generator that is behind must still let its answers be read.
            await asyncio.sleep(max(0.0, wait_s))
            entry = Entry(arrival.at_s, arrival.prompt, arrival.seed)
            entries.append(entry)
            tally.sent += 1
            group.create_task(one(entry))
            on_progress(tally)
    return entries


async def fetch_examples(session: aiohttp.ClientSession, url: str) -> list[str]:
    """Return the example prompts of the endpoint's playground."""
    try:
        async with session.get(f"{url}/playground/examples") as reply:
            if reply.status != 200:
                raise HadisError(f"{url} offers no example prompts; give --prompts FILE")
            groups = (await reply.json())["groups"]
            prompts = [str(prompt) for group in groups for prompt in group["prompts"]]
    except (aiohttp.ClientError, TimeoutError) as error:
        raise endpoints.unreachable(url, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise HadisError(f"{url} offers no readable example prompts: {error!r}") from error
    if not prompts:
        raise HadisError(f"{url} offers no example prompts; give --prompts FILE")
    return prompts


async def fetch_slo_s(session: aiohttp.ClientSession, url: str) -> float | None:
    """Return the seconds that the endpoint's cascade allows a request; None without an answer."""
    timeout = aiohttp.ClientTimeout(total=CONNECT_S)
    try:
        async with session.get(f"{url}/v1/status", timeout=timeout) as reply:
            slo_s = float((await reply.json())["slo_s"])
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
        return None
    return slo_s if slo_s > 0 else None


async def _note_sent(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _parameters: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    if isinstance(context.trace_request_ctx, tuple):
        entry, origin_s = context.trace_request_ctx
        entry.sent_s = asyncio.get_running_loop().time() - origin_s


def _read(entry: Entry, body: bytes) -> None:
    if entry.status != 200:
        error = endpoints.error_of(body.decode("utf-8", "replace"))
        told = error.get("hadis") or {}
        entry.outcome = str(told.get("outcome") or REFUSED)
        entry.error = str(error.get("message") or f"status {entry.status}")
        return
    try:
        provenance = json.loads(body)["data"][0]["hadis"]
        entry.path, entry.model = str(provenance["path"]), str(provenance["model"])
        entry.outcome = str(provenance.get("outcome") or OUTCOME_OF_PATH[entry.path])  # type: ignore[index]
        entry.total_s = float(provenance["total_s"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        entry.status, entry.error = 0, f"unreadable answer: {error!r}"


def _raise_file_limit() -> None:
    """Allow as many open connections as the system lets this user have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

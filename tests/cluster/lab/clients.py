"""Clients that keep books: what was sent, when, and how each request ended.

The load runs in a thread with an event loop of its own, at even distances, so that a constant load
is constant. aiohttp costs a tenth of the official client's time, which matters beside two workers
on two cores; the official client has a test of its own.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from cluster.lab.waiting import until
from support.scenes_fleet import held_out_prompts

SLO_S = 10.0
PATIENCE_S = 40.0
"""Far beyond the deadline: a request that hangs is a loss, and shall be seen as one."""
LOOK_EVERY_S = 0.01
PROMPTS = 20
"""So few that they soon come round again: the hardness of a constant load is constant, too."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. `status` 0 is a connection that broke or never came about."""

    sent_s: float
    ended_s: float
    status: int
    outcome: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""
    """Why no image came."""

    @property
    def is_served(self) -> bool:
        """Whether an image came."""
        return self.status == 200

    @property
    def lost_s(self) -> float:
        """Time that it spent neither waiting in the queue nor being made where it was made."""
        told = self.provenance
        return float(told["total_s"] - told["queue_s"] - told["generate_s"]) if told else 0.0


class Load:
    """A load on one endpoint. `rate` may be changed while it runs."""

    def __init__(self, url: str, rate: float, slo_s: float = SLO_S) -> None:
        self.rate = rate
        self._slo_s = slo_s
        self._url = f"{url}/v1/images/generations"
        self._entries: list[Entry] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), daemon=True)

    @classmethod
    @contextmanager
    def on(cls, url: str, rate: float, slo_s: float = SLO_S) -> Iterator[Self]:
        """Load an endpoint for a while; at the end every request has ended."""
        load = cls(url, rate, slo_s)
        load._thread.start()
        try:
            yield load
        finally:
            load.stop()

    def stop(self) -> None:
        """Send nothing more, and wait for what is under way."""
        self._stopping.set()
        self._thread.join(PATIENCE_S + 10)

    @property
    def entries(self) -> list[Entry]:
        """The requests that have ended, in the order of their ends."""
        return list(self._entries)

    def lost(self, since_s: float = 0.0, until_s: float = float("inf")) -> list[Entry]:
        """Return the requests sent between two moments that ended without an image."""
        return [
            entry
            for entry in self.entries
            if not entry.is_served and since_s <= entry.sent_s <= until_s
        ]

    def served(self, since_s: float = 0.0) -> int:
        """Return how many requests sent after a moment got an image."""
        return sum(entry.is_served and entry.sent_s >= since_s for entry in self.entries)

    def wait_served(self, count: int, within_s: float = 60.0) -> None:
        """Wait until so many of the requests that are sent from now on got an image."""
        since_s = time.monotonic()
        until(f"{count} requests are served", lambda: self.served(since_s) >= count, within_s)

    def step(self, rate: float) -> float:
        """Change the rate; return when, on the monotonic clock."""
        self.rate = rate
        return time.monotonic()

    async def _send(self) -> None:
        prompts = itertools.cycle(held_out_prompts()[:PROMPTS])
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            last_s = time.monotonic()
            while not self._stopping.is_set():
                now_s = time.monotonic()
                if self.rate <= 0 or now_s < last_s + 1 / self.rate:
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                # Behind by less than a request: keep the distances even. Behind by more: do not
                # make up for it, or a stalled machine is followed by a burst.
                last_s = max(last_s + 1 / self.rate, now_s - 1 / self.rate)
                group.create_task(self._ask(session, next(prompts)))

    async def _ask(self, session: aiohttp.ClientSession, prompt: str) -> None:
        sent_s = time.monotonic()
        headers = {"Hadis-Deadline-Seconds": f"{self._slo_s:g}"}
        try:
            async with session.post(self._url, json={"prompt": prompt}, headers=headers) as reply:
                answer = await reply.json()
                status = reply.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._entries.append(Entry(sent_s, time.monotonic(), 0, "", said=repr(error)))
            return
        ended_s = time.monotonic()
        if status == 200:
            told = answer["data"][0]["hadis"]
            self._entries.append(Entry(sent_s, ended_s, status, str(told["outcome"]), told))
        else:
            error = answer.get("error") or {}
            outcome = str((error.get("hadis") or {}).get("outcome"))
            self._entries.append(
                Entry(sent_s, ended_s, status, outcome, said=str(error.get("message")))
            )

"""Open-loop load with the client's own books: what was sent, how it ended, and when."""

import asyncio
import collections
import random
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass(slots=True)
class Book:
    """How every request of a load ended."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    durations_s: list[float] = field(default_factory=list)
    late: int = 0

    @property
    def sent(self) -> int:
        """Requests that got an answer of any kind, or a transport error."""
        return sum(self.statuses.values())

    def share(self, *outcomes: str) -> float:
        """The fraction of all requests that ended in one of the outcomes."""
        return sum(self.outcomes[outcome] for outcome in outcomes) / max(1, self.sent)


async def offer(
    url: str,
    prompts: list[str],
    *,
    rate: float,
    duration_s: float,
    slo_s: float = 10.0,
    seed: int = 1,
    body: dict[str, Any] | None = None,
) -> Book:
    """Send Poisson arrivals at `rate` for `duration_s` and wait for all of them to end.

    A status of 0 in the book is a connection that broke.
    """
    draws = random.Random(seed)
    book = Book()
    timeout = aiohttp.ClientTimeout(total=slo_s * 3 + 10)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        began_s = time.monotonic()
        due_s = began_s
        while (due_s := due_s + draws.expovariate(rate)) < began_s + duration_s:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            asked = {"prompt": draws.choice(prompts), **(body or {})}
            group.create_task(_ask(session, f"{url}/v1/images/generations", asked, slo_s, book))
    return book


async def _ask(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], slo_s: float, book: Book
) -> None:
    began_s = time.monotonic()
    headers = {"Hadis-Deadline-Seconds": str(slo_s)}
    try:
        async with session.post(url, json=body, headers=headers) as reply:
            answer = await reply.json()
            status = reply.status
    except aiohttp.ClientError:
        book.statuses[0] += 1
        book.outcomes["broken"] += 1
        return
    took_s = time.monotonic() - began_s
    book.statuses[status] += 1
    book.durations_s.append(took_s)
    if status == 200:
        book.late += took_s > slo_s
        book.outcomes[_outcome(answer["data"][0]["hadis"])] += 1
    else:
        book.outcomes[answer["error"]["hadis"]["outcome"]] += 1


def _outcome(told: dict[str, Any]) -> str:
    by_path = {
        "light": "served_light",
        "heavy": "served_heavy",
        "light>heavy": "escalated",
        "kept": "escalated",
        "degraded": "degraded",
    }
    return by_path.get(told["path"], "pinned")

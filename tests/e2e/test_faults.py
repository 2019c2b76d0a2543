"""What dies, stalls or leaves must cost nothing but its own work."""

import asyncio
import signal
import time
from collections.abc import Iterator

import aiohttp
import pytest

from support import load
from support.images import largest_difference, pixels
from support.scenes_fleet import ScenesFleet, held_out_prompts

pytestmark = pytest.mark.fleet

# Two workers draw about 8 of these a second on two quiet cores; other machines are busier.
RATE = 3.0
DELIVERED = ("served_light", "served_heavy", "escalated", "degraded")


@pytest.fixture(scope="module")
def harmed(fleet: ScenesFleet) -> Iterator[ScenesFleet]:
    """The shared fleet, pinned so that both stages are always busy."""
    fleet.pin("scenes-xs", "scenes-s", hardness=2.0, quality=0.5)
    yield fleet
    fleet.unpin()
    fleet.wait_until("every worker is back", lambda status: _ready(status) == 2)


def _ready(status: dict[str, list[dict[str, str]]]) -> int:
    return sum(worker["state"] == "ready" for worker in status["workers"])


async def test_a_killed_worker_loses_nothing_and_is_back_in_time(harmed: ScenesFleet) -> None:
    loaded = asyncio.create_task(
        load.offer(harmed.url, held_out_prompts(), rate=RATE, duration_s=20)
    )
    await asyncio.sleep(5)
    name, victim = sorted(harmed.workers().items())[0]
    victim.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(
        harmed.wait_until, f"{name} is back", lambda status: _ready(status) == 2, 45.0
    )
    back_after_s = time.monotonic() - killed_s
    assert harmed.workers()[name].pid != victim.pid
    book = await loaded
    assert book.share(*DELIVERED) == 1.0, book
    # 15 s on a quiet machine; three times that where others compute too.
    assert back_after_s < 45


async def test_a_stopped_worker_loses_nothing(harmed: ScenesFleet) -> None:
    before = harmed.outcomes()
    loaded = asyncio.create_task(
        load.offer(harmed.url, held_out_prompts(), rate=RATE / 2, duration_s=36)
    )
    await asyncio.sleep(3)
    _, victim = sorted(harmed.workers().items())[0]
    victim.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(30)
    finally:
        victim.send_signal(signal.SIGCONT)
    book = await loaded
    assert book.share(*DELIVERED) == 1.0, book
    # A twin that comes late is discarded: the router's books count every request once.
    await asyncio.sleep(1)
    after = harmed.outcomes()
    assert sum(after.values()) - sum(before.values()) == book.sent


async def test_one_of_four_leaves_and_the_others_are_equal(harmed: ScenesFleet) -> None:
    async with aiohttp.ClientSession() as session:

        async def draw(seed: int) -> str:
            body = {"prompt": "two red squares", "model": "scenes-l", "seed": seed}
            async with session.post(f"{harmed.url}/v1/images/generations", json=body) as reply:
                answer = await reply.json()
                assert reply.status == 200, answer
                picture: str = answer["data"][0]["b64_json"]
                return picture

        want = [pixels(await draw(seed)) for seed in range(3)]
        together = [asyncio.create_task(draw(seed)) for seed in range(4)]
        await asyncio.sleep(0.4)
        together[3].cancel()
        for task, expected in zip(together[:3], want, strict=True):
            assert largest_difference(pixels(await task), expected) <= 1
    book = await load.offer(
        harmed.url,
        held_out_prompts(),
        rate=10,
        duration_s=10,
        body={"model": "scenes-xs"},
    )
    assert book.share("pinned") == 1.0, book


async def test_fifty_clients_that_leave_stop_all_work(harmed: ScenesFleet) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def draw(seed: int) -> None:
            # Twenty in flight would take longer than the deadline; the queue must hold them.
            body = {"prompt": "a blue cross", "model": "scenes-m", "seed": seed}
            async with session.post(f"{harmed.url}/v1/images/generations", json=body) as reply:
                await reply.read()

        waiting = [asyncio.create_task(draw(seed)) for seed in range(50)]
        await asyncio.sleep(1.5)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.to_thread(
        harmed.wait_until,
        "queues are empty",
        lambda status: all(
            worker["waiting"] == 0 and worker["running"] == 0 for worker in status["workers"]
        ),
        5.0,
    )
    idle = await asyncio.to_thread(_cpu_share, harmed)
    assert idle < 0.5, "the workers go on computing for nobody"


def _cpu_share(fleet: ScenesFleet, over_s: float = 2.0) -> float:
    """Cores that the workers keep busy."""

    def seconds() -> float:
        return sum(sum(worker.cpu_times()[:2]) for worker in fleet.workers().values())

    time.sleep(0.5)
    before = seconds()
    time.sleep(over_s)
    return (seconds() - before) / over_s

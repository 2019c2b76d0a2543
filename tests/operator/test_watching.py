"""The thread that keeps kopf running: which namespaces it is handed, and what its end leads to.

What kopf itself tells is tested on a real API: tests/cluster/test_real_api.py.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import kopf
import pytest

from hadis_operator import watching
from hadis_operator.watching import Watcher


@dataclass
class Kopf:
    """Stands in for `kopf.operator`: it ends when it is told to, or at once where it is refused."""

    rounds: list[list[str] | None] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    async def operator(
        self, *, namespaces: list[str], clusterwide: bool, stop_flag: asyncio.Event, **_: Any
    ) -> None:
        self.rounds.append(None if clusterwide else list(namespaces))
        if self.refused & set(namespaces):
            raise PermissionError("403")
        await stop_flag.wait()


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Kopf:
    stand_in = Kopf()
    monkeypatch.setattr(kopf, "operator", stand_in.operator)
    monkeypatch.setattr(watching, "RESTART_S", 0.01)
    return stand_in


@pytest.fixture
async def begin(pretended: Kopf) -> AsyncIterator[Callable[..., Watcher]]:
    begun: list[Watcher] = []

    def start(*namespaces: str, **options: Any) -> Watcher:
        watcher = Watcher(lambda *_: None, namespaces=namespaces, **options)
        begun.append(watcher)
        watcher.start()
        return watcher

    yield start
    for watcher in begun:
        await watcher.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_watches_follow_the_namespaces_that_can_be_read(
    pretended: Kopf, begin: Callable[..., Watcher]
) -> None:
    watcher = begin("images", "lab")
    await until(lambda: pretended.rounds == [["images", "lab"]])
    watcher.follow(["lab", "images"])
    await asyncio.sleep(0.1)
    assert len(pretended.rounds) == 1  # the same ones
    watcher.follow(["images"])
    await until(lambda: pretended.rounds[1:] == [["images"]])
    # Without any there is nothing to watch, and by no means everything.
    watcher.follow([])
    await asyncio.sleep(0.1)
    assert len(pretended.rounds) == 2
    watcher.follow(["images", "lab"])
    await until(lambda: pretended.rounds[2:] == [["images", "lab"]])


async def test_an_operator_of_all_namespaces_stays_one(
    pretended: Kopf, begin: Callable[..., Watcher]
) -> None:
    watcher = begin()
    await until(lambda: pretended.rounds == [None])
    watcher.follow([])
    await asyncio.sleep(0.1)
    assert pretended.rounds == [None]
    watcher.restart()
    await until(lambda: pretended.rounds == [None, None])


async def test_watches_that_end_by_themselves_are_told_and_begin_again(
    pretended: Kopf, begin: Callable[..., Watcher]
) -> None:
    pretended.refused = {"lab"}
    told: list[bool] = []
    watcher = begin("images", "lab", failed=lambda: told.append(True))
    await until(lambda: len(told) > 1)
    assert watcher.starts > 1
    watcher.follow(["images"])
    await until(lambda: pretended.rounds[-1] == ["images"])
    count = len(told)
    watcher.restart()
    await asyncio.sleep(0.1)
    assert len(told) == count  # that was no fault

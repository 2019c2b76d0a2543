"""`hadis up` on a CPU: all workers that can come have room in the machine's memory together."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hadis.wire import manifests
from hadis_cli.fleet import options
from hadis_cli.fleet.members import Members
from hadis_cli.fleet.options import Options, RunFolder
from hadis_server import settings
from support import cascade_folders


class ANursery:
    """Notes how a worker is started, and starts none."""

    def __init__(self) -> None:
        self.argv: list[str] = []

    async def spawn(self, _name: str, argv: list[str], **_: Any) -> None:
        self.argv = argv


def started_with(folder: Path, workers: int | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    given = manifests.read_manifests(cascade_folders.manifest(), source="cascade.yaml")
    chosen = Options(folder / "cascade.yaml", workers=workers)
    members = Members(chosen, given, RunFolder(folder), 1, lambda _: None)
    nursery = ANursery()

    async def nursed() -> ANursery:
        return nursery

    monkeypatch.setattr(members, "_nursed", nursed)
    asyncio.run(members._start_worker("w0"))
    return nursery.argv


@pytest.mark.parametrize(("workers", "want"), [(None, 1 / 6), (1, 1.0), (3, 1 / 3), (512, 1 / 512)])
def test_each_worker_gets_its_part_of_the_memory_among_the_most_that_can_come(
    workers: int | None, want: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "gpus", lambda: 0)
    monkeypatch.setattr(options, "cores", lambda: 6)
    # Read by the worker itself, which measures what the machine or its container has.
    told = settings.parse(started_with(tmp_path, workers, monkeypatch))
    assert told.memory_share == pytest.approx(want, rel=1e-4)
    assert told.memory_budget_bytes == 0


def test_a_worker_with_a_gpu_measures_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "gpus", lambda: 1)
    assert settings.parse(started_with(tmp_path, 3, monkeypatch)).memory_share == 1.0

"""A change of pair under load leaves no gap, and the books of client and router agree."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from support import load
from support.scenes_fleet import ScenesFleet, held_out_prompts

pytestmark = pytest.mark.fleet


@pytest.mark.timeout(240)
async def test_ten_changes_of_pair_lose_nothing(fleet: ScenesFleet) -> None:
    fleet.pin("scenes-xs", "scenes-s", hardness=2.0, quality=0.3)
    loaded = asyncio.create_task(load.offer(fleet.url, held_out_prompts(), rate=2.0, duration_s=60))
    changes = 0
    while changes < 10:
        light, heavy = ("scenes-s", "scenes-s") if changes % 2 == 0 else ("scenes-xs", "scenes-s")
        await asyncio.to_thread(fleet.pin, light, heavy, hardness=2.0, quality=0.3)
        changes += 1
        await asyncio.sleep(2)
    book = await loaded
    fleet.unpin()
    delivered = book.share("served_light", "served_heavy", "escalated", "degraded")
    assert delivered == 1.0, book
    assert book.late <= 0.01 * book.sent, book


async def test_the_counts_of_hadis_bench_equal_the_metrics(
    fleet: ScenesFleet, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(held_out_prompts()[:100]))
    before = fleet.outcomes()
    command = [sys.executable, "-m", "hadis_cli.main", "bench", "--url", fleet.url]
    command += ["--prompts", str(prompts), "--rate", "6", "--duration", "12", "--slo", "10"]
    run = await asyncio.to_thread(
        subprocess.run, [*command, "--json"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    after = fleet.outcomes()
    counted = {key: after[key] - before.get(key, 0.0) for key in after}
    want = {key: value for key, value in counted.items() if value}
    got = {key: value for key, value in summary["outcomes"].items() if value}
    assert got == want


@pytest.mark.parametrize(
    ("damage", "want_named"),
    [
        ({"slo": {"latency": "soon"}}, "spec.slo.latency"),
        ({"workers": {"count": -1}}, "spec.workers.count"),
        ({"models": []}, "spec.models"),
    ],
)
def test_a_broken_cascade_file_is_reported_and_changes_nothing(
    fleet: ScenesFleet, damage: dict[str, object], want_named: str
) -> None:
    spec = fleet.cascade["spec"]
    kept = {key: spec[key] for key in damage}
    version = fleet.status()["plan"]["version"]
    told_before = fleet.log_file.read_text().count(want_named)
    spec.update(damage)
    fleet.write()
    try:
        fleet.wait_until(
            f"the log names {want_named}",
            lambda _: fleet.log_file.read_text().count(want_named) > told_before,
        )
        assert fleet.status()["plan"]["version"] >= version
        assert fleet.status()["ready"]
    finally:
        spec.update(kept)
        fleet.write()

"""What the provenance says must be enough to recompute the path of every image."""

import asyncio
import collections
import json
import subprocess
import sys
from typing import Any

import openai
import pytest

from support.images import provenance
from support.scenes_fleet import ScenesFleet, held_out_prompts

pytestmark = pytest.mark.fleet
REQUESTS = 500
AT_ONCE = 16
KEYS = {
    "request_id",
    "path",
    "model",
    "hardness",
    "quality_score",
    "seed",
    "plan_version",
    "lane",
    "thresholds",
    "queue_s",
    "generate_s",
    "total_s",
    "unknown_words",
    "ignored",
}


async def draw_all(
    fleet: ScenesFleet, prompts: list[str], *, at_once: int = AT_ONCE
) -> list[dict[str, Any]]:
    """Ask for one image a prompt, a few at a time; return the provenance of each."""
    room = asyncio.Semaphore(at_once)
    async with openai.AsyncOpenAI(base_url=f"{fleet.url}/v1", api_key="none") as client:

        async def one(prompt: str) -> dict[str, Any]:
            async with room:
                reply = await client.images.generate(prompt=prompt)
                assert reply.data is not None
                return provenance(reply.data[0])

        return await asyncio.gather(*(one(prompt) for prompt in prompts))


def recomputed_path(told: dict[str, Any]) -> set[str]:
    """The paths that scores and thresholds allow; time may always degrade an escalation."""
    thresholds = told["thresholds"]
    if thresholds["hardness"] is not None and told["hardness"] >= thresholds["hardness"]:
        return {"heavy", "degraded"}
    if thresholds["quality"] is None or told["quality_score"] >= thresholds["quality"]:
        return {"light"}
    return {"light>heavy", "kept", "degraded"}


@pytest.mark.timeout(400)
async def test_every_path_follows_from_the_scores_and_thresholds_told(
    fleet: ScenesFleet,
) -> None:
    prompts = held_out_prompts()[:REQUESTS]
    hardness = sorted(score_all(prompts))[int(0.8 * len(prompts))]
    fleet.pin("scenes-xs", "scenes-s", hardness=hardness, quality=0.2)
    try:
        told = await draw_all(fleet, prompts)
    finally:
        fleet.unpin()
    assert len(told) == REQUESTS
    assert all(entry.keys() >= KEYS for entry in told)
    wrong = [entry for entry in told if entry["path"] not in recomputed_path(entry)]
    assert wrong == []
    paths = collections.Counter(entry["path"] for entry in told)
    assert paths["light"] > 0
    assert paths["heavy"] > 0
    assert paths["light>heavy"] + paths["kept"] > 0


async def test_hadis_score_and_the_router_agree_exactly(fleet: ScenesFleet) -> None:
    prompts = held_out_prompts()[:40]
    told = await draw_all(fleet, prompts)
    assert [entry["hardness"] for entry in told] == score_all(prompts, fleet)


@pytest.mark.parametrize(
    ("quality", "want_escalated"), [(1.5, True), (0.0, False)], ids=["above one", "zero"]
)
async def test_a_quality_threshold_escalates_all_or_none(
    fleet: ScenesFleet, quality: float, want_escalated: bool
) -> None:
    fleet.pin("scenes-xs", "scenes-s", hardness=2.0, quality=quality)
    try:
        # So few at once that there is always time to escalate.
        told = await draw_all(fleet, held_out_prompts()[:30], at_once=2)
    finally:
        fleet.unpin()
    paths = {entry["path"] for entry in told}
    assert paths <= ({"light>heavy", "kept"} if want_escalated else {"light"})


def score_all(prompts: list[str], fleet: ScenesFleet | None = None) -> list[float]:
    """Run `hadis score` as a user would; with a fleet, under its cascade's weights."""
    command = [sys.executable, "-m", "hadis_cli.main", "score", "--file", "-", "--json"]
    if fleet is not None:
        command += ["--cascade", str(fleet.cascade_file)]
    run = subprocess.run(
        command, input="\n".join(prompts), capture_output=True, text=True, check=True
    )
    return [json.loads(line)["score"] for line in run.stdout.splitlines()]

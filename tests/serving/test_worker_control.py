"""What the controller says to a worker, and what the worker says about itself."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hadis.terms.cascades import Cascade
from hadis.wire.manifests import dump_objects
from hadis_server import loading, residency
from hadis_server.sizing import expected_bytes
from support.live_workers import (
    PATIENCE_S,
    LiveWorker,
    a_cascade,
    a_model,
    a_profile,
    a_request,
)

CPU = torch.device("cpu")


@pytest.fixture
def models(folders: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Folders that a test may break: `sd`, `broken` (a truncated copy) and `gone`."""
    broken = Path(shutil.copytree(folders["sd"], tmp_path / "broken"))
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    return {"sd": folders["sd"], "broken": broken, "gone": tmp_path / "gone"}


def test_older_assignments_are_ignored_and_the_one_in_force_is_answered(
    worker: LiveWorker,
) -> None:
    in_force = worker.assign("heavy", role="heavy", batch_size=2)
    version = in_force["version"]
    assert (in_force["model"], in_force["role"], in_force["batch_size"]) == ("heavy", "heavy", 2)
    assert in_force["quality_threshold"] == 0.5
    assert worker.assign("light", version=version - 1) == in_force
    assert worker.assign("light", version=version) == in_force
    assert worker.status()["assignment"] == in_force
    swaps = worker.metric("hadis_model_swaps_total", cascade="tiny")
    assert worker.assign("light", version=version + 1)["model"] == "light"
    assert worker.metric("hadis_model_swaps_total", cascade="tiny") == swaps + 1


@pytest.mark.parametrize(
    ("change", "want_field"),
    [
        ({"version": -1}, "version"),
        ({"role": "captain"}, "role"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_an_unusable_assignment_names_its_field_and_changes_nothing(
    worker: LiveWorker, change: dict[str, object], want_field: str
) -> None:
    before = worker.status()["assignment"]
    reply = worker.put("/assignment", {**before, "version": 10**6, **change})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(f"{want_field}:")
    assert worker.status()["assignment"] == before


def test_the_status_tells_hardware_models_and_load(worker: LiveWorker) -> None:
    status = worker.status()
    assert (status["name"], status["uid"], status["cascade"]) == ("w0", "uid-0", "tiny")
    assert status["hardware"]
    assert "torch" in status["software"]
    assert status["ready"] is True
    assert status["discriminator_error"] is None
    assert set(status["models"]) == {"light", "heavy", "slow", "sdxl", "sd3"}
    busy_s = status["busy_s"]
    worker.generate("light")
    assert worker.status()["busy_s"] > busy_s
    # The profile of the fixture is far slower than this machine, however busy that is.
    assert 0 < worker.status()["latency_scale"] < 20


async def test_free_in_s_grows_with_what_waits(worker: LiveWorker) -> None:
    with worker.held():
        sent = asyncio.create_task(worker.generate_all([a_request("light")] * 8))
        await asyncio.to_thread(worker.wait_waiting, 8)
        free_in_s = worker.status()["queue"]["free_in_s"]
        # Eight images in batches of four.
        want_s = 2 * worker.station.book.service("light", 4)
    assert free_in_s == pytest.approx(want_s, rel=0.01)
    assert [answer.status for answer in await sent] == [200] * 8


def test_a_model_that_cannot_load_says_why_and_the_others_keep_serving(
    models: dict[str, Path],
) -> None:
    cascade = a_cascade(
        a_model("broken", models["broken"]),
        a_model("gone", models["gone"]),
        a_model("good", models["sd"]),
    )
    with LiveWorker(cascade) as worker:
        worker.assign("good")
        worker.wait_resident("good")
        worker.wait(
            lambda status: all(status["models"][name]["error"] for name in ("broken", "gone")),
            within_s=PATIENCE_S,
        )
        states = worker.status()["models"]
        assert str(models["broken"]) in states["broken"]["error"]
        assert "source.path" in states["gone"]["error"]
        assert worker.status()["ready"] is True
        assert states["good"]["load_s"] > 0
        assert states["broken"]["load_s"] is None
        assert worker.generate("good").status == 200
        refused = worker.generate("gone")
        assert refused.status == 409
        assert "does not exist" in refused.message

        worker.assign("gone")
        probe = worker.probe("/readyz")
        assert probe.status_code == 503
        assert "does not exist" in probe.text
        assert worker.probe("/healthz").status_code == 200
        assert worker.generate("good").status == 200

        # The weights arrive: naming the model again has it loaded.
        shutil.copytree(models["sd"], models["gone"])
        worker.assign("good")
        worker.assign("gone")
        worker.wait_resident("gone")
        assert worker.probe("/readyz").status_code == 200


def test_an_idle_worker_is_ready(worker: LiveWorker) -> None:
    worker.assign(None, role="idle")
    assert worker.probe("/readyz").status_code == 200
    assert worker.generate("light").status == 200


PAIR_PROFILE = a_profile(one={1: 0.2}, two={1: 0.4})


@pytest.fixture(scope="module")
def pair(folders: dict[str, Path]) -> Cascade:
    return a_cascade(a_model("one", folders["sd"]), a_model("two", folders["sd"], steps=5))


@pytest.fixture(scope="module")
def small_worker(pair: Cascade) -> Iterator[LiveWorker]:
    with LiveWorker(pair, PAIR_PROFILE) as worker:
        worker.assign("one")
        worker.wait_resident("one", "two")
        yield worker


async def test_a_changed_cascade_is_followed_while_requests_are_served(
    small_worker: LiveWorker, pair: Cascade, folders: dict[str, Path]
) -> None:
    _, two = pair.models
    longer = replace(two, steps=7)
    other = a_model("three", folders["sdxl"])
    before = small_worker.generate("two").content
    answers = await small_worker.generate_together([a_request("one", seed=n) for n in range(3)])
    assert {answer.status for answer in answers} == {200}
    reply = small_worker.follow(a_cascade(longer, other), a_profile(two={1: 0.4}, three={1: 0.2}))
    assert reply.status_code == 200
    small_worker.wait(lambda status: set(status["models"]) == {"two", "three"}, within_s=PATIENCE_S)
    small_worker.wait_resident("three")
    small_worker.assign("two")
    assert small_worker.generate("three").status == 200
    gone = small_worker.generate("one")
    assert gone.status == 409
    assert "not in the cascade" in gone.message
    steps = small_worker.metric("hadis_denoise_step_seconds_count", model="two")
    small_worker.wait(
        lambda _: small_worker.station.resident("two").variant.spec == longer, within_s=PATIENCE_S
    )
    assert small_worker.generate("two").content != before
    assert small_worker.metric("hadis_denoise_step_seconds_count", model="two") == steps + 7
    assert small_worker.follow(pair, PAIR_PROFILE).status_code == 200
    small_worker.wait_resident("one", "two")


def test_an_older_generation_is_passed_over(small_worker: LiveWorker, pair: Cascade) -> None:
    one, _ = pair.models
    reply = small_worker.follow(replace(a_cascade(one), generation=pair.generation - 1))
    assert reply.status_code == 200
    assert reply.json()["generation"] == pair.generation
    assert set(small_worker.status()["models"]) == {"one", "two"}


def test_a_cascade_of_a_later_version_is_followed_without_what_is_not_known(
    small_worker: LiveWorker, pair: Cascade
) -> None:
    told = dump_objects(pair, PAIR_PROFILE)
    told["cascade"]["spec"]["novelty"] = 1
    assert small_worker.put("/cascade", told).status_code == 200


def test_an_invalid_cascade_is_refused_and_changes_nothing(small_worker: LiveWorker) -> None:
    for body, want in [
        ({"cascade": {"kind": "HadisCascade"}, "profile": None}, "apiVersion"),
        ([], "cascade"),
    ]:
        reply = small_worker.put("/cascade", body)
        assert reply.status_code == 400
        assert want.lower() in reply.json()["error"]["message"].lower()
    assert set(small_worker.status()["models"]) == {"one", "two"}
    assert small_worker.generate("one").status == 200


async def test_a_model_is_pushed_out_only_after_what_waits_for_it_is_made(
    folders: dict[str, Path],
) -> None:
    size = sum(file.stat().st_size for file in folders["sdxl"].rglob("*.safetensors"))
    cascade = a_cascade(a_model("first", folders["sdxl"]), a_model("second", folders["sd3"]))
    # Room for one of the two.
    with LiveWorker(cascade, memory_budget_bytes=2 * size) as worker:
        worker.assign("first", batch_size=1)
        worker.wait_resident("first")
        assert worker.status()["models"]["second"]["resident"] is False
        with worker.held():
            bodies = [a_request("first", seed=seed) for seed in range(3)]
            sent = asyncio.create_task(worker.generate_all(bodies))
            await asyncio.to_thread(worker.wait_waiting, 3)
            await asyncio.to_thread(worker.assign, "second", role="heavy")
        assert [answer.status for answer in await sent] == [200] * 3
        worker.wait_resident("second")
        assert worker.generate("second").status == 200
        assert worker.generate("first").status == 409
        # And back again.
        worker.assign("first")
        worker.wait_resident("first")
        assert worker.generate("second").status == 409


def test_a_discriminator_that_does_not_load_costs_the_scores_only(
    models: dict[str, Path],
) -> None:
    cascade = a_cascade(a_model("m", models["sd"]), judge=models["gone"])
    with LiveWorker(cascade) as worker:
        worker.assign("m")
        worker.wait(lambda status: status["ready"], within_s=PATIENCE_S)
        assert "spec.discriminator.source.path" in worker.status()["discriminator_error"]
        answer = worker.generate("m", score=True)
        assert answer.status == 200
        assert answer.report["quality_score"] is None


def test_a_discriminator_that_did_not_load_is_tried_again(
    models: dict[str, Path], folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "RETRY_S", 0.5)
    with LiveWorker(a_cascade(a_model("m", models["sd"]), judge=models["gone"])) as worker:
        worker.wait(lambda status: status["discriminator_error"], within_s=PATIENCE_S)
        shutil.copytree(folders["clip"], models["gone"])
        worker.wait(lambda status: not status["discriminator_error"], within_s=PATIENCE_S)
        assert worker.generate("m", score=True).report["quality_score"] is not None


async def test_a_fixed_batch_bounds_the_assigned_batch_size(folders: dict[str, Path]) -> None:
    with LiveWorker(a_cascade(a_model("m", folders["sd"])), fixed_batch=2) as worker:
        worker.assign("m", batch_size=4)
        worker.wait_resident("m")
        answers = await worker.generate_together([a_request("m", seed=n) for n in range(4)])
        assert [answer.report["batch_size"] for answer in answers] == [2] * 4
        alone = worker.generate("m", seed=3)
    assert alone.content == answers[3].content


async def test_a_changed_model_that_fits_only_without_its_predecessor_replaces_it(
    folders: dict[str, Path],
) -> None:
    before = a_model("m", folders["sdxl"])
    after = a_model("m", folders["sd3"])
    smaller, larger = expected_bytes(before, CPU), expected_bytes(after, CPU)
    assert smaller < larger
    # Room for either, not for both.
    with LiveWorker(a_cascade(before), memory_budget_bytes=larger + smaller // 2) as worker:
        worker.wait_resident("m")
        was = worker.generate("m").content
        assert worker.follow(a_cascade(after)).status_code == 200
        worker.wait(
            lambda _: (
                (resident := worker.station.resident("m")) is not None
                and resident.variant.spec == after
            ),
            within_s=PATIENCE_S,
        )
        assert worker.generate("m").content != was


def test_a_model_larger_than_the_budget_says_so_until_it_is_assigned(
    folders: dict[str, Path],
) -> None:
    cascade = a_cascade(a_model("m", folders["sd"]))
    with LiveWorker(cascade, memory_budget_bytes=1000) as worker:
        worker.wait(lambda status: status["ready"], within_s=PATIENCE_S)
        refused = worker.generate("m")
        assert refused.status == 409
        assert "more than the 1000 of the memory budget" in refused.message
        # No error, which would keep the controller from ever assigning it.
        assert worker.status()["models"]["m"]["error"] is None
        worker.assign("m")
        worker.wait_resident("m")
        assert worker.generate("m").status == 200


def test_a_model_that_failed_once_and_is_left_out_later_has_no_error_any_more(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "RETRY_S", 0.5)
    good = a_model("good", models["sd"])
    cascade = a_cascade(a_model("gone", models["gone"]), good)
    # Room for one of the two.
    with LiveWorker(cascade, memory_budget_bytes=expected_bytes(good, CPU) * 3 // 2) as worker:
        worker.wait(lambda status: status["models"]["gone"]["error"], within_s=PATIENCE_S)
        worker.wait_resident("good")
        shutil.copytree(models["sd"], tmp_path / "coming").rename(models["gone"])
        worker.wait(lambda status: not status["models"]["gone"]["error"], within_s=PATIENCE_S)
        assert "stays out of memory until it is assigned" in worker.generate("gone").message
        worker.assign("gone")
        worker.wait_resident("gone")


def test_an_assignment_that_arrives_while_its_model_is_being_left_out_is_not_lost(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = LiveWorker(a_cascade(a_model("m", folders["sd"])), memory_budget_bytes=1000)
    decide = residency.evictions

    def decide_and_be_assigned(*args: Any, urgent: bool) -> list[object] | None:
        leaving = decide(*args, urgent=urgent)
        if not urgent:
            worker.station._loader.assign("m")
        return leaving

    monkeypatch.setattr(residency, "evictions", decide_and_be_assigned)
    with worker:
        worker.wait_resident("m")


def test_before_its_first_assignment_a_worker_loads_and_then_is_ready(
    folders: dict[str, Path],
) -> None:
    with LiveWorker(a_cascade(a_model("only", folders["sd"]))) as worker:
        worker.wait(lambda status: status["ready"], within_s=PATIENCE_S)
        assert worker.status()["models"]["only"]["resident"] is True
        assert worker.status()["assignment"] is None
        assert worker.generate("only").status == 200

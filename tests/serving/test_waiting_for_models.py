"""A request may wait at a worker for the model that it is about to have."""

import asyncio
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from torch import device

from hadis.terms.assignments import Lane
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName
from hadis_server.sizing import expected_bytes
from support.live_workers import (
    PATIENCE_S,
    LiveWorker,
    a_cascade,
    a_model,
    a_profile,
    a_request,
)
from support.router_fixtures import RouterUnderTest
from support.tiny_pipelines import save_stable_diffusion_3, save_stable_diffusion_xl

CPU = device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models of their own, one of which may be taken away and put back."""
    root = tmp_path_factory.mktemp("waiting")
    return {
        "first": save_stable_diffusion_xl(root / "first"),
        "second": save_stable_diffusion_3(root / "second"),
    }


@pytest.fixture(scope="module")
def cascade(models: dict[str, Path]) -> Cascade:
    return a_cascade(a_model("first", models["first"]), a_model("second", models["second"]))


@pytest.fixture(scope="module")
def _swapping(cascade: Cascade) -> Iterator[LiveWorker]:
    sizes = [expected_bytes(model, CPU) for model in cascade.models]
    # Room for either, not for both.
    budget = max(sizes) + min(sizes) // 2
    with LiveWorker(cascade, memory_budget_bytes=budget, max_waiting=6) as worker:
        yield worker


@pytest.fixture
def worker(_swapping: LiveWorker) -> LiveWorker:
    """A worker with `first` in memory that has loaded `second` before."""
    for name in ("second", "first"):
        _swapping.assign(name, batch_size=1)
        _swapping.wait_resident(name)
    assert _swapping.status()["models"]["second"]["load_s"] > 0
    return _swapping


def waiting(model: str, **changes: object) -> dict[str, object]:
    return a_request(model, waits_for_model=True, **changes)


async def send(worker: LiveWorker, *bodies: dict[str, object]) -> asyncio.Task:
    """Send while the denoising thread is held, and come back once all wait."""
    before = worker.status()["queue"]["waiting"]
    sent = asyncio.create_task(worker.generate_all(bodies))
    await asyncio.to_thread(worker.wait_waiting, before + len(bodies))
    return sent


async def test_an_image_waits_for_the_model_behind_what_the_old_one_still_makes(
    worker: LiveWorker,
) -> None:
    with worker.held():
        old = await send(worker, a_request("first", seed=1), a_request("first", seed=2))
        await asyncio.to_thread(worker.assign, "second")
        new = await send(worker, waiting("second", seed=3), waiting("second", seed=4))
        status = worker.status()
        assert status["ready"] is False
        assert status["models"]["second"]["waiting"] == 2
        assert status["queue"]["waiting"] == 4
        assert worker.metric("hadis_num_requests_waiting", model="second") == 2
        # What waits for either model, and what loading took the last time.
        assert status["queue"]["free_in_s"] > status["models"]["second"]["load_s"]
        refused = await asyncio.to_thread(worker.generate, "second")
        assert (refused.status, refused.reason) == (409, "not_resident")
    assert [answer.status for answer in await old] == [200, 200]
    assert [answer.status for answer in await new] == [200, 200]
    assert {answer.report["model"] for answer in await new} == {"second"}
    assert all(answer.report["queue_s"] > 0 for answer in await new)
    assert worker.status()["queue"] == {"waiting": 0, "running": 0, "free_in_s": 0.0}


def test_a_model_that_is_there_already_is_not_waited_for(worker: LiveWorker) -> None:
    assert worker.generate("first", waits_for_model=True).status == 200


def test_a_model_that_is_not_assigned_is_not_waited_for(worker: LiveWorker) -> None:
    began_s = time.monotonic()
    answer = worker.generate("second", waits_for_model=True)
    assert (answer.status, answer.reason) == (409, "not_resident")
    assert time.monotonic() - began_s < 5


async def test_who_waits_for_a_model_that_will_not_come_after_all_is_told(
    worker: LiveWorker,
) -> None:
    with worker.held():
        old = await send(worker, a_request("first"))
        await asyncio.to_thread(worker.assign, "second")
        new = await send(worker, waiting("second"))
        await asyncio.to_thread(worker.assign, "first")
        [answer] = await new
        assert (answer.status, answer.reason) == (409, "not_resident")
    assert [answer.status for answer in await old] == [200]
    worker.wait_resident("first")


async def test_an_image_may_come_ahead_of_the_assignment(worker: LiveWorker) -> None:
    with worker.held():
        old = await send(worker, a_request("first"))
        new = await send(worker, waiting("second"))
        await asyncio.to_thread(worker.assign, "second")
    assert [answer.status for answer in (*await old, *await new)] == [200, 200]


async def test_a_load_that_takes_longer_than_the_last_one_is_told(
    worker: LiveWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_s = worker.status()["models"]["second"]["load_s"]
    stuck_s = before_s + 1.0
    monkeypatch.setattr(worker.station._loader, "loading_for_s", lambda model: stuck_s)
    status = worker.status()
    assert status["models"]["second"]["load_s"] == pytest.approx(stuck_s)
    with worker.held():
        old = await send(worker, a_request("first"))
        await asyncio.to_thread(worker.assign, "second")
        assert worker.status()["queue"]["free_in_s"] > 1.0
    assert [answer.status for answer in await old] == [200]


async def test_the_deadline_ends_the_wait(worker: LiveWorker) -> None:
    with worker.held():
        old = await send(worker, a_request("first"))
        await asyncio.to_thread(worker.assign, "second")
        [answer] = await worker.generate_all([waiting("second", remaining_s=0.3)])
        assert (answer.status, answer.reason) == (504, "expired")
        assert "while second was loaded" in answer.message
        assert worker.status()["queue"]["waiting"] == 1
    assert [answer.status for answer in await old] == [200]


async def test_a_client_that_leaves_waits_no_longer(worker: LiveWorker) -> None:
    with worker.held():
        old = await send(worker, a_request("first"))
        await asyncio.to_thread(worker.assign, "second")
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            call = asyncio.create_task(
                client.post(f"http://127.0.0.1:{worker.port}/generate", json=waiting("second"))
            )
            await asyncio.to_thread(worker.wait_waiting, 2)
            call.cancel()
            await asyncio.to_thread(worker.wait_waiting, 1)
    assert [answer.status for answer in await old] == [200]


async def test_who_waits_for_a_model_counts_for_the_bound_of_the_queue(worker: LiveWorker) -> None:
    with worker.held():
        old = await send(worker, *(a_request("first", seed=seed) for seed in range(3)))
        await asyncio.to_thread(worker.assign, "second")
        new = await send(worker, *(waiting("second", seed=seed) for seed in range(3)))
        [full] = await worker.generate_all([waiting("second")])
        assert (full.status, full.reason) == (503, "overloaded")
    assert [answer.status for answer in (*await old, *await new)] == [200] * 6


async def test_a_model_that_does_not_load_ends_the_wait_with_the_reason(
    worker: LiveWorker, models: dict[str, Path]
) -> None:
    away = models["second"].with_name("away")
    with worker.held():
        old = await send(worker, a_request("first"))
        await asyncio.to_thread(worker.assign, "second")
        new = await send(worker, waiting("second"))
        shutil.move(models["second"], away)
    [answer] = await new
    shutil.move(away, models["second"])
    assert (answer.status, answer.reason) == (409, "not_resident")
    assert str(models["second"]) in answer.message
    assert [answer.status for answer in await old] == [200]
    worker.assign("first")  # or the failure would keep `second` out for a while


async def test_loading_is_told_without_the_wait_for_what_the_old_model_makes(
    worker: LiveWorker,
) -> None:
    usual_s = worker.status()["models"]["first"]["load_s"]
    held_s = 1.5 + 3 * usual_s
    with worker.held():
        old = await send(worker, a_request("first"))
        await asyncio.to_thread(worker.assign, "second")
        await asyncio.sleep(held_s)
    await old
    worker.wait_resident("second")
    assert worker.status()["models"]["second"]["load_s"] < held_s


async def test_a_router_sends_images_to_wait_for_the_model_of_the_new_plan(
    worker: LiveWorker, cascade: Cascade, tmp_path: Path
) -> None:
    second = ModelName("second")
    profile = a_profile(first={1: 0.5}, second={1: 0.5})
    router = RouterUnderTest(replace(cascade, slo_s=PATIENCE_S), profile, folder=tmp_path)
    place = SimpleNamespace(worker=worker.settings, address=f"127.0.0.1:{worker.port}")
    everything = Lane(1.0, second, second, math.inf, -math.inf)
    try:
        with worker.held():
            old = await send(worker, a_request("first"))
            await asyncio.to_thread(worker.assign, "second")
            router.route([(place, second)], everything, arrives_in_s=1.0)
            ask = asyncio.to_thread(router.client().images.generate, prompt="a red circle")
            asked = asyncio.create_task(ask)
            await asyncio.to_thread(worker.wait_waiting, 2)
        [image] = (await asked).data
        assert image.hadis["model"] == "second"
        assert [answer.status for answer in await old] == [200]
    finally:
        router.stop()


async def test_a_worker_that_shuts_down_sends_away_who_waits_for_a_model(
    cascade: Cascade,
) -> None:
    sizes = [expected_bytes(model, CPU) for model in cascade.models]
    with LiveWorker(cascade, memory_budget_bytes=max(sizes) + min(sizes) // 2) as worker:
        worker.assign("first")
        worker.wait_resident("first")
        with worker.held():
            old = await send(worker, a_request("first"))
            await asyncio.to_thread(worker.assign, "second")
            new = await send(worker, waiting("second"))
            worker.station.drain()
            [answer] = await new
            assert (answer.status, answer.reason) == (503, "draining")
        assert [answer.status for answer in await old] == [200]

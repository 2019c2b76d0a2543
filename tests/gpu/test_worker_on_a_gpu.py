"""A worker process on a GPU, over HTTP: it serves, batches, forgets who left, and stops cleanly."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from hadis.terms.cascades import Cascade
from hadis.wire.manifests import dump_manifests
from hadis_cli.fleet.nursing import Nursery
from hadis_scenes import checking, prompts
from hadis_scenes.variants import DISCRIMINATORS, MODEL, VARIANTS
from hadis_server import hardware
from support.live_workers import (
    PATIENCE_S,
    SIZE,
    Answer,
    WorkerClient,
    a_cascade,
    a_model,
    a_request,
    pixels,
)
from support.worker_processes import WorkerProcess

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

Tell = Callable[[str], None]
PLUG_STEPS = 150
SCENES = [variant.name for variant in VARIANTS]
PROMPT = "a red circle above a blue square"


def sides(model: str) -> dict[str, int]:
    side = 64 if model in SCENES else SIZE
    return {"width": side, "height": side}


@pytest.fixture(scope="module")
def cascade(folders: dict[str, Path]) -> Cascade:
    """The four variants of scenes, SDXL and SD3 in all number formats, and one that takes long."""
    return a_cascade(
        *(a_model(v.name, MODEL, steps=v.steps, width=64, height=64) for v in VARIANTS),
        a_model("sdxl", folders["sdxl"], guidance=3.0),
        a_model("sdxl-half", folders["sdxl"], guidance=3.0, dtype="float16"),
        a_model("sd3", folders["sd3"], guidance=3.0),
        a_model("sd3-half", folders["sd3"], guidance=3.0, dtype="bfloat16"),
        a_model("slow", folders["sdxl"], steps=PLUG_STEPS),
        judge=DISCRIMINATORS / "matching",
        kind="matching",
    )


@pytest.fixture(scope="module")
def worker(
    cascade: Cascade, device: torch.device, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("worker")
    with WorkerProcess(cascade, folder, "--device", str(device)) as worker:
        worker.assign("scenes-s")
        worker.wait_resident(*(model.name for model in cascade.models))
        yield worker


async def in_one_batch(worker: WorkerClient, bodies: list[dict[str, Any]]) -> list[Answer]:
    """Send `bodies` while another batch is made, so that they wait together and share the next."""
    for _ in range(5):
        plug = asyncio.create_task(worker.generate_all([a_request("slow")]))
        await asyncio.to_thread(
            worker.wait, lambda status: status["queue"]["running"] == 1, within_s=PATIENCE_S
        )
        answers = await worker.generate_all(bodies)
        await plug
        if all(answer.report["batch_size"] == len(bodies) for answer in answers):
            return answers
    raise AssertionError("the requests never shared a batch")


@pytest.mark.parametrize("model", [*SCENES, "sdxl", "sdxl-half", "sd3", "sd3-half"])
def test_every_kind_of_pipeline_is_served_with_a_score(worker: WorkerProcess, model: str) -> None:
    answer = worker.generate(model, prompt=PROMPT, score=True, **sides(model))
    picture = pixels(answer)
    assert picture.shape == (sides(model)["height"], sides(model)["width"], 3)
    assert picture.std() > 1
    assert 0 <= answer.report["quality_score"] <= 1


def test_the_status_names_the_device(worker: WorkerProcess, device: torch.device) -> None:
    status = worker.status()
    assert status["hardware"] == hardware.name(device)
    assert torch.__version__ in status["software"]
    assert not [state["error"] for state in status["models"].values() if state["error"]]
    assert status["discriminator_error"] is None


@pytest.mark.parametrize("model", ["scenes-l", "sdxl", "sdxl-half", "sd3", "sd3-half"])
def test_one_seed_gives_one_picture_in_batches_of_1_to_8(
    worker: WorkerProcess, tell: Tell, model: str
) -> None:
    worker.assign(model, batch_size=8)
    want = pixels(worker.generate(model, prompt=PROMPT, seed=42, **sides(model)))
    largest, means = [], []
    for batch in range(2, 9):
        bodies = [a_request(model, prompt=PROMPT, seed=s, **sides(model)) for s in range(batch - 1)]
        bodies.append(a_request(model, prompt=PROMPT, seed=42, **sides(model)))
        answers = asyncio.run(in_one_batch(worker, bodies))
        apart = abs(pixels(answers[-1]) - want)
        largest.append(int(apart.max()))
        means.append(float(apart.mean() / abs(pixels(answers[0]) - want).mean()))
        assert len({answer.content for answer in answers}) == batch
    tell(f"{model} over HTTP: steps of 8 bits apart in batches of 2 to 8: {largest}")
    if model.endswith("half"):
        assert max(means) < 0.25  # of what another seed's picture differs by
    else:
        assert max(largest) <= 1


def test_a_hundred_seeds_give_a_hundred_pictures_and_as_many_right_ones_as_on_a_cpu(
    worker: WorkerProcess, tell: Tell
) -> None:
    asked = prompts.shipped("test")[:100]
    worker.assign("scenes-l", batch_size=16)
    bodies = [
        a_request("scenes-l", prompt=item.prompt, seed=seed, score=True, **sides("scenes-l"))
        for seed, item in enumerate(asked)
    ]
    began_s = time.monotonic()
    answers = asyncio.run(worker.generate_all(bodies))
    took_s = time.monotonic() - began_s
    right = [
        checking.check(pixels(answer).astype(np.uint8), item.composition)
        for answer, item in zip(answers, asked, strict=True)
    ]
    scores = np.array([answer.report["quality_score"] for answer in answers])
    tell(
        f"100 pictures of scenes-l in {took_s:.2f} s in batches of up to 16; {np.mean(right):.2f} "
        f"right (0.76 of all test prompts on a CPU), scored {scores[right].mean():.2f}, the others "
        f"{scores[~np.array(right)].mean():.2f}"
    )
    assert len({answer.content for answer in answers}) == 100
    assert np.mean(right) > 0.6
    assert scores[right].mean() > scores[~np.array(right)].mean()


def test_the_assigned_model_changes_within_one_request(worker: WorkerProcess, tell: Tell) -> None:
    worker.assign("scenes-l")
    worker.generate("scenes-l", **sides("scenes-l"))
    took_s = []
    for model in ("scenes-xs", "scenes-l", "scenes-xs", "sd3", "scenes-xs"):
        began_s = time.monotonic()
        worker.assign(model)
        assert worker.generate(model, **sides(model)).status == 200
        took_s.append(round(time.monotonic() - began_s, 3))
    tell(f"from an assignment to the first picture of a resident model: {took_s} s")
    assert max(took_s) < 5


async def test_a_client_that_left_is_taken_out_of_its_batch_and_the_others_do_not_notice(
    worker: WorkerProcess, tell: Tell
) -> None:
    worker.assign("slow", batch_size=4)
    bodies = [a_request("slow", prompt=PROMPT, seed=seed) for seed in range(4)]
    want = await in_one_batch(worker, bodies)
    url = f"http://127.0.0.1:{worker.port}/generate"
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        plug = asyncio.create_task(client.post(url, json=a_request("slow")))
        await asyncio.to_thread(
            worker.wait, lambda status: status["queue"]["running"] == 1, within_s=PATIENCE_S
        )
        sent = [asyncio.create_task(client.post(url, json=body)) for body in bodies]
        await asyncio.to_thread(
            worker.wait, lambda status: status["queue"]["running"] == 4, within_s=PATIENCE_S
        )
        began_s = time.monotonic()
        sent[1].cancel()
        await asyncio.to_thread(
            worker.wait, lambda status: status["queue"]["running"] <= 3, within_s=PATIENCE_S
        )
        tell(f"a client that left was noticed after {time.monotonic() - began_s:.3f} s")
        replies = await asyncio.gather(plug, *sent, return_exceptions=True)
    left = [reply for reply in replies if isinstance(reply, BaseException)]
    assert len(left) == 1
    assert isinstance(left[0], asyncio.CancelledError)
    largest = 0
    for seed in (0, 2, 3):
        reply = replies[1 + seed]
        assert isinstance(reply, httpx.Response)
        answer = Answer(reply.status_code, reply.content, {}, reply.headers["content-type"])
        largest = max(largest, int(abs(pixels(answer) - pixels(want[seed])).max()))
    tell(f"the pictures of the three that stayed: {largest} steps of 8 bits apart")
    assert largest <= 1


def test_a_terminated_worker_makes_what_it_accepted_and_leaves_nothing_on_the_gpu(
    folders: dict[str, Path], device: torch.device, tmp_path: Path, tell: Tell
) -> None:
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    cascade = a_cascade(a_model("m", folders["sdxl"], steps=PLUG_STEPS))
    with WorkerProcess(cascade, tmp_path, "--device", str(device), "--grace-s", "100") as worker:
        worker.assign("m", batch_size=2)
        worker.wait_resident("m")
        answers: list[Answer] = []
        callers = [
            threading.Thread(
                target=lambda seed=seed: answers.append(worker.generate("m", seed=seed))
            )
            for seed in range(4)
        ]
        for caller in callers:
            caller.start()
        worker.wait(
            lambda status: status["queue"]["waiting"] + status["queue"]["running"] == 4,
            within_s=PATIENCE_S,
        )
        began_s = time.monotonic()
        code = worker.terminate()
        took_s = time.monotonic() - began_s
        for caller in callers:
            caller.join()
    tell(f"listening {worker.listening_s:.1f} s after its start, gone {took_s:.2f} s after SIGTERM")
    assert code == 0
    assert [answer.status for answer in answers] == [200] * 4
    assert "Traceback" not in worker.log.read_text()
    if device.type == "cuda":
        assert free - torch.cuda.mem_get_info(device)[0] < 64 * 2**20


PRELOADED = """
import os, sys, threading
from hadis_server import preloading
preloading.preload()
import torch
assert not torch.cuda.is_initialized()
assert threading.active_count() == 1, threading.enumerate()
pid = os.fork()
if pid == 0:
    if torch.cuda._is_in_bad_fork():
        os._exit(1)
    torch.ones(3, device=sys.argv[1]).sum().item()
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_importing_what_a_worker_needs_leaves_the_gpu_to_forked_children(
    device: torch.device,
) -> None:
    command = [sys.executable, "-c", PRELOADED, str(device)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class ForkedWorker(WorkerClient):
    """A worker that a nursery has forked."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.port, self.control_port = ports["port"], ports["control_port"]
        self.metrics_port = ports["metrics_port"]


async def test_a_nursery_forks_workers_that_share_a_gpu_and_replaces_one_that_died(
    cascade: Cascade, device: torch.device, tmp_path: Path, tell: Tell
) -> None:
    file = tmp_path / "cascade.yaml"
    file.write_text(dump_manifests(cascade))
    log = tmp_path / "nursery.log"
    began_s = time.monotonic()
    nursery = await Nursery.start(log=log, environment=dict(os.environ))
    await nursery.ready
    tell(f"the nursery can fork after {time.monotonic() - began_s:.1f} s")

    async def serve(name: str) -> tuple[Any, ForkedWorker, Answer]:
        began_s = time.monotonic()
        argv = ["--cascade", str(file), "--device", str(device), "--memory-share", "0.3"]
        process = await nursery.spawn(
            name, [*argv, "--name", name], log=tmp_path / f"{name}.log", environment={}
        )
        worker = ForkedWorker(await process.announced)
        await asyncio.to_thread(worker.assign, "scenes-s")
        await asyncio.to_thread(worker.wait_resident, "scenes-s")
        answer = await asyncio.to_thread(
            worker.generate, "scenes-s", prompt=PROMPT, **sides("scenes-s")
        )
        tell(f"{name}: first picture {time.monotonic() - began_s:.1f} s after the fork was asked")
        return process, worker, answer

    try:
        one, two = await asyncio.gather(serve("w0"), serve("w1"))
        assert abs(pixels(one[2]) - pixels(two[2])).max() == 0
        one[0].send_signal(signal.SIGKILL)
        assert await one[0].ended == -signal.SIGKILL
        again = await serve("w0")
        assert abs(pixels(again[2]) - pixels(two[2])).max() == 0
        assert await asyncio.gather(again[0].stop(grace_s=60), two[0].stop(grace_s=60)) == [0, 0]
    finally:
        nursery.process.send_signal(signal.SIGKILL)
        await nursery.process.ended

"""Weights on a GPU: counted right, moved out and in again, refused in one line."""

import gc
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hadis.errors import ModelUnavailable
from hadis.terms.cascades import ModelSpec
from hadis_server import pipelines, residency, sizing
from hadis_server.pipelines import Row, Variant
from support.large_pipelines import save_of_real_size, twin_of
from support.live_workers import PATIENCE_S, a_cascade, a_model, pixels
from support.worker_processes import WorkerProcess

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

Tell = Callable[[str], None]
MIB = 2**20


@pytest.fixture(scope="module")
def real(device: torch.device, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of Stable Diffusion 1.5's size; a small one on a CPU."""
    folder = tmp_path_factory.mktemp("real") / "one"
    return save_of_real_size(folder, device=device, large=device.type == "cuda")


def a_large_model(name: str, folder: Path) -> ModelSpec:
    return a_model(name, folder, steps=4, dtype="float16")


def free_bytes(device: torch.device) -> int:
    gc.collect()
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


@pytest.mark.usefixtures("on_a_gpu")
def test_what_weights_are_said_to_take_is_what_the_gpu_has_less(
    real: Path, folders: dict[str, Path], device: torch.device, tell: Tell
) -> None:
    # What CUDA's libraries take once is not the weights'.
    small = a_model("small", folders["sd"], dtype="float16")
    Variant(small, pipelines.load_weights(small, device), serial=1).generate(
        [Row("a red circle", None, 1)], width=64, height=64
    )
    before = free_bytes(device)
    budget = residency.measure_budget(device)
    assert abs(budget - residency.SHARE_OF_FREE * before) < MIB
    spec = a_large_model("real", real)
    began_s = time.monotonic()
    weights = pipelines.load_weights(spec, device)
    took_s = time.monotonic() - began_s
    taken = before - free_bytes(device)
    counted, expected = pipelines.weights_bytes(weights), sizing.expected_bytes(spec, device)
    tell(
        f"{counted / MIB:.0f} MiB of weights loaded in {took_s:.2f} s: the GPU has "
        f"{taken / MIB:.0f} MiB less, the files hold {expected / MIB:.0f} MiB"
    )
    # Beside the weights: kernels that are loaded when first used, and what the allocator rounds up.
    assert abs(taken - counted) < 0.05 * counted + 256 * MIB
    assert abs(expected - counted) < 0.05 * counted
    del weights
    assert abs(before - free_bytes(device)) < 64 * MIB


@pytest.mark.usefixtures("on_a_gpu")
def test_a_model_that_a_gpu_has_no_room_for_is_refused_in_one_line_and_leaves_none_of_it(
    real: Path, device: torch.device, tell: Tell
) -> None:
    before = free_bytes(device)
    index = torch.cuda.current_device()
    torch.cuda.set_per_process_memory_fraction(0.005, index)  # 400 MB of 80 GB
    try:
        with pytest.raises(ModelUnavailable, match=r"real does not fit into the \d+ bytes") as told:
            pipelines.load_weights(a_large_model("real", real), device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)
    tell(str(told.value))
    assert "\n" not in str(told.value)
    assert "dtype" in str(told.value)
    del told
    assert abs(before - free_bytes(device)) < 64 * MIB


def test_a_model_above_the_budget_says_so_and_is_tried_once_it_is_assigned(
    real: Path, folders: dict[str, Path], device: torch.device, tmp_path: Path, tell: Tell
) -> None:
    cascade = a_cascade(a_model("small", folders["sd"]), a_large_model("real", real))
    budget = str(2 * sizing.expected_bytes(cascade.models[0], device))
    with WorkerProcess(
        cascade, tmp_path, "--device", str(device), "--memory-budget-bytes", budget
    ) as worker:
        worker.assign("small")
        worker.wait_resident("small")
        worker.wait(lambda _: "budget" in worker.generate("real").message, within_s=PATIENCE_S)
        refused = worker.generate("real")
        tell(f"{refused.status}: {refused.message}")
        assert refused.status == 409
        assert f"more than the {budget} of the memory budget" in refused.message
        worker.assign("real")
        worker.wait_resident("real")
        assert worker.generate("real").status == 200


def test_weights_leave_for_the_hosts_memory_and_come_back_the_same(
    real: Path, device: torch.device, tmp_path: Path, tell: Tell
) -> None:
    one, two = a_large_model("one", real), a_large_model("two", twin_of(real, tmp_path / "two"))
    budget = int(1.5 * sizing.expected_bytes(one, device))
    swaps: dict[str, float] = {}
    with WorkerProcess(
        a_cascade(one, two), tmp_path, "--device", str(device), "--memory-budget-bytes", str(budget)
    ) as worker:

        def assign(model: str) -> np.ndarray:
            began_s = time.monotonic()
            worker.assign(model)
            worker.wait_resident(model)
            swaps[f"{len(swaps) + 1}. {model}"] = round(time.monotonic() - began_s, 2)
            return pixels(worker.generate(model, seed=3))

        first = [assign("one"), assign("two")]
        again = [assign("one"), assign("two"), assign("one")]
        status = worker.status()["models"]
        assert status["one"]["resident"]
        assert not status["two"]["resident"]
    size = sizing.expected_bytes(one, device) / MIB
    tell(f"seconds until a model of {size:.0f} MiB is resident, the other one leaving: {swaps}")
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert np.array_equal(again[2], again[0])

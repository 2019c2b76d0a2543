"""Every stage of the training of scenes runs on a GPU, stops anywhere, and goes on from there."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hadis_scenes

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]

Tell = Callable[[str], None]
# The real program on a twentieth of its data.
ON_LITTLE_DATA = """
import os
from hadis_scenes.training import __main__ as training
from hadis_scenes.training import dataset, judged, matching, runs, tuning
dataset.SCENES, judged.SCENES, matching._HELD_BACK = 4000, 2000, 200
tuning.COUNTS.update(dict.fromkeys(tuning.COUNTS, 60))
runs.SAVE_EVERY_S, runs.LOG_EVERY_STEPS = float(os.environ["SAVE_EVERY_S"]), 20
training.main()
"""
STAGES = (
    *("data", "prompts", "text", "autoencoder", "decoder", "matching", "embedding"),
    *("heavy", "light", "export", "tuning", "curves"),
)
MINUTES = "0.25"
RUNS = (
    *("text", "autoencoder", "decoder", "matching", "embedding"),
    *("heavy", "light", "matching-tuned", "real-fake"),
)
PATIENCE_S = 300.0


class Site:
    """A copy of the cascade's package and a folder to work in."""

    def __init__(self, folder: Path, device: str) -> None:
        self.package, self.work, self._device = folder / "scenes", folder / "work", device
        if not self.package.exists():
            shutil.copytree(Path(hadis_scenes.__file__).parents[1], self.package)
        self.model = self.package / "hadis_scenes/models/light/unet"

    def start(self, *arguments: str, save_every_s: float = 60.0) -> subprocess.Popen[bytes]:
        known = os.environ.get("PYTHONPATH", "")
        return subprocess.Popen(
            [
                *(sys.executable, "-c", ON_LITTLE_DATA, *arguments, "--work", str(self.work)),
                *("--device", self._device, "--budget-minutes", MINUTES),
            ],
            env={
                **os.environ,
                "PYTHONPATH": f"{self.package}:{known}",
                "SAVE_EVERY_S": str(save_every_s),
            },
        )

    def run(self, *arguments: str) -> float:
        began_s = time.monotonic()
        process = self.start(*arguments)
        try:
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
        return time.monotonic() - began_s

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.work / "logs" / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def losses(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines(name) if "loss" in line]

    def saved(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = torch.load(
            self.work / "checkpoints" / f"{name}.pt", map_location="cpu"
        )
        return state


@pytest.fixture(scope="module")
def site(device: torch.device, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """HADIS_TEST_WORK keeps the folder between runs of pytest."""
    kept = os.environ.get("HADIS_TEST_WORK")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("training")
    folder.mkdir(parents=True, exist_ok=True)
    return Site(folder, str(device))


def test_every_stage_of_the_training_runs(site: Site, tell: Tell) -> None:
    before = (site.model / "diffusion_pytorch_model.safetensors").read_bytes()
    took_s = site.run(*STAGES, "--set", "batch=64")
    tell(f"all stages on little data, {MINUTES} minutes of training: {took_s:.0f} s")
    for name in RUNS:
        state = site.saved(name)
        tell(f"{name}: {state['step']} steps, {state['examples']} examples")
        assert state["step"] > 0
        assert all(bool(torch.isfinite(v).all()) for v in state["average"].values())
    assert (site.model / "diffusion_pytorch_model.safetensors").read_bytes() != before
    latents = np.load(site.work / "data" / "latents.npy")
    assert latents.shape == (4000, 4, 16, 16)
    assert abs(float(latents.astype(np.float32).std()) - 1) < 0.1
    assert (site.package / "recipe" / "curves.png").stat().st_size > 10_000


def test_an_interrupted_training_goes_on_from_where_it_was_saved(site: Site, tell: Tell) -> None:
    site.run("data", "text", "autoencoder", "heavy", "--set", "batch=64")
    start = site.saved("heavy")
    known = len(site.losses("heavy"))
    process = site.start("heavy", "--set", "budget_s=9999", "--set", "batch=64", save_every_s=2.0)
    try:
        give_up_s = time.monotonic() + PATIENCE_S
        while len(site.losses("heavy")) < known + 2 or site.saved("heavy")["step"] == start["step"]:
            assert process.poll() is None
            assert time.monotonic() < give_up_s
            time.sleep(0.5)
    finally:
        process.kill()
        process.wait()
    cut = site.saved("heavy")
    assert cut["step"] > start["step"]
    assert cut["elapsed_s"] > start["elapsed_s"]
    logged = len(site.lines("heavy"))
    budget = f"budget_s={cut['elapsed_s'] + 30}"
    took_s = site.run("heavy", "--set", budget, "--set", "batch=64")
    begun, *lines = [line for line in site.lines("heavy")[logged:] if "auc" not in line]
    assert begun["step"] == cut["step"]
    assert begun["recipe"]["batch"] == 64
    rate = speed(lines)
    tell(
        f"killed at step {cut['step']}, resumed for {took_s:.0f} s up to {lines[-1]['step']}; the "
        f"heavy denoiser sees {rate:.0f} examples a second in batches of 64"
    )
    assert lines[-1]["step"] > cut["step"]
    assert site.saved("heavy")["elapsed_s"] >= cut["elapsed_s"] + 30


@pytest.mark.usefixtures("on_a_gpu")
def test_a_gpu_trains_faster_in_larger_batches(site: Site, tell: Tell) -> None:
    state = site.saved("heavy")
    small = speed(site.losses("heavy")[-10:])
    logged = len(site.lines("heavy"))
    budget = f"budget_s={state['elapsed_s'] + 40}"
    site.run("heavy", "--set", budget, "--set", "batch=512")
    large = speed([line for line in site.lines("heavy")[logged:] if "loss" in line])
    tell(
        f"examples a second of the heavy denoiser: {small:.0f} in batches of 64, {large:.0f} of 512"
    )
    assert large > small


def speed(lines: list[dict[str, Any]]) -> float:
    """Return the examples a second between the first and the last line."""
    first, last = lines[0], lines[-1]
    seen: float = last["examples"] - first["examples"]
    return seen / (last["elapsed_s"] - first["elapsed_s"])


def test_the_shipped_variants_are_evaluated(
    device: torch.device, tmp_path: Path, tell: Tell
) -> None:
    began_s = time.monotonic()
    command = [sys.executable, "-m", "hadis_scenes.evaluation", "generate", "judge"]
    command += ["--work", str(tmp_path), "--device", str(device), "--sets", "test"]
    subprocess.run([*command, "--first", "100"], check=True, timeout=PATIENCE_S)
    took_s = time.monotonic() - began_s
    outcomes = [
        json.loads(line) for line in (tmp_path / "outcomes/test.jsonl").read_text().splitlines()
    ]
    right = {
        name: float(np.mean([line["fulfilled"][name] for line in outcomes]))
        for name in outcomes[0]["fulfilled"]
    }
    tell(f"100 prompts of the test set evaluated in {took_s:.0f} s; right: {right}")
    assert len(outcomes) == 100
    assert right["scenes-l"] > 0.6

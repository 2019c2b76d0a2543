"""The profiler measures a GPU by the clock on the wall."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import hadis_scenes
from hadis.wire.manifests import read_manifests, resolve_paths
from hadis_cli.main import main
from hadis_profiler import latencies
from hadis_server import hardware

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

BATCHES = (1, 2, 4, 8, 16)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_variants_of_scenes_are_measured_in_batches_of_1_to_16(
    device: torch.device, tell: Callable[[str], None], dtype: str
) -> None:
    file = Path(hadis_scenes.__file__).with_name("cascade.yaml")
    manifests = read_manifests(file.read_text(encoding="utf-8"), source=str(file))
    cascade = resolve_paths(manifests.cascade, file.parent)
    models = tuple(replace(model, dtype=dtype) for model in cascade.models)
    measured = latencies.measure(
        replace(cascade, models=models), processes=1, device=str(device), batches=BATCHES
    )
    for name, seconds in measured.models.items():
        tell(f"{name} {dtype}: " + ", ".join(f"{b}: {s * 1e3:.1f} ms" for b, s in seconds.items()))
    scoring = ", ".join(f"{b}: {s * 1e3:.1f} ms" for b, s in measured.scoring.items())
    tell(f"scoring: {scoring}")
    assert measured.hardware == hardware.name(device)
    assert list(measured.models) == [model.name for model in models]
    names = list(measured.models)
    assert measured.models[names[0]][1] < measured.models[names[-1]][1]
    if device.type == "cuda":
        assert all(seconds[16] < 8 * seconds[1] for seconds in measured.models.values())


@pytest.mark.usefixtures("on_a_gpu")
def test_the_command_measures_a_gpu_without_being_told(
    device: torch.device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(hadis_scenes.__file__).with_name("cascade.yaml")
    names = [
        model.name for model in read_manifests(file.read_text(), source="scenes").cascade.models
    ]
    line = {"prompt": "a red circle", "fulfilled": {name: [0, 1] for name in names}}
    measured = tmp_path / "measured.jsonl"
    measured.write_text(json.dumps({**line, "scores": {name: [0.2, 0.9] for name in names}}))
    given = ["profile", "--cascade", str(file), "--outcomes", str(measured), "--batches", "1"]
    assert main([*given, "--out", str(tmp_path / "out")]) == 0
    profile = json.loads((tmp_path / "out" / "profile.json").read_text())
    assert profile["hardware"] == hardware.name(device)
    assert "on cuda" in capsys.readouterr().err

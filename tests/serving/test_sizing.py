"""What a model will take is known before it is loaded, by the headers of its files."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hadis.terms.cascades import ModelSource, ModelSpec
from hadis_server import pipelines, sizing
from support.live_workers import a_model

CPU = torch.device("cpu")


def taken(spec: ModelSpec) -> int:
    return pipelines.weights_bytes(pipelines.load_weights(spec, CPU))


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_it_is_what_loading_takes(folders: dict[str, Path], name: str, dtype: str) -> None:
    spec = a_model("m", folders[name], dtype=dtype)
    assert sizing.expected_bytes(spec, CPU) == pytest.approx(taken(spec), rel=0.05)


def test_half_precision_takes_half_on_a_gpu_only(folders: dict[str, Path]) -> None:
    whole, half = (a_model("m", folders["sd"], dtype=name) for name in ("float32", "float16"))
    assert sizing.expected_bytes(half, CPU) == sizing.expected_bytes(whole, CPU)
    on_gpu = sizing.expected_bytes(half, torch.device("cuda"))
    assert on_gpu == pytest.approx(sizing.expected_bytes(whole, CPU) / 2, rel=0.01)


def test_files_that_are_not_loaded_count_nothing(folders: dict[str, Path], tmp_path: Path) -> None:
    crowded = Path(shutil.copytree(folders["sd"], tmp_path / "crowded"))
    weights = crowded / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    shutil.copy(weights, weights.with_suffix(".bin"))
    shutil.copy(weights, crowded / "everything.safetensors")
    (crowded / "safety_checker").mkdir()
    shutil.copy(weights, crowded / "safety_checker" / "model.safetensors")
    plain, other = (a_model("m", folder) for folder in (folders["sd"], crowded))
    assert sizing.expected_bytes(other, CPU) == sizing.expected_bytes(plain, CPU)


def test_a_part_from_elsewhere_counts_instead_of_its_own(folders: dict[str, Path]) -> None:
    plain = a_model("m", folders["sd"])
    overrides = {"unet": str(folders["sd"] / "vae"), "scheduler.shift": "3"}
    spec = replace(plain, source=replace(plain.source, overrides=overrides))
    unet = sizing._weights(folders["sd"] / "unet")
    vae = sizing._weights(folders["sd"] / "vae")
    difference = sum(sizing._loaded_bytes(file, 4) for file in unet)
    difference -= sum(sizing._loaded_bytes(file, 4) for file in vae)
    assert difference > 0
    want = sizing.expected_bytes(plain, CPU) - difference
    assert sizing.expected_bytes(spec, CPU) == want


def test_what_is_not_on_this_disk_counts_nothing(tmp_path: Path) -> None:
    for source in (
        ModelSource(path=str(tmp_path / "gone")),
        ModelSource(repository="nobody/nothing"),
        ModelSource(repository="nobody/nothing", revision="0" * 40),
    ):
        assert sizing.expected_bytes(a_model("m", tmp_path, source=source), CPU) == 0


@pytest.mark.parametrize("content", [b"", b"12", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"[]"])
def test_a_broken_file_counts_by_its_size(tmp_path: Path, content: bytes) -> None:
    part = tmp_path / "unet"
    part.mkdir()
    (part / "model.safetensors").write_bytes(content)
    assert sizing.expected_bytes(a_model("m", tmp_path), CPU) == len(content)

"""Adapters are fused into the weights, each of them, and leave nothing beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hadis.errors import ModelUnavailable
from hadis.terms.cascades import ModelSpec
from hadis_server import pipelines
from support import adapters
from support.live_workers import a_model

CPU = torch.device("cpu")


def queries(pipeline: Any) -> dict[str, torch.Tensor]:
    found = {
        name: layer.weight.detach()
        for name, layer in pipeline.unet.named_modules()
        if name.endswith(".to_q")
    }
    assert found
    return found


@pytest.fixture
def plain(folders: dict[str, Path]) -> ModelSpec:
    return a_model("m", folders["sdxl"])


def test_every_adapter_is_fused_into_the_weights(
    plain: ModelSpec, folders: dict[str, Path], tmp_path: Path
) -> None:
    contents = [adapters.of(folders["sdxl"], seed=seed) for seed in (1, 2)]
    places = [tmp_path / name for name in ("first", "second")]
    for place, content in zip(places, contents, strict=True):
        place.mkdir()
        (place / "pytorch_lora_weights.safetensors").write_bytes(content)
    before = queries(pipelines.load_weights(plain, CPU))
    fused = pipelines.load_weights(replace(plain, loras=tuple(map(str, places))), CPU)
    after = queries(fused)
    assert after.keys() == before.keys()
    for name, weights in before.items():
        added = sum(adapters.change(content, name) for content in contents)
        assert torch.allclose(after[name], weights + added, atol=1e-4), name
    names = {name for name, _ in fused.unet.named_parameters()}
    assert not any("lora" in name for name in names)


def test_an_adapter_that_cannot_be_read_is_the_models_fault_by_name(
    plain: ModelSpec, tmp_path: Path
) -> None:
    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes(b"no adapter")
    with pytest.raises(ModelUnavailable, match="model m"):
        pipelines.load_weights(replace(plain, loras=(str(tmp_path),)), CPU)

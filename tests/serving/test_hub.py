"""Which files of a repository are read, and what is left over in the cache."""

import os
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from hadis.errors import ModelUnavailable
from hadis_server import caches, hub

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
DIFFUSERS_SHARDS = [f"diffusion_pytorch_{name}" for name in SHARDS]


@pytest.mark.parametrize(
    ("names", "want"),
    [
        # A vae with its pickle, its file for other programs, and a demonstration.
        (
            ["config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin",
             "sdxl_vae.safetensors", "README.md", ".gitattributes", "demo/config.json"],
            ["config.json", "diffusion_pytorch_model.safetensors"],
        ),
        # A sharded text encoder with a tokenizer beside it.
        (
            ["config.json", "model.safetensors.index.json", *SHARDS, "tokenizer.json",
             "spiece.model", "pytorch_model.bin.index.json"],
            ["config.json", "spiece.model", "tokenizer.json", "model.safetensors.index.json",
             *SHARDS],
        ),
        # Both ways: transformers reads the file, diffusers the shards.
        (
            ["model.safetensors", "model.safetensors.index.json", *SHARDS],
            ["model.safetensors"],
        ),
        (
            ["diffusion_pytorch_model.safetensors",
             "diffusion_pytorch_model.safetensors.index.json", *DIFFUSERS_SHARDS],
            ["diffusion_pytorch_model.safetensors.index.json", *DIFFUSERS_SHARDS],
        ),
        # A tokenizer has no weights.
        (["merges.txt", "vocab.json"], ["merges.txt", "vocab.json"]),
        # Another precision is another model.
        (["config.json", "model.fp16.safetensors"], ["config.json"]),
    ],
)  # fmt: skip
def test_the_files_of_a_part(names: list[str], want: list[str]) -> None:
    assert hub.part_files(names) == want
    assert hub.part_files(reversed(names)) == want


@pytest.mark.parametrize(
    ("names", "want"),
    [
        (["a.safetensors", "pytorch_lora_weights.safetensors"], "pytorch_lora_weights.safetensors"),
        (["b.safetensors", "a.safetensors", "README.md"], "a.safetensors"),
        (["checkpoint-9/pytorch_lora_weights.safetensors", "x.safetensors"], "x.safetensors"),
        (["scheduler.safetensors", "lora/x.safetensors"], "lora/x.safetensors"),
    ],
)
def test_the_file_of_an_adapter(names: list[str], want: str) -> None:
    assert hub.lora_file("me/lora", names) == want


def test_an_adapter_without_safe_weights_is_named() -> None:
    with pytest.raises(ModelUnavailable, match=r"me/lora.*safetensors.*spec\.models\[\]\.loras"):
        hub.lora_file("me/lora", ["pytorch_lora_weights.bin"])


@pytest.fixture
def blobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = caches.blobs("me/model")
    folder.mkdir(parents=True)
    return folder


def test_partial_files_go_when_they_are_whole_or_abandoned(blobs: Path) -> None:
    for name in ("whole", "whole.0a1b.incomplete", "growing.0a1b.incomplete", "old.0a.incomplete"):
        (blobs / name).write_bytes(b"12345")
    os.utime(blobs / "old.0a.incomplete", (0, time.time() - 2 * caches.ABANDONED_S))
    caches.sweep()
    assert sorted(file.name for file in blobs.iterdir()) == ["growing.0a1b.incomplete", "whole"]


def test_the_size_of_a_repository_counts_partial_files(blobs: Path) -> None:
    (blobs / "whole").write_bytes(b"12345")
    (blobs / "other.0a1b.incomplete").write_bytes(b"123")
    assert caches.size_of("me/model") == 8
    assert caches.size_of("me/other") == 0


@pytest.mark.parametrize(
    ("count", "want"),
    [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (5e6, "5 MB"), (27.84e9, "27.8 GB")],
)
def test_sizes_are_told_in_words(count: float, want: str) -> None:
    assert caches.in_words(count) == want


def test_a_marker_is_written_whole(tmp_path: Path) -> None:
    marker = tmp_path / "0a1b2c3d"
    caches.write_marker(marker, {"fetched": []})
    caches.write_marker(marker, {"fetched": [1]})
    assert marker.read_text(encoding="utf-8") == '{\n "fetched": [\n  1\n ]\n}'
    assert [file.name for file in tmp_path.iterdir()] == ["0a1b2c3d"]

"""Write what ships: pipelines, discriminators, and the record of how they were trained."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from hadis_scenes import networks, pipelines
from hadis_scenes.training import autoencoder, embedding, matching, runs

MODELS = ("heavy", "light")


def _exists(work: Path, run: str) -> bool:
    return (work / "checkpoints" / f"{run}.pt").exists()


def export_models(work: Path, target: Path) -> None:
    """Write the averaged weights of both denoisers as complete pipelines."""
    for name in MODELS:
        if _exists(work, name):
            denoiser = networks.Denoiser()
            runs.averaged(work, name, denoiser)
            pipelines.write(denoiser, autoencoder.trained(work), target / name)


def _write_discriminator(model: nn.Module, kind: str, folder: Path, tuned: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "kind": kind,
        "image_size": 64,
        "parameters": sum(v.numel() for v in weights.values()),
        "tuned_on_generated_images": tuned,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def export_discriminators(work: Path, target: Path) -> None:
    """Write both kinds, each with its configuration."""
    if _exists(work, "matching"):
        tuned = _exists(work, "matching-tuned")
        _write_discriminator(matching.tuned(work), "matching", target / "matching", tuned)
    if _exists(work, "embedding"):
        tuned = _exists(work, "real-fake")
        _write_discriminator(embedding.trained(work), "real-fake", target / "real-fake", tuned)


def export(work: Path, package: Path) -> None:
    """Write everything below a package folder."""
    torch.set_num_threads(1)
    export_models(work, package / "models")
    export_discriminators(work, package / "discriminators")

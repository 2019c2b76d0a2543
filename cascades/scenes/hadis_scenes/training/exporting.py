"""Write what ships: the pipeline and the discriminators; and the teacher, for later trainings."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from hadis_scenes import networks, pipelines
from hadis_scenes.training import autoencoder, embedding, matching, runs
from hadis_scenes.variants import model_of

TEACHER = "heavy.safetensors"
"""The heavy denoiser, beside the record: no variant runs it, but training goes on from it."""


def _exists(work: Path, run: str) -> bool:
    return (work / "checkpoints" / f"{run}.pt").exists()


def _denoiser(work: Path, run: str) -> networks.Denoiser:
    denoiser = networks.Denoiser()
    runs.averaged(work, run, denoiser)
    return denoiser


def _halved(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}


def export_denoisers(work: Path, package: Path) -> None:
    """Write the light denoiser's average as a complete pipeline, the heavy one's weights alone."""
    if _exists(work, "light"):
        pipelines.write(_denoiser(work, "light"), autoencoder.trained(work), model_of(package))
    if _exists(work, "heavy"):
        recipe = package.parent / "recipe"
        recipe.mkdir(exist_ok=True)
        save_file(_halved(_denoiser(work, "heavy").unet), recipe / TEACHER)


def _write_discriminator(model: nn.Module, kind: str, folder: Path, tuned: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = _halved(model)
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
    export_denoisers(work, package)
    export_discriminators(work, package / "discriminators")

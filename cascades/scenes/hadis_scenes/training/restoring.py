"""Write checkpoints from the shipped weights, for runs that go on without their old work folder.

Optimizer states are not shipped: a restored run starts a fresh cosine from the weights. The heavy
denoiser's lie beside the record of its training, for no variant runs it. The tiny CLIP ships
without its text half and is trained anew.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from hadis_scenes import discriminators, networks
from hadis_scenes.training import (
    autoencoder,
    diffusion,
    distillation,
    exporting,
    matching,
    runs,
    text,
)
from hadis_scenes.variants import model_of

EARLIER = "earlier-recipe.json"
"""The record of the runs that a restored work folder goes on from."""
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_SPENT_S = 1e9


def _load(module: nn.Module, path: Path) -> None:
    weights = {key: value.float() for key, value in load_file(path).items()}
    _, unexpected = module.load_state_dict(weights, strict=False)  # tied weights ship once
    if unexpected:
        raise ValueError(f"{path}: unexpected weights {unexpected}")


def _checkpoint(
    work: Path, name: str, model: nn.Module, recipe: runs.Recipe, *, finished: bool
) -> None:
    if (work / "checkpoints" / f"{name}.pt").exists():
        return
    run = runs.Run(work, name, model, recipe, "cpu")
    run.elapsed_s = _SPENT_S if finished else 0.0
    run.save()


def _denoiser(folder: Path, unet: Path) -> networks.Denoiser:
    """Read a denoiser with the text encoder of a pipeline, which all of them share."""
    model = networks.Denoiser()
    _load(model.unet, unet)
    _load(model.text, folder / "text_encoder" / "model.safetensors")
    model.text.requires_grad_(False)
    return model


def restore(work: Path, package: Path) -> None:
    """Write a checkpoint of every shipped network that the work folder has none of.

    The record of how these came about goes along, so that the next one goes on from it.
    """
    record = package.parent / "recipe" / "recipe.json"
    if record.exists() and not (work / EARLIER).exists():
        work.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(record, work / EARLIER)
    folder = model_of(package)
    vae = networks.autoencoder()
    _load(vae, folder / "vae" / _WEIGHTS)
    _checkpoint(work, "autoencoder", vae, autoencoder.RECIPE, finished=True)
    _checkpoint(work, "decoder", vae.decoder, autoencoder.REFINING, finished=True)
    scale = work / "checkpoints" / "latent_scale.pt"
    if not scale.exists():
        config = networks.autoencoder().load_config(folder / "vae")
        runs.save(scale, 1 / float(config["scaling_factor"]))
    heavy = _denoiser(folder, record.parent / exporting.TEACHER)
    light = _denoiser(folder, folder / "unet" / _WEIGHTS)
    labelled = text.LabelledText()
    labelled.encoder.load_state_dict(heavy.text.state_dict())
    _checkpoint(work, "text", labelled, text.RECIPE, finished=True)
    _checkpoint(work, "heavy", heavy, diffusion.RECIPE, finished=False)
    _checkpoint(work, "light", light, distillation.RECIPE, finished=False)
    trainee = matching.Trainee(discriminators.Matcher())
    _load(trainee.matcher, package / "discriminators" / "matching" / "model.safetensors")
    _checkpoint(work, "matching", trainee, matching.RECIPE, finished=False)

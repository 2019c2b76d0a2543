"""Train the autoencoder, and encode every training picture once."""

from __future__ import annotations

import itertools
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from hadis_scenes import networks, precision
from hadis_scenes.training import dataset, runs

RECIPE = runs.Recipe(
    budget_s=270, batch=32, rate=2e-3, warmup_steps=50, weight_decay=0.0, average=0.99, seed=0
)
REFINING = runs.Recipe(
    budget_s=420, batch=32, rate=1.5e-3, warmup_steps=50, weight_decay=0.0, average=0.99, seed=5
)
_LATENT_NOISE = 0.03


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Turn bytes (n, side, side, 3) into network input in [-1, 1]."""
    return (
        images.permute(0, 3, 1, 2)
        .float()
        .div(127.5)
        .sub(1)
        .contiguous(memory_format=torch.channels_last)
    )


def as_bytes(images: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Turn network output in [-1, 1] into bytes (n, side, side, 3)."""
    scaled = images.add(1).mul(127.5).add(0.5).clamp(0, 255)
    array: npt.NDArray[np.uint8] = scaled.byte().permute(0, 2, 3, 1).cpu().numpy()
    return array


def train(work: Path, recipe: runs.Recipe, device: str) -> None:
    """Learn to reconstruct from noisy latents of zero mean, as the pipeline knows no shift."""
    images = torch.from_numpy(dataset.load(work, "images"))
    torch.manual_seed(recipe.seed)
    model = networks.channels_last(networks.autoencoder().to(device))
    run = runs.Run(work, "autoencoder", model, recipe, device)
    for _ in run.steps():
        picked = torch.randint(0, len(images), (recipe.batch,))
        x = pixels(images[picked].to(device))
        with precision.bulk(device):
            latent = model.encoder(x).float()
            y = model.decoder(latent + torch.randn_like(latent) * _LATENT_NOISE).float()
        error = functional.mse_loss(y, x)
        loss = error + 0.1 * functional.l1_loss(y, x) + 1e-3 * latent.pow(2).mean()
        loss = loss + 0.1 * latent.mean((0, 2, 3)).pow(2).mean()
        run.update(loss, error=error)
    encode(work, device)


@torch.no_grad()
def _encode_rows(work: Path, start: int, stop: int, device: str) -> torch.Tensor:
    torch.set_num_threads(1)
    model = networks.autoencoder()
    runs.averaged(work, "autoencoder", model, device)
    networks.channels_last(model)
    images = torch.from_numpy(dataset.load(work, "images")[start:stop])
    rows = []
    with precision.bulk(device):
        for at in range(0, len(images), 256):
            encoded = model.encoder(pixels(images[at : at + 256].to(device)))
            rows.append(encoded.float().cpu().half())
    return torch.cat(rows)


def encode(work: Path, device: str) -> None:
    """Write the latents of all pictures, divided by their standard deviation, which is kept."""
    target = work / "data" / "latents.npy"
    if target.exists():
        return
    total = len(dataset.load(work, "images"))
    parts = multiprocessing.cpu_count() if device == "cpu" else 1
    edges = [total * part // parts for part in range(parts + 1)]
    jobs = [(work, a, b, device) for a, b in itertools.pairwise(edges)]
    if parts > 1:
        with multiprocessing.get_context("spawn").Pool(parts) as pool:
            latents = torch.cat(pool.starmap(_encode_rows, jobs))
    else:
        latents = _encode_rows(*jobs[0])
    scale = work / "checkpoints" / "latent_scale.pt"
    if not scale.exists():
        runs.save(scale, float(latents[:20_000].float().std()))
    deviation = float(torch.load(scale))
    np.save(target, (latents.float() / deviation).half().numpy())
    runs.log_line(
        work,
        "autoencoder",
        latent_deviation=deviation,
        latent_means=[round(v, 4) for v in latents[:20_000].float().mean((0, 2, 3)).tolist()],
    )


def refine(work: Path, recipe: runs.Recipe, device: str) -> None:
    """Go on training the decoder alone: latents, and so the denoisers, stay as they are."""
    images = torch.from_numpy(dataset.load(work, "images"))
    latents = torch.from_numpy(dataset.load(work, "latents"))
    deviation = float(torch.load(work / "checkpoints" / "latent_scale.pt"))
    whole = networks.autoencoder()
    runs.averaged(work, "autoencoder", whole, device)
    model = networks.channels_last(whole.decoder.requires_grad_(True))
    torch.manual_seed(recipe.seed)
    run = runs.Run(work, "decoder", model, recipe, device)
    for _ in run.steps():
        picked = torch.randint(0, len(images), (recipe.batch,))
        x = pixels(images[picked].to(device))
        latent = latents[picked].to(device).float() * deviation
        latent = latent + torch.randn_like(latent) * _LATENT_NOISE * torch.rand(
            len(latent), 1, 1, 1, device=device
        )
        with precision.bulk(device):
            y = model(latent.contiguous(memory_format=torch.channels_last)).float()
        error = functional.mse_loss(y, x)
        run.update(error + 0.1 * functional.l1_loss(y, x), error=error)


def trained(work: Path, device: str = "cpu") -> Any:
    """Return the finished autoencoder, its latents scaled to unit deviation."""
    model = networks.autoencoder()
    runs.averaged(work, "autoencoder", model)
    if (work / "checkpoints" / "decoder.pt").exists():
        runs.averaged(work, "decoder", model.decoder)
    deviation = float(torch.load(work / "checkpoints" / "latent_scale.pt"))
    model.register_to_config(scaling_factor=1 / deviation)
    return model.to(device).eval()

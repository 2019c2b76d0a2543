"""Distil the guidance of the heavy denoiser into the light one: one network call for two.

The light denoiser starts as a copy of the heavy one and learns its guided velocity at every noise
level. A smaller network that learnt the same was tried, and was worth nothing to a cascade: what it
saved a step, it lost in the share of its pictures that were right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch.nn import functional

from hadis_scenes import networks, precision
from hadis_scenes.training import diffusion, runs

RECIPE: Final = runs.Recipe(
    budget_s=900, batch=32, rate=4e-4, warmup_steps=50, average=0.99, seed=3
)
GUIDANCE: Final = 3.0


class Teacher:
    """The heavy denoiser's averaged weights, guided."""

    def __init__(self, work: Path, device: str) -> None:
        self._model = networks.Denoiser()
        self._model.unet.set_attn_processor(networks.PlainAttention())
        networks.channels_last(self._model.unet)
        runs.averaged(work, "heavy", self._model, device)
        self._empty = diffusion.empty_prompt(device)
        self._forward = diffusion.compiled_forward(self._model, device)

    def velocity(
        self, noisy: torch.Tensor, sigma: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """Return the guided velocity, by one pass over both halves."""
        rows = len(noisy)
        embedded = self._model.embed(torch.cat([tokens, self._empty]))
        both = torch.cat([embedded[:rows], embedded[rows:].expand(rows, -1, -1)])
        told, free = (
            self._forward(torch.cat([noisy, noisy]), sigma.repeat(2), both).float().chunk(2)
        )
        return free + GUIDANCE * (told - free)


def train(work: Path, recipe: runs.Recipe, device: str) -> None:
    """Train the light denoiser."""
    torch.manual_seed(recipe.seed)
    model = diffusion.new_denoiser(work, device)
    runs.averaged(work, "heavy", model, device)
    model.unet.requires_grad_(True)
    run = runs.Run(work, "light", model, recipe, device)
    if run.finished:
        return
    examples = diffusion.Examples.load(work, device)
    teacher = Teacher(work, device)
    forward = diffusion.compiled_forward(model, device)
    for _ in run.steps():
        latents, tokens = examples.draw(recipe.batch)
        noise, sigma = torch.randn_like(latents), diffusion.random_sigma(recipe.batch, device)
        noisy = diffusion.noised(latents, noise, sigma)
        with precision.bulk(device):
            with torch.no_grad():
                target = teacher.velocity(noisy, sigma, tokens)
            velocity = forward(noisy, sigma, model.embed(tokens))
        run.update(functional.mse_loss(velocity.float(), target))
        if run.step % runs.LOG_EVERY_STEPS == 1:
            diffusion.every_weight_learns(model)

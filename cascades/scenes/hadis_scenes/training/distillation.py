"""Teach students what the guided heavy denoiser would do, so that they need no guidance.

A student learns the teacher's guided velocity, one network call for two. The light one is a small
network that started from data and learns the noise levels of its own sampler; the medium one is the
heavy network itself, which only has to learn the guidance, at every noise level. Both read the
teacher's averaged weights anew while the teacher still trains.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from torch.nn import functional

from hadis_scenes import networks, pipelines
from hadis_scenes.training import diffusion, runs

LIGHT: Final = runs.Recipe(
    budget_s=2340, batch=32, rate=7e-4, warmup_steps=50, average=0.995, seed=3
)
MEDIUM: Final = runs.Recipe(
    budget_s=1500, batch=32, rate=4e-4, warmup_steps=50, average=0.99, seed=8
)
GUIDANCE: Final = 3.0
LEVELS: Final = 8
"""Noise levels learned: those of a sampler with twice the student's steps."""


def noise_levels(steps: int) -> torch.Tensor:
    """Return the noise levels at which the shipped sampler calls the network."""
    sampler = networks.scheduler(pipelines.FLOW_SHIFT)
    sampler.set_timesteps(steps)
    levels: torch.Tensor = sampler.sigmas[:steps].clone()
    return levels


class Teacher:
    """The heavy denoiser's averaged weights, read again whenever they were saved."""

    def __init__(self, work: Path, device: str) -> None:
        self._work, self._device = work, device
        self._model = networks.Denoiser("heavy")
        self._model.unet.set_attn_processor(networks.PlainAttention())
        networks.channels_last(self._model.unet)
        self._empty = diffusion.empty_prompt(device)
        self._read_at = 0.0
        self._forward = diffusion.compiled_forward(self._model, device)

    def refresh(self) -> None:
        """Read the newest weights."""
        changed = (self._work / "checkpoints" / "heavy.pt").stat().st_mtime
        if changed > self._read_at:
            runs.averaged(self._work, "heavy", self._model, self._device)
            self._read_at = changed

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


def train_light(work: Path, recipe: runs.Recipe, device: str) -> None:
    """Distil the heavy denoiser into the light one."""
    model = diffusion.new_denoiser(work, "light", device)
    runs.averaged(work, "light", model, device)
    levels = noise_levels(LEVELS).to(device)

    def sigma() -> torch.Tensor:
        return levels[torch.randint(0, LEVELS, (recipe.batch,), device=device)]

    _train(work, "light-distilled", model, recipe, device, sigma)


def train_medium(work: Path, recipe: runs.Recipe, device: str) -> None:
    """Distil the guidance of the heavy denoiser into a copy of it."""
    model = diffusion.new_denoiser(work, "medium", device)
    runs.averaged(work, "heavy", model, device)

    def sigma() -> torch.Tensor:
        return diffusion.random_sigma(recipe.batch, device)

    _train(work, "medium", model, recipe, device, sigma)


def _train(
    work: Path,
    name: str,
    model: networks.Denoiser,
    recipe: runs.Recipe,
    device: str,
    draw_sigma: Callable[[], torch.Tensor],
) -> None:
    torch.manual_seed(recipe.seed)
    model.unet.train().requires_grad_(True)
    run = runs.Run(work, name, model, recipe, device)
    if run.finished:
        return
    examples = diffusion.Examples.load(work, device)
    teacher = Teacher(work, device)
    teacher.refresh()
    forward = diffusion.compiled_forward(model, device)
    for _ in run.steps(teacher.refresh):
        latents, tokens = examples.draw(recipe.batch)
        noise, sigma = torch.randn_like(latents), draw_sigma()
        noisy = diffusion.noised(latents, noise, sigma)
        with torch.autocast(device, torch.bfloat16):
            with torch.no_grad():
                target = teacher.velocity(noisy, sigma, tokens)
            velocity = forward(noisy, sigma, model.embed(tokens))
        run.update(functional.mse_loss(velocity.float(), target))
        if run.step % runs.LOG_EVERY_STEPS == 1:
            diffusion.every_weight_learns(model)

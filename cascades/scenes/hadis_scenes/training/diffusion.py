"""Train the heavy denoiser on the training scenes by flow matching.

The velocity from image to noise is learned at random noise levels; a tenth of the captions is
empty, for classifier-free guidance. The pre-trained text encoder stays as it is: trained along, it
forgot within the hour which noun is above which, before the denoiser had learned to read that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch.nn import functional

from hadis_scenes import compositions, networks, precision
from hadis_scenes.training import dataset, runs, text

RECIPE: Final = runs.Recipe(budget_s=3600, batch=64, rate=1e-3, seed=1)
_EMPTY_SHARE: Final = 0.1
_EMPHASIS: Final = {"single": 1.4, "two": 1.4, "counting": 0.9, "relation": 1.2, "complex": 0.8}
"""How often a category's scenes are drawn, against their share of the training set."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Latents, tokenised captions and how often each scene is drawn, on an accelerator if any."""

    latents: torch.Tensor
    tokens: torch.Tensor
    weights: torch.Tensor
    device: str

    @classmethod
    def load(cls, work: Path, device: str) -> Examples:
        """Read the encoded training set."""
        latents = torch.from_numpy(dataset.load(work, "latents"))
        tokens = torch.from_numpy(dataset.load(work, "tokens"))
        category = torch.from_numpy(dataset.load(work, "category"))
        weights = torch.tensor([_EMPHASIS[name] for name in compositions.CATEGORIES])
        weights = weights[category.long()]
        if device != "cpu":
            latents, tokens, weights = (x.to(device) for x in (latents, tokens, weights))
        return cls(latents, tokens, weights, device)

    def draw(self, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw latents and one caption of each."""
        where = self.latents.device
        rows = torch.multinomial(self.weights, batch, replacement=True)
        wording = torch.randint(0, self.tokens.shape[1], (batch,), device=where)
        latents = self.latents[rows].float().to(self.device)
        return latents, self.tokens[rows, wording].long().to(self.device)


def empty_prompt(device: str) -> torch.Tensor:
    """Return the tokens of the empty prompt, which guidance contrasts with."""
    return networks.encode_tokens([""]).to(device)


def noised(latents: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Mix images with noise along the straight path."""
    level = sigma.view(-1, 1, 1, 1)
    mixed = (1 - level) * latents + level * noise
    return mixed.contiguous(memory_format=torch.channels_last)


def random_sigma(batch: int, device: str) -> torch.Tensor:
    """Draw noise levels, most of them where objects get their places."""
    placed = torch.sigmoid(0.8 + 1.2 * torch.randn(batch, device=device))
    anywhere = torch.rand(batch, device=device)
    return torch.where(torch.rand(batch, device=device) < 0.7, placed, anywhere)


def new_denoiser(work: Path, device: str) -> networks.Denoiser:
    """Build a denoiser that starts from the pre-trained text encoder."""
    model = networks.Denoiser()
    model.text.load_state_dict(text.weights(work))
    model.text.requires_grad_(False)
    model.unet.set_attn_processor(networks.PlainAttention())
    networks.channels_last(model.unet)
    return model.to(device)


def compiled_forward(model: networks.Denoiser, device: str) -> Callable[..., torch.Tensor]:
    """Compile a denoiser all but its upsampling.

    On a CPU in bfloat16 the compiled backward pass of nearest upsampling returned zeros (torch
    2.13), and with it the gradient of everything at 8 x 8.
    """
    for module in model.unet.modules():
        if type(module).__name__ == "Upsample2D":
            whole: Any = torch.compiler.disable  # untyped
            module.forward = whole(module.forward)
    return runs.compiled(model.forward, device)


def every_weight_learns(model: torch.nn.Module) -> None:
    """Raise when the last step left a weight without gradient: compilers have dropped some."""
    idle = [
        name
        for name, weight in model.named_parameters()
        if weight.requires_grad and (weight.grad is None or not bool(weight.grad.any()))
    ]
    if idle:
        raise RuntimeError(f"{len(idle)} weights got no gradient, first {idle[0]}")


def train(work: Path, recipe: runs.Recipe, device: str) -> None:
    """Learn from the pictures."""
    torch.manual_seed(recipe.seed)
    model = new_denoiser(work, device)
    run = runs.Run(work, "heavy", model, recipe, device)
    if run.finished:
        return
    examples = Examples.load(work, device)
    empty = empty_prompt(device)
    velocity_of = compiled_forward(model, device)
    for _ in run.steps():
        latents, tokens = examples.draw(recipe.batch)
        dropped = torch.rand(recipe.batch, 1, device=device) < _EMPTY_SHARE
        tokens = torch.where(dropped, empty, tokens)
        noise, sigma = torch.randn_like(latents), random_sigma(recipe.batch, device)
        with precision.bulk(device):
            velocity = velocity_of(noised(latents, noise, sigma), sigma, model.embed(tokens))
        run.update(functional.mse_loss(velocity.float(), noise - latents))
        if run.step % runs.LOG_EVERY_STEPS == 1:
            every_weight_learns(model)

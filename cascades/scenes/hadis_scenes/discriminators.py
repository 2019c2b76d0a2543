"""The two kinds of discriminator, as networks and as what a worker loads.

``matching`` judges whether a picture fulfils its prompt; ``real-fake`` judges how real a picture
looks, from the frozen embedding of a small image tower (the HADIS paper, section 4.3). Both score
in [0, 1].
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Protocol, cast

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from hadis_scenes import compositions, networks

WIDTH: Final = 128
CLASSES: Final = 1 + len(compositions.COLOURS) * len(compositions.SHAPES)
"""Nothing, or one colour and shape."""


def pixels(images: list[Image.Image]) -> torch.Tensor:
    """Turn pictures of any size into the networks' input."""
    arrays = [np.asarray(image.convert("RGB").resize((64, 64))) for image in images]
    stacked = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    return stacked.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, 1, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the convolutions find."""
        return x + cast(torch.Tensor, self.body(x))


def tower(width: int) -> nn.Sequential:
    """Build the convolutions from 64 x 64 pixels to 8 x 8 cells."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, 2, 2),
        _Residual(32),
        nn.SiLU(),
        nn.Conv2d(32, 64, 3, 2, 1),
        _Residual(64),
        nn.SiLU(),
        nn.Conv2d(64, width, 3, 2, 1),
        _Residual(width),
    )


class _Block(nn.Module):
    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mixing = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inward, self.outward = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mixing = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Attend over words and cells, then mix each."""
        rows, length, width = x.shape
        parts = self.inward(self.before_attention(x)).view(rows, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        logits = query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5 + bias
        mixed = (logits.softmax(-1) @ value).transpose(1, 2).reshape(rows, length, width)
        x = x + self.outward(mixed)
        return x + cast(torch.Tensor, self.mixing(self.before_mixing(x)))

    def compare_alike(self) -> None:
        """Start with keys equal to queries, so that equal things attend to each other at once."""
        width = self.outward.in_features
        shared = torch.randn(width, width) * width**-0.5 * 1.3
        with torch.no_grad():
            self.inward.weight[:width] = shared
            self.inward.weight[width : 2 * width] = shared
            self.inward.bias[: 2 * width] = 0


class Matcher(nn.Module):
    """Judges image and prompt together: words and cells attend to one another.

    One head names the object in a cell and the object that a noun means, so both share a space; two
    more say of each noun whether its objects are there and whether its relation holds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.text = networks.text_encoder()
        self.project = nn.Linear(networks.TEXT_WIDTH, WIDTH)
        self.tower = tower(WIDTH)
        self.position = nn.Parameter(torch.randn(64, WIDTH) * 0.02)
        self.origin = nn.Parameter(torch.randn(2, WIDTH) * 0.02)
        self.summary = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.blocks = nn.ModuleList([_Block(WIDTH) for _ in range(3)])
        for block in self.blocks[:2]:
            cast(_Block, block).compare_alike()
        self.norm = nn.LayerNorm(WIDTH)
        self.verdict = nn.Linear(WIDTH, 1)
        self.naming = nn.Linear(WIDTH, CLASSES)
        self.holding = nn.Linear(WIDTH, 2)

    def cells(self, images: torch.Tensor) -> torch.Tensor:
        """Return the 64 cells of each image."""
        found: torch.Tensor = self.tower(images)
        return found.flatten(2).transpose(1, 2) + self.position

    def words(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the words of each prompt in the cells' space."""
        states = self.text(input_ids=tokens, attention_mask=(tokens > 0).long()).last_hidden_state
        return cast(torch.Tensor, self.project(states))

    def join(
        self, cells: torch.Tensor, words: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the verdict's logit, and of each word if it is there and its relation holds."""
        rows, length = tokens.shape
        summary = self.summary.expand(rows, -1, -1).to(cells.dtype)
        x = torch.cat(
            [
                summary,
                (words + self.origin[0]).to(cells.dtype),
                (cells + self.origin[1]).to(cells.dtype),
            ],
            1,
        )
        bias = torch.zeros(rows, 1, 1, x.shape[1], device=x.device, dtype=x.dtype)
        bias[:, 0, 0, 1 : 1 + length] = (tokens == 0).to(x.dtype) * -1e4
        for block in self.blocks:
            x = block(x, bias)
        x = self.norm(x)
        return self.verdict(x[:, 0])[:, 0].float(), self.holding(x[:, 1 : 1 + length]).float()

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logit that each image fulfils its prompt."""
        return self.join(self.cells(images), self.words(tokens), tokens)[0]


class ImageTower(nn.Module):
    """The image half of a tiny CLIP."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = tower(WIDTH)
        self.head = nn.Sequential(nn.LayerNorm(2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return an embedding of unit length."""
        cells = self.tower(images).flatten(2)
        pooled = torch.cat([cells.mean(2), cells.amax(2)], 1)
        return nn.functional.normalize(self.head(pooled), dim=1)


class RealFake(nn.Module):
    """An image tower, kept frozen, with a two-class head: generated or real."""

    def __init__(self) -> None:
        super().__init__()
        self.image = ImageTower()
        self.head = nn.Sequential(nn.Linear(WIDTH, 256), nn.GELU(), nn.Linear(256, 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of generated and real."""
        return cast(torch.Tensor, self.head(self.image(images) * WIDTH**0.5))


class Discriminator(Protocol):
    """What a worker asks: a score in [0, 1] for each image of its prompt, higher is better."""

    def score(self, images: list[Image.Image], prompts: list[str]) -> list[float]:
        """Score images, each against its prompt."""
        ...


class MatchingDiscriminator:
    """Scores whether an image shows what its prompt says."""

    kind = "matching"

    def __init__(self, network: Matcher, device: str) -> None:
        self._network, self._device = network.to(device).eval(), device

    @torch.inference_mode()
    def score(self, images: list[Image.Image], prompts: list[str]) -> list[float]:
        """Return the probability that each image fulfils its prompt."""
        tokens = networks.encode_tokens(prompts)
        tokens = tokens[:, : int((tokens > 0).any(0).sum())].to(self._device)
        logits = self._network(pixels(images).to(self._device), tokens)
        return [float(p) for p in logits.sigmoid()]


class RealFakeDiscriminator:
    """Scores how real an image looks, whatever its prompt."""

    kind = "real-fake"

    def __init__(self, network: RealFake, device: str) -> None:
        self._network, self._device = network.to(device).eval(), device

    @torch.inference_mode()
    def score(self, images: list[Image.Image], prompts: list[str]) -> list[float]:  # noqa: ARG002
        """Return the softmax probability that each image is real; prompts are not read."""
        logits = self._network(pixels(images).to(self._device))
        return [float(p) for p in logits.softmax(1)[:, 1]]


def load(folder: Path, device: str = "cpu") -> Discriminator:
    """Load the discriminator that a folder's ``config.json`` names."""
    kind = json.loads((folder / "config.json").read_text())["kind"]
    weights = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    if kind == MatchingDiscriminator.kind:
        matcher = Matcher()
        matcher.load_state_dict(weights)
        return MatchingDiscriminator(matcher, device)
    if kind == RealFakeDiscriminator.kind:
        real_fake = RealFake()
        real_fake.load_state_dict(weights)
        return RealFakeDiscriminator(real_fake, device)
    raise ValueError(f"{folder / 'config.json'}: unknown kind {kind!r}; use matching or real-fake")

"""Train a tiny CLIP on rendered scenes, then the paper's discriminator on its image embedding.

The head is an MLP that tells rendered pictures from generated ones (the HADIS paper, section 4.3).
The image tower also spans the feature space of the Frechet distance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from hadis_scenes import discriminators, networks, precision
from hadis_scenes.training import autoencoder, dataset, runs, text

RECIPE: Final = runs.Recipe(
    budget_s=360, batch=96, rate=1e-3, warmup_steps=100, weight_decay=0.02, average=0.99,
    text_rate=0.1, seed=6,
)  # fmt: skip
HEAD: Final = runs.Recipe(
    budget_s=40, batch=256, rate=1e-3, warmup_steps=20, weight_decay=0.01, average=0.99, seed=7
)
_REAL: Final = 8000


class TinyClip(nn.Module):
    """An image tower and a text encoder whose outputs meet in one space."""

    def __init__(self) -> None:
        super().__init__()
        self.image = discriminators.ImageTower()
        self.text = networks.text_encoder()
        self.project = nn.Linear(networks.TEXT_WIDTH, discriminators.WIDTH)
        self.sharpness = nn.Parameter(torch.tensor(2.3))

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the similarity of every image to every caption."""
        mask = (tokens > 0).long()
        states = self.text(input_ids=tokens, attention_mask=mask).last_hidden_state
        pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        written = functional.normalize(self.project(pooled), dim=1)
        result: torch.Tensor = self.image(images) @ written.T * self.sharpness.exp().clamp(max=100)
        return result


def train(work: Path, recipe: runs.Recipe, device: str) -> None:
    """Learn which caption belongs to which picture of a batch."""
    images = torch.from_numpy(dataset.load(work, "images"))
    tokens = torch.from_numpy(dataset.load(work, "tokens"))
    torch.manual_seed(recipe.seed)
    model = TinyClip()
    model.text.load_state_dict(text.weights(work))
    networks.channels_last(model.image)
    run = runs.Run(work, "embedding", model.to(device), recipe, device)
    if run.finished:
        return
    target = torch.arange(recipe.batch, device=device)
    for _ in run.steps():
        rows = torch.randint(0, len(images), (recipe.batch,))
        wording = torch.randint(0, tokens.shape[1], (recipe.batch,))
        x = autoencoder.pixels(images[rows].to(device))
        with precision.bulk(device):
            similarity = model(x, tokens[rows, wording].long().to(device))
        similarity = similarity.float()
        loss = functional.cross_entropy(similarity, target)
        loss = (loss + functional.cross_entropy(similarity.T, target)) / 2
        right = (similarity.argmax(1) == target).float().mean()
        run.update(loss, right=right)


@torch.no_grad()
def _embedded(
    tower: discriminators.ImageTower, images: npt.NDArray[np.uint8], device: str
) -> torch.Tensor:
    rows = [
        tower(autoencoder.pixels(torch.from_numpy(images[start : start + 256]).to(device)))
        for start in range(0, len(images), 256)
    ]
    return torch.cat(rows)


def train_head(
    work: Path, generated: npt.NDArray[np.uint8], recipe: runs.Recipe, device: str
) -> None:
    """Train the head on frozen embeddings of rendered and generated pictures, equally weighted."""
    clip = TinyClip()
    runs.averaged(work, "embedding", clip, device)
    torch.manual_seed(recipe.seed)
    head = discriminators.RealFake().head.to(device)
    run = runs.Run(work, "real-fake", head, recipe, device)
    if run.finished:
        return
    real = _embedded(clip.image, np.array(dataset.load(work, "images")[-_REAL:]), device)
    made = _embedded(clip.image, generated, device)
    half = recipe.batch // 2
    truth = torch.cat([torch.ones(half), torch.zeros(half)]).long().to(device)
    for _ in run.steps():
        chosen = [
            each[torch.randint(0, len(each), (half,), device=device)] for each in (real, made)
        ]
        logits = head(torch.cat(chosen) * discriminators.WIDTH**0.5)
        right = (logits.argmax(1) == truth).float().mean()
        run.update(functional.cross_entropy(logits, truth), right=right)


def trained(work: Path, device: str = "cpu") -> discriminators.RealFake:
    """Return tower and head; an untrained head while there is none yet."""
    clip = TinyClip()
    runs.averaged(work, "embedding", clip, device)
    model = discriminators.RealFake()
    model.image.load_state_dict(clip.image.state_dict())
    if (work / "checkpoints" / "real-fake.pt").exists():
        runs.averaged(work, "real-fake", model.head, device)
    return model.to(device).eval()

"""Train the matching discriminator on rendered scenes, then on generated images of every variant.

With the verdict alone this network stays near the prompt's category as its only clue. Three dense
tasks, all there from the first step, break that plateau: naming what a cell holds, naming what a
noun means by the same head, and saying of each noun whether its objects are there and its relation
holds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from hadis_scenes import discriminators, networks, precision
from hadis_scenes.training import autoencoder, judged, runs, text

RECIPE: Final = runs.Recipe(
    budget_s=1200,
    batch=48,
    rate=1e-3,
    warmup_steps=100,
    weight_decay=0.02,
    average=0.995,
    text_rate=0.3,
    seed=2,
)
TUNING: Final = runs.Recipe(
    budget_s=260,
    batch=48,
    rate=6e-4,
    warmup_steps=50,
    weight_decay=0.05,
    average=0.99,
    text_rate=0.5,
    seed=4,
)
_HELD_BACK: Final = 1000
_EVALUATE_EVERY: Final = 400
_GENERATED_SHARE: Final = 2 / 3


class Sampler:
    """Draws batches of pictures, each with two of its captions."""

    def __init__(self, data: judged.Judged, device: str) -> None:
        self.device = device
        self.arrays = {
            name: torch.from_numpy(getattr(data, name))
            for name in judged.Judged.__dataclass_fields__
        }

    def __len__(self) -> int:
        return len(self.arrays["images"])

    def batch(self, rows: torch.Tensor, captions: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return pictures and cells of the rows, and of both captions everything else."""
        result = {name: self.arrays[name][rows].to(self.device) for name in ("images", "cells")}
        for name in ("tokens", "classes", "nouns", "verdicts"):
            both = [self.arrays[name][rows, column] for column in captions.T]
            result[name] = torch.cat(both).to(self.device)
        return result

    def draw(self, batch: int, limit: int) -> dict[str, torch.Tensor]:
        """Draw the own caption and an edited one, of the first ``limit`` pictures."""
        rows = torch.randint(0, limit, (batch,))
        edited = torch.randint(1, judged.CAPTIONS, (batch,))
        return self.batch(rows, torch.stack([torch.zeros_like(edited), edited], 1))


def _augmented(images: torch.Tensor) -> torch.Tensor:
    """Shift each quarter of a batch by up to two pixels and add a little noise."""
    padded = functional.pad(autoencoder.pixels(images), (2, 2, 2, 2), mode="replicate")
    parts = []
    for part in padded.chunk(4):
        down, right = torch.randint(0, 5, (2,)).tolist()
        parts.append(part[:, :, down : down + 64, right : right + 64])
    x = torch.cat(parts)
    if torch.rand(()) < 0.5:
        x = x + torch.randn_like(x) * 0.04 * torch.rand(len(x), 1, 1, 1, device=x.device)
    return x.clamp(-1, 1).contiguous(memory_format=torch.channels_last)


class Trainee(nn.Module):
    """The network and its dense tasks in one forward pass, so that it compiles as a whole."""

    def __init__(self, matcher: discriminators.Matcher) -> None:
        super().__init__()
        self.matcher = matcher

    @property
    def text(self) -> nn.Module:
        """The text encoder."""
        return cast(nn.Module, self.matcher.text)

    def forward(
        self, images: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return verdicts, noun verdicts, the cells' classes and the words' classes."""
        cells = self.matcher.cells(images)
        words = self.matcher.words(tokens)
        verdict, holding = self.matcher.join(torch.cat([cells, cells]), words, tokens)
        return (
            verdict,
            holding,
            self.matcher.naming(cells).float(),
            self.matcher.naming(words).float(),
        )


Forward = Callable[..., Any]


def _update(
    run: runs.Run, forward: Forward, batch: dict[str, torch.Tensor], device: str, generated: int
) -> None:
    """Take one step; cells of the first ``generated`` pictures have no labels."""
    x, tokens = _augmented(batch["images"]), batch["tokens"].long()
    with precision.bulk(device):
        verdict, holding, cells, words = forward(x, tokens)
    weight = torch.ones(len(x), device=device)
    weight[:generated] = 2.0
    weight = (weight / weight.mean()).repeat(2)
    overall = functional.binary_cross_entropy_with_logits(
        verdict, batch["verdicts"].float(), weight=weight
    )
    known = batch["nouns"] >= 0
    noun = functional.binary_cross_entropy_with_logits(
        holding[known], batch["nouns"][known].float()
    )
    meant = batch["classes"] > 0
    word = functional.cross_entropy(words[meant], batch["classes"][meant].long())
    held = batch["cells"][generated:].flatten().long()
    emphasis = torch.where(held > 0, 1.0, 0.15)
    each = functional.cross_entropy(cells[generated:].flatten(0, 1), held, reduction="none")
    cell = (each * emphasis).sum() / emphasis.sum()
    run.update(
        overall + 2 * noun + 0.3 * cell + 0.5 * word,
        verdict=overall,
        noun=noun,
        cell=cell,
        word=word,
    )


@torch.no_grad()
def scores(
    model: discriminators.Matcher, images: np.ndarray, tokens: np.ndarray, device: str
) -> np.ndarray:
    """Score pictures against token rows."""
    rows = []
    for start in range(0, len(images), 128):
        x = autoencoder.pixels(torch.from_numpy(images[start : start + 128]).to(device))
        ids = torch.from_numpy(tokens[start : start + 128]).long().to(device)
        with precision.bulk(device):
            rows.append(model(x, ids).sigmoid().cpu().numpy())
    return np.concatenate(rows)


def _report(run: runs.Run, data: judged.Judged, device: str) -> None:
    held = slice(len(data.images) - _HELD_BACK, None)
    model = run.average.matcher
    assert isinstance(model, discriminators.Matcher)
    values: dict[str, float] = {}
    everything, verdicts = [], []
    for column, name in ((0, "own"), (1, "edited")):
        score = scores(model, data.images[held], data.tokens[held, column], device)
        truth = data.verdicts[held, column]
        values[f"auc_{name}"] = float(roc_auc_score(truth, score))
        everything.append(score)
        verdicts.append(truth)
    joined = roc_auc_score(np.concatenate(verdicts), np.concatenate(everything))
    runs.log_line(run.work, run.name, step=run.step, auc=float(joined), **values)


def train(work: Path, recipe: runs.Recipe, device: str) -> None:
    """Pre-train on rendered scenes."""
    data = judged.make(work, device)
    torch.manual_seed(recipe.seed)
    matcher = discriminators.Matcher()
    matcher.text.load_state_dict(text.weights(work))
    networks.channels_last(matcher.tower)
    run = runs.Run(work, "matching", Trainee(matcher).to(device), recipe, device)
    if run.finished:
        return
    sampler = Sampler(data, device)
    forward = runs.compiled(run.model.forward, device)
    for step in run.steps():
        _update(run, forward, sampler.draw(recipe.batch, len(sampler) - _HELD_BACK), device, 0)
        if step % _EVALUATE_EVERY == _EVALUATE_EVERY - 1:
            _report(run, data, device)
    _report(run, data, device)


def tune(work: Path, generated: judged.Judged, recipe: runs.Recipe, device: str) -> None:
    """Go on with generated images of every variant, mixed with rendered ones."""
    data = judged.make(work, device)
    torch.manual_seed(recipe.seed)
    trainee = Trainee(discriminators.Matcher())
    runs.averaged(work, "matching", trainee, device)
    trainee.requires_grad_(True)
    networks.channels_last(trainee.matcher.tower)
    run = runs.Run(work, "matching-tuned", trainee, recipe, device)
    if run.finished:
        return
    drawn, made = Sampler(data, device), Sampler(generated, device)
    forward = runs.compiled(run.model.forward, device)
    count = round(recipe.batch * _GENERATED_SHARE)
    for _ in run.steps():
        first = made.draw(count, len(made))
        second = drawn.draw(recipe.batch - count, len(drawn) - _HELD_BACK)
        batch = {name: torch.cat([first[name], second[name]]) for name in ("images", "cells")}
        for name in ("tokens", "classes", "nouns", "verdicts"):
            pairs = zip(first[name].chunk(2), second[name].chunk(2), strict=True)
            batch[name] = torch.cat([part for pair in pairs for part in pair])
        _update(run, forward, batch, device, count)


def tuned(work: Path, device: str = "cpu") -> discriminators.Matcher:
    """Return the newest matching network: fine-tuned, or else pre-trained."""
    name = "matching-tuned" if (work / "checkpoints" / "matching-tuned.pt").exists() else "matching"
    trainee = Trainee(discriminators.Matcher())
    runs.averaged(work, name, trainee, device)
    return trainee.matcher

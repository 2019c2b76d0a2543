"""Pre-train the text encoder on the generator's own labels.

Each noun token must say its group's colour, shape, size and count, where the group lies and which
roles it has. Without this start, a denoiser learns relations far more slowly.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from hadis_scenes import compositions, networks
from hadis_scenes.training import dataset, runs

RECIPE = runs.Recipe(budget_s=210, batch=40, rate=1.5e-3, warmup_steps=100, average=0.99, seed=0)
_CLASSES = (len(compositions.COLOURS), len(compositions.SHAPES), len(compositions.SIZES), 5)
_RELATIONAL_SHARE = 0.8


class LabelledText(nn.Module):
    """The text encoder with a linear read-out of a noun's labels."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = networks.text_encoder()
        self.readout = nn.Linear(networks.TEXT_WIDTH, sum(_CLASSES) + 2 + 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read out every token."""
        states = self.encoder(
            input_ids=tokens, attention_mask=(tokens > 0).long()
        ).last_hidden_state
        result: torch.Tensor = self.readout(states)
        return result


def train(work: Path, recipe: runs.Recipe, device: str) -> None:
    """Learn labels, mean positions and roles of the nouns of captions."""
    tokens = torch.from_numpy(dataset.load(work, "tokens"))
    nouns = torch.from_numpy(dataset.load(work, "nouns"))
    labels = torch.from_numpy(dataset.load(work, "labels"))
    category = torch.from_numpy(dataset.load(work, "category"))
    relational = (category >= compositions.CATEGORIES.index("relation")).nonzero()[:, 0]
    torch.manual_seed(recipe.seed)
    model = LabelledText().to(device)
    run = runs.Run(work, "text", model, recipe, device)
    picks = int(recipe.batch * _RELATIONAL_SHARE)
    for _ in run.steps():
        rows = torch.cat(
            [
                torch.randint(0, len(tokens), (recipe.batch - picks,)),
                relational[torch.randint(0, len(relational), (picks,))],
            ]
        )
        wording = torch.randint(0, tokens.shape[1], (recipe.batch,))
        ids = tokens[rows, wording].long()
        ids = ids[:, : int((ids > 0).any(0).sum())]
        groups = nouns[rows, wording][:, : ids.shape[1]].long()
        at = (groups >= 0).nonzero()
        want = labels[rows][at[:, 0], groups[groups >= 0]].to(device)
        said = model(ids.to(device))[at[:, 0], at[:, 1]]
        *classes, place, roles = said.split([*_CLASSES, 2, 4], dim=1)
        naming = sum(
            (functional.cross_entropy(c, want[:, i].long()) for i, c in enumerate(classes)),
            torch.zeros((), device=device),
        )
        position = functional.mse_loss(place, want[:, 4:6])
        role = functional.binary_cross_entropy_with_logits(roles, want[:, 6:])
        run.update(naming + 20 * position + 4 * role, naming=naming, position=position, role=role)


def weights(work: Path) -> dict[str, torch.Tensor]:
    """Return the pre-trained text encoder's averaged weights."""
    model = runs.averaged(work, "text", LabelledText())
    assert isinstance(model, LabelledText)
    state: dict[str, torch.Tensor] = model.encoder.state_dict()
    return state

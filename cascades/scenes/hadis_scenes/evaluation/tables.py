"""Fulfilment by category and variant, the shuffled control, AUCs and latencies."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from hadis_scenes import checking, discriminators, generating, prompts
from hadis_scenes.compositions import CATEGORIES
from hadis_scenes.evaluation import outcomes
from hadis_scenes.evaluation.outcomes import Outcomes
from hadis_scenes.variants import VARIANTS, model_of

_TIMED: Final = 15
_WARM: Final = 3


def by_category(
    category: npt.NDArray[np.str_], fulfilled: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Return the share fulfilled in each category and, each weighing the same, over all."""
    shares = {name: float(fulfilled[..., category == name].mean()) for name in CATEGORIES}
    return {**shares, "all": float(np.mean(list(shares.values())))}


def fulfilment(test: Outcomes) -> dict[str, dict[str, float]]:
    """Return the table by variant and category."""
    return {name: by_category(test.category, ok) for name, ok in test.fulfilled.items()}


def shuffled(work: Path, set_name: str = "test") -> dict[str, dict[str, float]]:
    """Check every picture against some other prompt of its set."""
    asked = outcomes.measured(work, set_name)
    order = np.random.default_rng(0).permutation(len(asked))
    other = [asked[i].composition for i in np.roll(order, 1)[np.argsort(order)]]
    category = np.array([item.category for item in asked])
    result = {}
    for variant in VARIANTS:
        rows = outcomes.pictures(
            work, set_name, variant.name, outcomes.seeds(set_name, variant.name)[0]
        )
        verdicts = [checking.check(row, c) for row, c in zip(rows, other, strict=True)]
        result[variant.name] = by_category(category, np.array(verdicts))
    return result


def areas(profile: Outcomes, test: Outcomes) -> dict[str, dict[str, Any]]:
    """Return the AUC of each discriminator for each variant, and of the prompt's category alone."""
    result: dict[str, dict[str, Any]] = {}
    for name, verdicts in test.fulfilled.items():
        truth = verdicts.ravel()
        category = np.tile(test.category, len(verdicts))
        known = {
            c: float(profile.fulfilled[name][:, profile.category == c].mean()) for c in CATEGORIES
        }
        row: dict[str, Any] = {
            kind: float(roc_auc_score(truth, scores[name].ravel()))
            for kind, scores in test.scores.items()
        }
        row["category alone"] = float(roc_auc_score(truth, [known[c] for c in category]))
        matching = test.scores["matching"][name].ravel()
        row["matching within"] = {
            c: float(roc_auc_score(truth[category == c], matching[category == c]))
            for c in CATEGORIES
            if 0 < truth[category == c].mean() < 1
        }
        result[name] = row
    return result


def _median_s(samples: list[float]) -> float:
    return float(np.median(samples[_WARM:]))


def latencies(package: Path) -> dict[str, float]:
    """Return seconds an image at batch 1 on one thread, of every variant and discriminator."""
    torch.set_num_threads(1)
    texts = [item.prompt for item in prompts.shipped("test")[:_TIMED]]
    result: dict[str, float] = {}
    pipeline = generating.load(model_of(package))
    for variant in VARIANTS:
        samples = []
        for text in texts:
            started = time.perf_counter()
            generating.generate(pipeline, variant, [text], 0)
            samples.append(time.perf_counter() - started)
        result[variant.name] = _median_s(samples)
    image = Image.new("RGB", (64, 64))
    for kind in outcomes.KINDS:
        judge = discriminators.load(package / "discriminators" / kind)
        samples = []
        for text in texts:
            started = time.perf_counter()
            judge.score([image], [text])
            samples.append(time.perf_counter() - started)
        result[kind] = _median_s(samples)
    return result


def agreement(package: Path, count: int = 40) -> dict[str, float]:
    """Return the share of equal verdicts in bulk bfloat16 and single precision at batch 1."""
    asked = prompts.shipped("profile")[:count]
    texts = [item.prompt for item in asked]
    result = {}
    pipeline = generating.load(model_of(package))
    for variant in VARIANTS:
        bulk = generating.generate(pipeline, variant, texts, 5, half=True)
        single = generating.generate(pipeline, variant, texts, 5, batch=1)
        same = [
            checking.check(a, item.composition) == checking.check(b, item.composition)
            for a, b, item in zip(bulk, single, asked, strict=True)
        ]
        result[variant.name] = float(np.mean(same))
    return result


def markdown(rows: Mapping[str, Mapping[str, Any]], columns: list[str], digits: int = 2) -> str:
    """Format a table of numbers."""
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{row[c]:.{digits}f}" if c in row else "" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)

"""Figures of the evaluation: cascades against the fixed variants, and a sheet of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from PIL import Image

from hadis_scenes.compositions import CATEGORIES
from hadis_scenes.evaluation import outcomes
from hadis_scenes.variants import VARIANTS

_COLUMNS: Final = 4


def cascades(results: list[dict[str, Any]], path: Path) -> None:
    """Draw fulfilment over mean time, a panel a discriminator and way of delivery."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(results), figsize=(5 * len(results), 4), constrained_layout=True, sharey=True
    )
    for axis, result in zip(np.atleast_1d(axes), results, strict=True):
        fixed = result["fixed"]
        axis.plot(
            [f["mean_s"] for f in fixed], [f["fulfilment"] for f in fixed], "s-", label="fixed"
        )
        for point in fixed:
            axis.annotate(point["variant"], (point["mean_s"], point["fulfilment"]), fontsize=7)
        chosen = sorted((p["mean_s"], p["fulfilment"]) for p in result["policies"])
        axis.plot(
            [c for c, _ in chosen], [q for _, q in chosen], "o-", label="cascades", markersize=3
        )
        title = f"{result['discriminator']}, deliver {result['deliver']}"
        axis.set(title=title, xlabel="seconds an image, one thread", ylabel="prompts fulfilled")
        axis.legend()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def samples(work: Path, path: Path) -> None:
    """Lay out test pictures: a row a variant, some prompts of every category side by side."""
    asked = outcomes.measured(work, "test")
    chosen = [
        i
        for category in CATEGORIES
        for i in [k for k, item in enumerate(asked) if item.category == category][:_COLUMNS]
    ]
    seed = outcomes.seeds("test", VARIANTS[0].name)[0]
    rows = [
        np.concatenate(list(outcomes.pictures(work, "test", variant.name, seed)[chosen]), 1)
        for variant in VARIANTS
    ]
    Image.fromarray(np.concatenate(rows)).save(path)

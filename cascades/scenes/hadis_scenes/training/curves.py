"""Copy the logs of all runs into the committed recipe, thinned out, and draw them.

Runs that went on from shipped weights carry the curves of the earlier ones along.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import matplotlib

from hadis_scenes.training import (
    autoencoder,
    dataset,
    diffusion,
    distillation,
    embedding,
    judged,
    matching,
    restoring,
    text,
    tuning,
)

RECIPES: Final = {
    "text": text.RECIPE,
    "autoencoder": autoencoder.RECIPE,
    "decoder": autoencoder.REFINING,
    "heavy": diffusion.RECIPE,
    "light": distillation.RECIPE,
    "matching": matching.RECIPE,
    "matching-tuned": matching.TUNING,
    "embedding": embedding.RECIPE,
    "real-fake": embedding.HEAD,
}
_POINTS: Final = 120


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _thinned(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    every = max(1, len(lines) // _POINTS)
    return [line for i, line in enumerate(lines) if i % every == 0 or "auc" in line]


def write(work: Path, target: Path) -> None:
    """Write ``recipe.json`` (settings, seeds and curves) and ``curves.png``."""
    target.mkdir(parents=True, exist_ok=True)
    logs = {
        name: _thinned(_lines(work / "logs" / f"{name}.jsonl"))
        for name in RECIPES
        if (work / "logs" / f"{name}.jsonl").exists()
    }
    earlier = _earlier(work)
    record = {
        "seeds": {"scenes": dataset.SEED, "judged": judged.SEED, "tuning": tuning.SEED},
        "scenes": dataset.SCENES,
        "captions_a_scene": dataset.CAPTIONS,
        "judged_scenes": judged.SCENES,
        "tuning_images": tuning.COUNTS,
        "guidance_distilled": distillation.GUIDANCE,
        "runs": {name: asdict(recipe) for name, recipe in RECIPES.items()},
        "curves": logs,
        "earlier_curves": earlier,
    }
    (target / "recipe.json").write_text(json.dumps(record, indent=1) + "\n")
    every = {name: [*earlier.get(name, []), logs.get(name, [])] for name in RECIPES}
    _draw(every, target / "curves.png")


def _earlier(work: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Return the curves of each run that came before those of this work folder, oldest first."""
    path = work / restoring.EARLIER
    if not path.exists():
        return {}
    record = json.loads(path.read_text())
    curves: dict[str, list[list[dict[str, Any]]]] = record.get("earlier_curves", {})
    for name, lines in record["curves"].items():
        curves[name] = [*curves.get(name, []), lines]
    return curves


def _passes(logs: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Return the losses of each training by itself: one begins wherever the examples start anew."""
    found: list[list[dict[str, Any]]] = []
    for lines in logs:
        seen = math.inf
        for line in lines:
            if "loss" in line:
                if line["examples"] < seen:
                    found.append([])
                found[-1].append(line)
                seen = line["examples"]
            elif "recipe" in line and line["step"] == 0:
                seen = math.inf
    return found


def _draw(logs: dict[str, list[list[dict[str, Any]]]], path: Path) -> None:
    """Draw the losses of every training, the newest one darkest."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 5, figsize=(18, 6), constrained_layout=True)
    for axis, name in zip(axes.flat, RECIPES, strict=False):
        passes = _passes(logs[name])
        for number, lines in enumerate(passes, start=1):
            examples = [line["examples"] / 1000 for line in lines]
            losses = [line["loss"] for line in lines]
            axis.plot(examples, losses, color="C0", alpha=(number + 1) / (len(passes) + 1))
        axis.set(title=name, xlabel="thousand examples", ylabel="loss", yscale="log")
    for axis in axes.flat[len(RECIPES) :]:
        axis.remove()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)

"""Generate the images that both discriminators are tuned on: every variant, checker's labels."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Final

import numpy as np
import torch

from hadis_scenes import generating, prompts
from hadis_scenes.training import judged
from hadis_scenes.variants import BY_NAME, VARIANTS

COUNTS: Final = {"scenes-xs": 2500, "scenes-s": 1800, "scenes-m": 1200, "scenes-l": 800}
_SHARES: Final = {"single": 0.1, "two": 0.2, "counting": 0.2, "relation": 0.3, "complex": 0.2}
SEED: Final = 50


def _make_one(name: str, number: int, folder: Path, model: Path, device: str) -> None:
    torch.set_num_threads(1)
    variant = BY_NAME[name]
    counts = {key: round(share * COUNTS[name]) for key, share in _SHARES.items()}
    asked = prompts.draw(SEED + number, "tuning", counts)
    texts = [item.prompt for item in asked]
    pipeline = generating.load(model, device)
    images = generating.generate(pipeline, variant, texts, SEED + number, half=True)
    cells = np.full((len(asked), 8, 8), judged.UNKNOWN_CELL, np.uint8)
    wanted = [item.composition for item in asked]
    judged.judge_all(SEED + number, images, wanted, cells).save(folder)


def make(work: Path, model: Path, device: str) -> judged.Judged:
    """Generate with every variant and judge; kept on disk, one folder a variant."""
    folders = [work / "tuning" / variant.name for variant in VARIANTS]
    jobs = [
        (variant.name, number, folder, model, device)
        for number, (variant, folder) in enumerate(zip(VARIANTS, folders, strict=True))
        if not (folder / "verdicts.npy").exists()
    ]
    jobs.reverse()  # the slowest first
    if device == "cpu":
        with multiprocessing.get_context("spawn").Pool() as pool:
            pool.starmap(_make_one, jobs, 1)
    else:
        for job in jobs:
            _make_one(*job)
    return judged.joined([judged.Judged.load(folder) for folder in folders])

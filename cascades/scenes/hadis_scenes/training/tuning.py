"""Generate the images that both discriminators are tuned on: every variant, checker's labels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from hadis_scenes import generating, prompts
from hadis_scenes.training import judged
from hadis_scenes.variants import VARIANTS

COUNTS: Final = {"scenes-xs": 2400, "scenes-s": 1000, "scenes-m": 800, "scenes-l": 500}
_SHARES: Final = {"single": 0.1, "two": 0.2, "counting": 0.2, "relation": 0.3, "complex": 0.2}
SEED: Final = 50


def make(work: Path, models: Path, device: str) -> judged.Judged:
    """Generate with every variant and judge; kept on disk, one folder a variant."""
    parts = []
    for number, variant in enumerate(VARIANTS):
        folder = work / "tuning" / variant.name
        if not (folder / "verdicts.npy").exists():
            counts = {key: round(share * COUNTS[variant.name]) for key, share in _SHARES.items()}
            asked = prompts.draw(SEED + number, "tuning", counts)
            images = generating.generate(
                generating.pipeline_of(variant, models, device),
                variant,
                [item.prompt for item in asked],
                SEED + number,
                half=True,
            )
            cells = np.full((len(asked), 8, 8), judged.UNKNOWN_CELL, np.uint8)
            wanted = [item.composition for item in asked]
            judged.judge_all(SEED + number, images, wanted, cells).save(folder)
        parts.append(judged.Judged.load(folder))
    return judged.joined(parts)

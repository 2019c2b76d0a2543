"""The four variants that the cascade offers, from very light to heavy.

Three of them run the light model, which needs no guidance and so half the work a step, for more or
fewer steps; the heaviest is the guided heavy model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODELS: Final = Path(__file__).parent / "models"
DISCRIMINATORS: Final = Path(__file__).parent / "discriminators"


@dataclass(frozen=True, slots=True)
class Variant:
    """A name, the folder of its pipeline and how to run it; guidance of one is none."""

    name: str
    model: str
    steps: int
    guidance: float


VARIANTS: Final = (
    Variant("scenes-xs", "light", 3, 1.0),
    Variant("scenes-s", "light", 5, 1.0),
    Variant("scenes-m", "light", 8, 1.0),
    Variant("scenes-l", "heavy", 16, 3.0),
)
BY_NAME: Final = {variant.name: variant for variant in VARIANTS}

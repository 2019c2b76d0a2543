"""The four variants that the cascade offers, from very light to heavy.

All of them run the light denoiser, which needs no guidance and so half the work a step, for more or
fewer steps: at equal time it beats the guided heavy denoiser that it was distilled from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODEL: Final = Path(__file__).parent / "models" / "light"
"""The pipeline that every variant runs."""
DISCRIMINATORS: Final = Path(__file__).parent / "discriminators"


@dataclass(frozen=True, slots=True)
class Variant:
    """A name and how many denoising steps it takes."""

    name: str
    steps: int


VARIANTS: Final = (
    Variant("scenes-xs", 3),
    Variant("scenes-s", 5),
    Variant("scenes-m", 8),
    Variant("scenes-l", 17),
)
BY_NAME: Final = {variant.name: variant for variant in VARIANTS}

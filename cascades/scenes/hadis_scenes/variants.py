"""The four variants that the cascade offers, from very light to heavy.

All of them run the light denoiser for more or fewer steps. It needs no guidance and so half the
work a step, and draws as well as the guided heavy denoiser, its teacher, in three quarters of the
time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


def model_of(package: Path) -> Path:
    """Return where a package folder has the pipeline that every variant runs."""
    return package / "models" / "light"


MODEL: Final = model_of(Path(__file__).parent)
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

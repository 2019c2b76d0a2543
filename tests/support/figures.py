"""Figures beside the golden ones, which somebody has looked at.

`HADIS_GOLDEN=write pytest ...` writes them anew: look at each before it is committed.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parents[1] / "golden_figures"
MOST_APART = 2.0
"""Mean difference of a pixel, of 255: fonts may be drawn a little differently, lines may not."""


def assert_golden(figure: Path, name: str) -> None:
    """Assert that a figure looks like the golden one of that name."""
    golden = FOLDER / f"{name}.png"
    if os.environ.get("HADIS_GOLDEN") == "write":
        FOLDER.mkdir(exist_ok=True)
        golden.write_bytes(figure.read_bytes())
    drawn, wanted = (np.asarray(Image.open(one).convert("RGB"), float) for one in (figure, golden))
    assert drawn.shape == wanted.shape
    apart = float(np.abs(drawn - wanted).mean())
    assert apart <= MOST_APART, f"{figure} is {apart:.1f} from {golden}"

"""The feature space of the tiny CLIP that ships with the cascade, for Frechet distances.

Distances in it compare these variants with one another and with rendered scenes; they are no FID.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file

from hadis_scenes import discriminators
from hadis_scenes.variants import DISCRIMINATORS

_BATCH: Final = 256


@cache
def tower(folder: Path = DISCRIMINATORS / "real-fake") -> discriminators.ImageTower:
    """Load the image tower that the real-fake discriminator builds on."""
    weights = load_file(folder / "model.safetensors")
    prefix = "image."
    model = discriminators.ImageTower()
    model.load_state_dict(
        {k.removeprefix(prefix): v.float() for k, v in weights.items() if k.startswith(prefix)}
    )
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def embed(images: list[Image.Image]) -> npt.NDArray[np.float32]:
    """Return one embedding of unit length a picture."""
    rows = [
        tower()(discriminators.pixels(images[start : start + _BATCH])).numpy()
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(rows)

"""Pictures as the API delivers them, as arrays."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def pixels(b64_json: str) -> NDArray[np.int16]:
    """Decode an image; signed, so that differences are what they look like."""
    with Image.open(io.BytesIO(base64.b64decode(b64_json))) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def largest_difference(one: NDArray[np.int16], other: NDArray[np.int16]) -> int:
    """Steps of 8 bits between the two pixels that differ most."""
    return int(np.abs(one - other).max())


def provenance(datum: Any) -> dict[str, Any]:
    """The `hadis` field of one element of `data`, as the official client hands it on."""
    found: dict[str, Any] = datum.hadis
    return found

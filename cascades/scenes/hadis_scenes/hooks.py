"""What other parts of HADIS call by name: `hadis profile --checker hadis_scenes.hooks:fulfils`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from hadis_scenes import checking
from hadis_scenes.compositions import Composition


def fulfils(image: Image.Image, line: Mapping[str, Any]) -> bool:
    """Tell whether a picture shows what its line of a prompt file asks for."""
    composition = Composition.from_json(line["category"], line["spec"])
    return checking.check(np.asarray(image.convert("RGB")), composition)

"""Checkers that `hadis profile` can import by name in its processes."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def is_bright(image: Any, line: Mapping[str, Any]) -> float:
    """Whether a picture is lighter than the grey that its line names."""
    return float(np.asarray(image).mean() > line["grey"])

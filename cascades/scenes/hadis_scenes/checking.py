"""Judge a picture against its composition by program: what is there, and is every demand met.

The verdict is strict: one object too many, a smeared shape or a missed size fails the picture.
It accepts every picture that ``drawing`` makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hadis_scenes import drawing
from hadis_scenes.compositions import COLOURS, SHAPES, Composition, Group

_COLOUR_VALUES: Final = np.array([drawing.COLOUR_VALUES[c] for c in COLOURS], dtype=np.float32)
_COLOUR_DIRECTIONS: Final = _COLOUR_VALUES / np.linalg.norm(_COLOUR_VALUES, axis=1, keepdims=True)
_FOREGROUND: Final = 120.0
_STRONG: Final = 130.0
_COSINE: Final = 0.9
_SMALLEST_AREA: Final = 10
_SHAPE_OVERLAP: Final = 0.72
_LARGEST_SMALL: Final = 13.5
_SMALLEST_LARGE: Final = 16.5
_RELATION_GAP: Final = 5.0
_CORNER_REACH: Final = 30.0
_TEMPLATE: Final = 16


@dataclass(frozen=True, slots=True)
class Found:
    """One detected object; an unrecognisable shape is empty. Size is its mean extent in pixels."""

    colour: str
    shape: str
    size: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Detection:
    """Everything seen in a picture; ``stray`` counts bright pixels that belong to no object."""

    objects: tuple[Found, ...]
    stray: int


def _normalised(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Stretch a mask to the templates' grid by bilinear sampling at pixel centres."""
    height, width = mask.shape
    values = mask.astype(np.float32)

    def axis(
        length: int,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        at = np.clip((np.arange(_TEMPLATE) + 0.5) * length / _TEMPLATE - 0.5, 0, length - 1)
        low = np.minimum(at.astype(np.int64), max(length - 2, 0))
        return low, np.minimum(low + 1, length - 1), (at - low).astype(np.float32)

    top, bottom, v = axis(height)
    left, right, u = axis(width)
    rows = values[top] * (1 - v[:, None]) + values[bottom] * v[:, None]
    return (rows[:, left] * (1 - u) + rows[:, right] * u).astype(np.float32)


@cache
def _templates() -> npt.NDArray[np.float32]:
    """Return shapes x sizes x pixels."""
    rows = []
    for shape in SHAPES:
        row = []
        for radius in (5.0, 7.0, 9.0, 11.5):
            canvas = np.zeros((drawing.SIDE, drawing.SIDE))
            window, covered = drawing.coverage(shape, 32.3, 31.8, radius)
            canvas[window] = covered
            mask = canvas > 0.45
            ys, xs = np.nonzero(mask)
            row.append(_normalised(mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]).ravel())
        rows.append(row)
    return np.array(rows, dtype=np.float32)


def _shape(mask: npt.NDArray[np.bool_]) -> str:
    height, width = mask.shape
    if not 0.72 < width / height < 1.39:
        return ""
    seen = _normalised(mask).ravel()
    templates = _templates()
    overlap = np.minimum(templates, seen).sum(2) / np.maximum(templates, seen).sum(2)
    best = overlap.max(1)
    index = int(best.argmax())
    return SHAPES[index] if best[index] > _SHAPE_OVERLAP else ""


def detect(image: drawing.Image) -> Detection:
    """Find connected areas of one colour and recognise their shapes."""
    pixels = image.astype(np.float32)
    norm = np.sqrt((pixels * pixels).sum(2))
    along = pixels @ _COLOUR_DIRECTIONS.T
    nearest = along.argmax(2)
    foreground = (norm > _FOREGROUND) & (along.max(2) > _COSINE * np.maximum(norm, 1))
    objects = []
    used = 0
    for index, colour in enumerate(COLOURS):
        mask = foreground & (nearest == index)
        if mask.sum() < _SMALLEST_AREA:
            continue
        labels, _ = ndimage.label(mask)
        for number, window in enumerate(ndimage.find_objects(labels), start=1):
            area = labels[window] == number
            count = int(area.sum())
            if count < _SMALLEST_AREA:
                continue
            rows, columns = window
            objects.append(
                Found(
                    colour,
                    _shape(area),
                    sum(area.shape) / 2,
                    (columns.start + columns.stop) / 2,
                    (rows.start + rows.stop) / 2,
                )
            )
            used += count
    return Detection(tuple(objects), int((norm > _STRONG).sum()) - used)


def members(detection: Detection, group: Group) -> list[Found]:
    """List the detected objects of a group's colour and shape."""
    return [o for o in detection.objects if (o.colour, o.shape) == (group.colour, group.shape)]


def group_holds(found: list[Found], group: Group) -> bool:
    """Tell whether a group has its count and every member its size."""
    if len(found) != group.count:
        return False
    if group.size == "small":
        return all(o.size <= _LARGEST_SMALL for o in found)
    if group.size == "large":
        return all(o.size >= _SMALLEST_LARGE for o in found)
    return True


def relation_holds(first: list[Found], relation: str, second: list[Found]) -> bool:
    """Tell whether every first object lies clearly above, or left of, every second one."""
    if not first or not second:
        return False
    along, across = ("y", "x") if relation == "above" else ("x", "y")

    def at(found: list[Found], axis: str) -> npt.NDArray[np.float64]:
        return np.array([getattr(o, axis) for o in found])

    if at(second, along).min() - at(first, along).max() < _RELATION_GAP:
        return False
    distance = at(second, along).mean() - at(first, along).mean()
    aside = abs(at(second, across).mean() - at(first, across).mean())
    return bool(distance >= 0.8 * aside)


def corner_holds(found: list[Found], corner: str) -> bool:
    """Tell whether a group's first object lies in its corner."""
    if not found:
        return False
    x = found[0].x if "left" in corner else drawing.SIDE - found[0].x
    y = found[0].y if "top" in corner else drawing.SIDE - found[0].y
    return x <= _CORNER_REACH and y <= _CORNER_REACH


def fulfils(detection: Detection, composition: Composition) -> bool:
    """Tell whether a picture shows exactly what its composition demands."""
    objects = detection.objects
    if len(objects) != sum(g.count for g in composition.groups):
        return False
    if any(not o.shape for o in objects) or detection.stray > 24 + 12 * len(objects):
        return False
    found = [members(detection, group) for group in composition.groups]
    return (
        all(group_holds(f, g) for f, g in zip(found, composition.groups, strict=True))
        and all(relation_holds(found[a], r, found[b]) for a, r, b in composition.relations)
        and all(corner_holds(found[i], c) for i, c in composition.corners)
    )


def check(image: drawing.Image, composition: Composition) -> bool:
    """Detect and judge in one call."""
    return fulfils(detect(image), composition)

"""Lay a composition out on a 64 x 64 canvas and draw it with soft edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from hadis_scenes.compositions import Composition

SIDE: Final = 64
COLOUR_VALUES: Final = {
    "red": (230, 40, 40),
    "green": (40, 190, 50),
    "blue": (50, 70, 240),
    "yellow": (235, 220, 40),
    "purple": (200, 50, 210),
    "cyan": (40, 210, 215),
}
_RADII: Final = {"": (6.0, 10.5), "small": (4.5, 5.8), "large": (10.2, 12.5)}
_CROWDED_RADII: Final = (6.0, 8.5)
_CORNER_REACH: Final = 27.0
_CLEARANCE: Final = 1.5
_RELATION_GAP: Final = 9.0
_ATTEMPTS: Final = 160
_SUPERSAMPLING: Final = 3

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Object:
    """One drawn object: its group, centre and radius in pixels."""

    group: int
    colour: str
    shape: str
    x: float
    y: float
    radius: float


def _radii(composition: Composition, owners: list[int], rng: np.random.Generator) -> Floats:
    ranges = []
    for owner in owners:
        size = composition.groups[owner].size
        crowded = not size and len(owners) > 3
        ranges.append(_CROWDED_RADII if crowded else _RADII[size])
    low, high = np.array(ranges).T
    radii: Floats = rng.uniform(low, high)
    return radii


def _relations_hold(
    composition: Composition, owner: npt.NDArray[np.int64], x: Floats, y: Floats
) -> npt.NDArray[np.bool_]:
    holds = np.ones(len(x), dtype=bool)
    for first, relation, second in composition.relations:
        along, across = (y, x) if relation == "above" else (x, y)
        a, b = owner == first, owner == second
        distance = along[:, b].mean(1) - along[:, a].mean(1)
        aside = np.abs(across[:, b].mean(1) - across[:, a].mean(1))
        holds &= along[:, b].min(1) - along[:, a].max(1) >= _RELATION_GAP
        holds &= distance >= 1.1 * aside
    return holds


def lay_out(composition: Composition, rng: np.random.Generator) -> list[Object] | None:
    """Place every object without overlap and with clear relations; None when no room was found."""
    owners = [i for i, group in enumerate(composition.groups) for _ in range(group.count)]
    owner = np.array(owners)
    for _ in range(40):
        radius = _radii(composition, owners, rng)
        shape = (_ATTEMPTS, len(owners))
        x = rng.uniform(radius + 1, SIDE - 1 - radius, shape)
        y = rng.uniform(radius + 1, SIDE - 1 - radius, shape)
        for group, corner in composition.corners:
            k = owners.index(group)
            reach = max(radius[k] + 2, _CORNER_REACH)
            aside, down = rng.uniform(radius[k] + 1, reach, (2, _ATTEMPTS))
            x[:, k] = aside if "left" in corner else SIDE - 1 - aside
            y[:, k] = down if "top" in corner else SIDE - 1 - down
        fits = _relations_hold(composition, owner, x, y)
        for i in range(len(owners)):
            for j in range(i):
                apart = np.maximum(np.abs(x[:, i] - x[:, j]), np.abs(y[:, i] - y[:, j]))
                fits &= apart > radius[i] + radius[j] + _CLEARANCE
        found = np.flatnonzero(fits)
        if len(found):
            k = found[0]
            return [
                Object(
                    g,
                    composition.groups[g].colour,
                    composition.groups[g].shape,
                    float(x[k, i]),
                    float(y[k, i]),
                    float(radius[i]),
                )
                for i, g in enumerate(owners)
            ]
    return None


def in_the_middle(objects: list[Object]) -> list[Object]:
    """Draw a layout of one object in towards the middle, a quarter as far from it as it was."""
    middle = SIDE / 2
    return [
        replace(item, x=middle + (item.x - middle) / 4, y=middle + (item.y - middle) / 4)
        for item in objects
    ]


def in_reading_order(pair: list[Object], first: int) -> list[Object]:
    """Mirror a layout of two objects until group ``first`` lies left of and above the other."""
    one, other = sorted(pair, key=lambda item: item.group != first)
    flips_x, flips_y = one.x > other.x, one.y > other.y
    return [
        replace(
            item,
            x=SIDE - item.x if flips_x else item.x,
            y=SIDE - item.y if flips_y else item.y,
        )
        for item in pair
    ]


def coverage(shape: str, x: float, y: float, radius: float) -> tuple[tuple[slice, slice], Floats]:
    """Return the window that a shape touches and how much of each of its pixels it covers."""
    left, right = max(0, int(x - radius - 1)), min(SIDE, int(x + radius + 3))
    top, bottom = max(0, int(y - radius - 1)), min(SIDE, int(y + radius + 3))
    s = _SUPERSAMPLING
    u = (((np.arange(left * s, right * s) + 0.5) / s - x) / radius)[None, :]
    v = (((np.arange(top * s, bottom * s) + 0.5) / s - y) / radius)[:, None]
    if shape == "circle":
        inside = u * u + v * v <= 1
    elif shape == "square":
        inside = (np.abs(u) <= 0.9) & (np.abs(v) <= 0.9)
    elif shape == "triangle":
        inside = (v <= 0.85) & (np.abs(u) <= (v + 1) / 1.85)
    else:
        upright = (np.abs(u) <= 0.34) & (np.abs(v) <= 1)
        inside = upright | ((np.abs(v) <= 0.34) & (np.abs(u) <= 1))
    covered = inside.reshape(bottom - top, s, right - left, s).mean((1, 3))
    return (slice(top, bottom), slice(left, right)), covered


def draw(objects: list[Object], rng: np.random.Generator) -> Image:
    """Draw objects in order on a dark background; colours and background vary a little."""
    canvas = np.empty((SIDE, SIDE, 3))
    canvas[:] = rng.uniform(18, 34)
    for item in objects:
        window, covered = coverage(item.shape, item.x, item.y, item.radius)
        colour = np.array(COLOUR_VALUES[item.colour]) * rng.uniform(0.92, 1.05)
        colour = np.clip(colour + rng.uniform(-8, 8, 3), 0, 255)
        alpha = covered[..., None]
        canvas[window] = canvas[window] * (1 - alpha) + colour * alpha
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)

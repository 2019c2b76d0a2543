"""What the pictures that were served are worth, read from the measured grid.

A grid cell is a pair under a share of prompts sent straight to heavy and a share of the light
images rejected. Between cells the quality is interpolated linearly, first along the rejected share
within the neighbouring direct shares, then between those.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hadis.errors import InvalidProfile
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile, ProfileRow

Pair = tuple[ModelName, ModelName]
SAME = 1e-6
"""Direct shares that differ by less are one column of the grid."""


@dataclass(frozen=True, slots=True)
class Served:
    """Pictures by the way they took: accepted light ones, heavy at once, escalated."""

    light: int
    heavy: int
    escalated: int

    @property
    def total(self) -> int:
        """All pictures."""
        return self.light + self.heavy + self.escalated

    @property
    def direct_share(self) -> float:
        """The share that went straight to the heavy model."""
        return self.heavy / self.total

    @property
    def rejected_share(self) -> float:
        """The share of the light images that was escalated."""
        light = self.light + self.escalated
        return self.escalated / light if light else 0.0

    @property
    def heavy_share(self) -> float:
        """The share that the heavy model made."""
        return (self.heavy + self.escalated) / self.total


class Surface:
    """One metric of one pair over both shares."""

    def __init__(self, rows: Iterable[ProfileRow], metric: str) -> None:
        columns: dict[float, dict[float, float]] = defaultdict(dict)
        for row in sorted(rows, key=lambda row: row.direct_ratio):
            direct = row.direct_ratio
            if columns and direct - next(reversed(columns)) < SAME:
                direct = next(reversed(columns))
            columns[direct][row.rejected_ratio] = row.measured[metric]
        self._direct = list(columns)
        self._columns = [_line(column) for column in columns.values()]

    @property
    def is_routed(self) -> bool:
        """Whether more than one direct share was measured."""
        return len(self._direct) > 1

    def at(self, direct: float, rejected: float) -> float:
        """Return the quality at two shares; beyond the measured ones that of the nearest."""
        values = [_interpolate(*column, rejected) for column in self._columns]
        return _interpolate(self._direct, values, direct)

    def at_random(self, heavy_share: float) -> float:
        """Return the quality of a mixture at random: the router's cells, nothing rejected.

        A pair that was measured without a router has only the discriminator's mixtures.
        """
        return self.at(heavy_share, 0.0) if self.is_routed else self.at(0.0, heavy_share)


class Grid:
    """Every pair of a profile under one metric.

    A pair without grid cells is read from its rows; the fewer those are, the coarser.
    """

    def __init__(self, profile: Profile, metric: str) -> None:
        self.metric = metric
        cells: dict[Pair, list[ProfileRow]] = defaultdict(list)
        gridded = {(row.light, row.heavy) for row in profile.grid}
        rows = [row for row in profile.rows if (row.light, row.heavy) not in gridded]
        for row in (*profile.grid, *rows):
            cells[row.light, row.heavy].append(row)
        self.surfaces = {pair: Surface(found, metric) for pair, found in cells.items()}

    def read(self, pair: Pair, served: Served, *, at_random: bool = False) -> float:
        """Return the quality of pictures of one lane; there must be some."""
        surface = self.surfaces.get(pair)
        if surface is None:
            return self._apart(pair, served.heavy_share)
        if at_random:
            return surface.at_random(served.heavy_share)
        return surface.at(served.direct_share, served.rejected_share)

    def alone(self, model: ModelName) -> float:
        """Return the quality of a model that makes every picture."""
        for (light, heavy), surface in self.surfaces.items():
            if light == model:
                return surface.at(0.0, 0.0)
            if heavy == model:
                return surface.at(1.0, 0.0) if surface.is_routed else surface.at(0.0, 1.0)
        raise InvalidProfile(f"no row of the profile has {model}", field="rows")

    def _apart(self, pair: Pair, heavy_share: float) -> float:
        light, heavy = (self.alone(model) for model in pair)
        return light + heavy_share * (heavy - light)


def grids(profile: Profile) -> tuple[Grid, ...]:
    """Return the grid of the planner's metric, and that of `fid` where it was measured besides."""
    names = [profile.quality.metric]
    if names != ["fid"] and all("fid" in row.measured for row in profile.grid or profile.rows):
        names.append("fid")
    return tuple(Grid(profile, name) for name in names)


def _line(cells: dict[float, float]) -> tuple[list[float], list[float]]:
    places = sorted(cells)
    return places, [cells[place] for place in places]


def _interpolate(places: Sequence[float], values: Sequence[float], at: float) -> float:
    upper = bisect_right(places, at)
    if upper == 0:
        return values[0]
    if upper == len(places):
        return values[-1]
    before, after = places[upper - 1], places[upper]
    part = (at - before) / (after - before)
    return values[upper - 1] + part * (values[upper] - values[upper - 1])

"""Two lanes: the best mixture of two rows, where workers come only whole.

A mixture sends a share of the demand, in hundredths, along each of two rows; loads add up per model
before they are rounded to workers, the quality is interpolated linearly, and swaps cost what they
cost a single row. The search is exact. For every choice of batch sizes it bounds each pair of rows
by what the fleet carries when workers could be split, and evaluates with whole workers only those
shares whose quality still beats the best that was found so far. That is the best single row at
first, and the rows that lie closest to the envelope of quality over load are tried next, so that
the bar is high from the start.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hadis.planning import batching, tables
from hadis.planning.batching import CHUNK, Sums
from hadis.planning.problems import Problem, RowShare
from hadis.planning.tables import Floats, Ints, Table

HUNDREDTHS = 100
BLOCK = 64
"""Rows whose pairs with all others are bounded at once."""
FIRST = 48
"""Rows that are tried first. Their pairs hold the best mixture more often than not."""
FEW_WORKERS = 8
"""Fleets in which whole workers are so coarse that each model's share of them is bounded early."""
GAIN = 1e-9
"""Smaller gains in quality are rounding errors and not worth a second lane."""
EVALUATIONS_PER_S = 4_000_000
"""How a time limit becomes a limit of work, as nothing here reads a clock."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """The best mixture found: its rows, the largest share first, none where none was good enough.

    `proved`: nothing that was left out could have been better.
    """

    parts: tuple[RowShare, ...]
    proved: bool


@dataclass(slots=True)
class _Best:
    """The bar that a mixture has to beat, and the work that may still be spent on beating it."""

    value: float
    budget: int
    swaps: int = 0
    path_us: int = 0
    first: int = -1
    second: int = -1
    share: int = 0
    complete: bool = field(default=True)

    def spend(self, work: int) -> bool:
        """Use up a part of the budget; False when it is gone."""
        self.budget -= work
        self.complete = self.complete and self.budget >= 0
        return self.budget >= 0


class Search:
    """The mixtures of a table's rows, choice by choice of batch sizes.

    `is_whole` is False where there are too many choices to search them all: what is found may then
    not be the best.
    """

    def __init__(self, problem: Problem, table: Table) -> None:
        self._table = table
        self._budget = int(problem.time_limit_s * EVALUATIONS_PER_S)
        sums = Sums.of(table)
        choices, self.is_whole = batching.choices(problem, table, sums)
        parts = [_Choice(problem, table, sums, *choice) for choice in choices]
        self._choices = sorted(parts, key=lambda choice: -choice.ceiling)

    def mixture(self, value: float) -> Mixture:
        """Return the best mixture of two rows, empty when none beats what is already there.

        `value` is the quality of the best single row less the cost of its swaps; minus infinity
        where no single row is feasible. Mixtures that are equal go by fewer swaps, then the shorter
        path.
        """
        best = _Best(value, self._budget, complete=self.is_whole)
        for choice in self._choices:
            if choice.ceiling < best.value:
                break
            choice.improve(best)
        if best.first < 0:
            return Mixture((), best.complete)
        parts = (
            RowShare(best.share / HUNDREDTHS, self._table.rows[best.first]),
            RowShare((HUNDREDTHS - best.share) / HUNDREDTHS, self._table.rows[best.second]),
        )
        return Mixture(tuple(sorted(parts, key=lambda part: -part.share)), best.complete)


class _Choice:
    """All pairs of rows under one choice of batch sizes, the better row of a pair first."""

    def __init__(
        self, problem: Problem, table: Table, sums: Sums, positions: Ints, rows: Ints
    ) -> None:
        self.problem = problem
        self.table = table
        self.rows = rows[np.argsort(-table.quality[rows], kind="stable")]
        self.quality = table.quality[self.rows]
        number = np.arange(len(table.models))
        self.load = sums.load[self.rows][:, number, positions]
        self.uses = sums.uses[self.rows]
        self._is_used = (self.uses > 0).astype(np.float64)
        # Where anything waits, the path depends on what the whole mixture sends to a model.
        self.waits = tables.has_queues(problem)
        self.ratio = sums.ratio[self.rows]
        self.batch_us = sums.batch_us[self.rows][:, number, positions].sum(axis=1)
        self.total = self.load.sum(axis=1) / problem.utilisation_limit
        rounding = len(table.models) * tables.ROUNDING
        self.room = problem.workers - float(table.extra.sum()) + rounding
        self.hull = self._hull()
        self.ceiling = self._ceiling()

    def _ceiling(self) -> float:
        """Return the quality that no mixture exceeds: the best if workers could be split."""
        if self.total[self.hull[0]] > self.room:
            return -math.inf
        return float(np.interp(self.room, self.total[self.hull], self.quality[self.hull]))

    def improve(self, best: _Best) -> None:
        """Beat `best` as far as any pair can; the pairs of promising rows come first."""
        everything = np.arange(len(self.rows))
        for rows in (self._promising(), everything) if len(self.rows) > FIRST else (everything,):
            for start in range(0, len(rows), BLOCK):
                pairs, lowest, highest = self._bounded(rows[start : start + BLOCK], rows, best)
                if not best.spend(BLOCK * len(rows) // 16):
                    return
                for first, second, share in _expanded(pairs, lowest, highest):
                    if not best.spend(len(share)):
                        return
                    self._evaluate(best, first, second, share)

    def _promising(self) -> Ints:
        """Return the rows that lie closest to the upper envelope of quality over load."""
        envelope = np.interp(self.total, self.total[self.hull], self.quality[self.hull])
        closest = np.argsort(envelope - self.quality, kind="stable")[:FIRST]
        return np.sort(closest)

    def _hull(self) -> list[int]:
        """Return the rows, by ascending load, that make the upper envelope of quality over load."""
        order = np.argsort(self.total, kind="stable")
        rising = np.diff(np.maximum.accumulate(self.quality[order]), prepend=-np.inf) > 0.0
        hull: list[int] = []
        for row in order[rising].tolist():
            while len(hull) > 1 and self._is_below(hull[-2], hull[-1], row):
                hull.pop()
            hull.append(row)
        return hull

    def _is_below(self, left: int, middle: int, right: int) -> bool:
        rise = (self.quality[right] - self.quality[left]) * (self.total[middle] - self.total[left])
        run = (self.quality[middle] - self.quality[left]) * (self.total[right] - self.total[left])
        return bool(rise >= run)

    def _bounded(self, better: Ints, rows: Ints, best: _Best) -> tuple[Ints, Ints, Ints]:
        """Return the pairs that may beat `best`, the most promising first, and their shares.

        The shares of the better row, in hundredths, are those between which the mixture fits a
        fleet whose workers could be split, and which make it good enough.
        """
        models = self._models(better, rows)
        first, second = np.broadcast_arrays(better[:, None], rows[None, :])
        is_pair = (second > first) & (models <= self.problem.workers)
        first, second = first[is_pair], second[is_pair]
        gain = self.quality[first] - self.quality[second]
        lowest, highest = self._fitting(first, second, models[is_pair])
        missing = best.value - self.quality[second]
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = np.where(gain > 0.0, missing / gain, np.where(missing > 0.0, np.inf, 0.0))
        lowest = np.maximum(lowest, np.ceil(needed * HUNDREDTHS - GAIN))
        kept = np.flatnonzero(lowest <= highest)
        bound = self.quality[second[kept]] + gain[kept] * highest[kept] / HUNDREDTHS
        kept = kept[np.argsort(-bound, kind="stable")]
        pairs = np.stack([first[kept], second[kept]], axis=1)
        return pairs, lowest[kept].astype(np.int64), highest[kept].astype(np.int64)

    def _models(self, better: Ints, rows: Ints) -> Ints:
        """Return how many models each pair uses (better, rows); each takes a worker at least."""
        uses, count = self._is_used, self._is_used.sum(axis=1)
        shared = uses[better] @ uses[rows].T
        models = np.rint(count[better][:, None] + count[rows] - shared)
        return np.asarray(models.astype(np.int64))

    def _fitting(self, first: Ints, second: Ints, models: Ints) -> tuple[Floats, Floats]:
        """Return the hundredths between which a pair fits the fleet when workers are split.

        `models`: how many it uses. In a small fleet what the others need is seen here already.
        """
        lowest = np.ones(len(first))
        highest = np.full(len(first), HUNDREDTHS - 1.0)
        costs: list[tuple[Floats, Floats]] = [(self.total, np.array(self.room))]
        if self.problem.pools is not None or self.problem.workers <= FEW_WORKERS:
            most = self.problem.workers - models + 1
            for i, cap in enumerate(self.table.caps):
                room = np.minimum(cap, most) * self.problem.utilisation_limit - self.table.extra[i]
                costs.append((self.load[:, i], room + tables.ROUNDING))
        for cost, room in costs:
            step = cost[first] - cost[second]
            with np.errstate(divide="ignore", invalid="ignore"):
                edge = HUNDREDTHS * (room - cost[second]) / step
            highest = np.where(step > 0.0, np.minimum(highest, np.floor(edge + GAIN)), highest)
            lowest = np.where(step < 0.0, np.maximum(lowest, np.ceil(edge - GAIN)), lowest)
            never = (step == 0.0) & (cost[second] > np.maximum(room, 0.0))
            highest = np.where(never, 0.0, highest)
        return lowest, highest

    def _evaluate(self, best: _Best, first: Ints, second: Ints, share: Ints) -> None:
        """Raise `best` to the best of these mixtures with whole workers, if that is better."""
        part = (share / HUNDREDTHS)[:, None]
        rest = ((HUNDREDTHS - share) / HUNDREDTHS)[:, None]
        value = part[:, 0] * self.quality[first] + rest[:, 0] * self.quality[second]
        # Best shares change with every mixture that is found: what is left is worth another look.
        open_ = np.flatnonzero(value > best.value - GAIN)
        if not len(open_):
            return
        first, second, value = first[open_], second[open_], value[open_]
        part, rest = part[open_], rest[open_]
        load = part * self.load[first] + rest * self.load[second]
        uses = (self.uses[first] + self.uses[second]) > 0
        limit = self.problem.utilisation_limit
        need = tables.whole_workers(load + np.where(uses, self.table.extra, 0.0), uses, limit)
        total = need.sum(axis=1) + np.where(uses, 0.0, self.table.extra).sum(axis=1)
        fits = (total <= self.problem.workers + tables.ROUNDING) & (need <= self.table.caps).all(1)
        path_us = self._longest_path_us(first, second, part, rest)
        fits &= path_us <= self.table.limit_us
        swaps = np.zeros(len(value))
        if self.table.held is not None:
            missing = np.maximum(need - self.table.held, 0.0)
            swaps = missing.sum(axis=1)
            value = value - missing @ self.table.price
        value = np.where(fits, value, -np.inf)
        ties = np.flatnonzero(value >= value.max() - GAIN)
        top = int(ties[np.lexsort((path_us[ties], swaps[ties]))[0]])
        found = float(value[top]), int(swaps[top]), int(path_us[top])
        if np.isfinite(found[0]) and self._is_better(found, best):
            best.value, best.swaps, best.path_us = found
            best.first, best.second = int(self.rows[first[top]]), int(self.rows[second[top]])
            best.share = int(share[open_[top]])

    def _is_better(self, found: tuple[float, int, int], best: _Best) -> bool:
        if found[0] > best.value + GAIN or best.first < 0:
            return found[0] > best.value + GAIN
        return found[0] >= best.value - GAIN and found[1:] < (best.swaps, best.path_us)

    def _longest_path_us(self, first: Ints, second: Ints, part: Floats, rest: Floats) -> Ints:
        """Return the longer path of both lanes; what waits, waits for all that arrives there."""
        if not self.waits:
            return np.asarray(np.maximum(self.batch_us[first], self.batch_us[second]))
        arriving = part * self.ratio[first] + rest * self.ratio[second]
        wait_us = batching.little_us(self.problem, self.table, arriving)
        paths = [
            self.batch_us[lane]
            + np.where(self.uses[lane] > 0, self.uses[lane] * wait_us, 0).sum(axis=1)
            for lane in (first, second)
        ]
        return np.asarray(np.maximum(*paths))


def _expanded(pairs: Ints, lowest: Ints, highest: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield chunks of the first rows, second rows and shares of every mixture of the pairs."""
    counts = highest - lowest + 1
    ends = np.cumsum(counts)
    start = 0
    while start < len(pairs):
        done = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, done + CHUNK, side="right")), start + 1)
        part = slice(start, stop)
        number = np.repeat(np.arange(start, stop), counts[part])
        offset = np.arange(len(number)) - np.repeat(ends[part] - counts[part] - done, counts[part])
        yield pairs[number, 0], pairs[number, 1], highest[number] - offset
        start = stop

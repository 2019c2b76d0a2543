"""Two lanes: the best mixture of two rows where workers come only whole.

A mixture sends a share of the demand, in hundredths, along each of two rows; loads add up per model
before they are rounded to workers, and the quality is interpolated linearly. The search is exact.
For every choice of batch sizes it bounds each pair of rows by what the fleet carries when workers
could be split (the hull), and evaluates with whole workers only the pairs whose bound beats the
best mixture found so far.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from hadis.planning import tables
from hadis.planning.problems import Problem, RowShare
from hadis.planning.tables import Bools, Floats, Ints, Table

HUNDREDTHS = 100
CHUNK = 512
"""Pairs that are evaluated at once: the arrays stay within a processor's cache."""
BLOCK = 128
"""Rows that are paired with all others at once: thousands of rows make millions of pairs."""
GAIN = 1e-9
"""Smaller gains in quality are rounding errors and not worth a second lane."""


def mix(problem: Problem, table: Table, single: int | None) -> tuple[RowShare, ...] | None:
    """Return the best mixture of two rows; None when none beats row number `single`.

    Without a feasible single row any feasible mixture is better.
    """
    best = -np.inf if single is None else float(table.quality[single])
    found: tuple[RowShare, ...] | None = None
    searches = [
        _Search(problem, table, positions, mask) for positions, mask in _batches(problem, table)
    ]
    for search in sorted(searches, key=lambda search: -search.ceiling):
        if search.ceiling <= best + GAIN:
            break
        for quality, share, first, second in search.improvements(best):
            best = quality
            parts = [
                RowShare(share / HUNDREDTHS, table.rows[first]),
                RowShare(1.0 - share / HUNDREDTHS, table.rows[second]),
            ]
            found = tuple(sorted(parts, key=lambda part: -part.share))
    return found


def _batches(problem: Problem, table: Table) -> list[tuple[tuple[int, ...], Bools]]:
    """Return batch numbers a model, each with the rows that are in time under them.

    A choice is left out when another has larger batches everywhere and loses no row by it: it
    carries more.
    """
    choices: list[tuple[tuple[int, ...], Bools]] = []
    used = {int(i) for i in table.model[table.uses]}
    ranges = [range(len(b)) if i in used else range(1) for i, b in enumerate(table.batches)]
    for positions in sorted(itertools.product(*ranges), reverse=True):
        mask = _in_time(problem, table, positions)
        covered = any(
            all(a >= b for a, b in zip(larger, positions, strict=True)) and not (mask & ~kept).any()
            for larger, kept in choices
        )
        if mask.any() and not covered:
            choices.append((positions, mask))
    return choices


def _in_time(problem: Problem, table: Table, positions: tuple[int, ...]) -> Bools:
    at = np.asarray(positions)[table.model]
    path_s = np.take_along_axis(table.path_s, at[:, :, None], axis=2)[:, :, 0].sum(axis=1)
    return np.asarray(path_s + table.overhead_s <= problem.slo_s + tables.ROUNDING)


class _Search:
    """All pairs of rows under one choice of batch sizes."""

    def __init__(
        self, problem: Problem, table: Table, positions: tuple[int, ...], mask: Bools
    ) -> None:
        self.problem = problem
        self.rows: Ints = np.flatnonzero(mask)
        self.quality = table.quality[self.rows]
        self.load, self.uses = _by_model(table, positions, self.rows)
        total: Floats = self.load.sum(axis=1) / problem.utilisation_limit
        self._total = total
        blocks = np.array_split(np.arange(len(self.rows)), 1 + len(self.rows) // BLOCK)
        # By better row: the best that any mixture with a row that is not better could reach.
        self._reach = np.concatenate([self._bounds(block).max(axis=1) for block in blocks])
        self.ceiling = float(self._reach.max())

    def _bounds(self, better: Ints) -> Floats:
        """Return bounds of the quality of pairs: their better row (axis 0), and every row (axis 1).

        The bound is the mixture's quality when workers could be split between models: that of the
        largest share of the better row that fits. -inf where neither row fits, and where the other
        one is better; of equal ones the first counts as better.
        """
        workers = self.problem.workers + tables.ROUNDING
        fits = self._total <= workers
        first, second = better[:, None], np.arange(len(self.rows))[None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            room = (workers - self._total[second]) / (self._total[first] - self._total[second])
        share = np.where(fits[first], 1.0, np.clip(np.nan_to_num(room), 0.0, 1.0))
        gain = self.quality[first] - self.quality[second]
        is_pair = ((gain > 0) | ((gain == 0) & (first < second))) & (fits[first] | fits[second])
        return np.where(is_pair, self.quality[second] + share * gain, -np.inf)

    def improvements(self, best: float) -> Iterator[tuple[float, int, int, int]]:
        """Yield ever better mixtures: quality, share of the first row, and the two row numbers."""
        order = np.argsort(-self._reach, kind="stable")
        for start in range(0, len(order), BLOCK):
            if self._reach[order[start]] <= best + GAIN:
                return
            better = order[start : start + BLOCK]
            bounds = self._bounds(better)
            at, second = np.nonzero(bounds > best + GAIN)
            ranks = np.argsort(-bounds[at, second], kind="stable")
            bounds = bounds[at, second][ranks]
            pairs = np.stack([better[at], second], axis=1)[ranks]
            for found in self._improvements(pairs, bounds, best):
                best = found[0]
                yield found

    def _improvements(
        self, pairs: Ints, bounds: Floats, best: float
    ) -> Iterator[tuple[float, int, int, int]]:
        for start in range(0, len(pairs), CHUNK):
            if bounds[start] <= best + GAIN:
                return
            chunk = pairs[start : start + CHUNK]
            quality, share = self._best_shares(chunk)
            top = int(np.argmax(quality))
            if quality[top] > best + GAIN:
                best = float(quality[top])
                first, second = (int(self.rows[row]) for row in chunk[top])
                yield best, int(share[top]), first, second

    def _best_shares(self, pairs: Ints) -> tuple[Floats, Ints]:
        """Return each pair's best quality over all shares, -inf where none fits the fleet."""
        share = np.arange(1, HUNDREDTHS) / HUNDREDTHS
        first, second = pairs[:, 0], pairs[:, 1]
        load = (
            share[:, None, None] * self.load[first] + (1 - share)[:, None, None] * self.load[second]
        )
        uses = self.uses[first] | self.uses[second]
        need = tables.whole_workers(load, uses, self.problem.utilisation_limit).sum(axis=2)
        quality = share[:, None] * self.quality[first] + (1 - share)[:, None] * self.quality[second]
        quality = np.where(need <= self.problem.workers, quality, -np.inf)
        top = np.argmax(quality, axis=0)
        return quality[top, np.arange(len(pairs))], top + 1


def _by_model(table: Table, positions: tuple[int, ...], rows: Ints) -> tuple[Floats, Bools]:
    """Return load and use of each row (axis 0) at each model (axis 1)."""
    at = np.asarray(positions)[table.model[rows]]
    stages = np.take_along_axis(table.load[rows], at[:, :, None], axis=2)[:, :, 0]
    load = np.zeros((len(rows), len(table.models)))
    uses = np.zeros((len(rows), len(table.models)), dtype=bool)
    number = np.arange(len(rows))
    for stage in (0, 1):
        np.add.at(load, (number, table.model[rows, stage]), stages[:, stage])
        uses[number, table.model[rows, stage]] |= table.uses[rows, stage]
    return load, uses

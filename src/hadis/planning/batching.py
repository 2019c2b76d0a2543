"""Which choices of batch sizes the search for mixtures looks at, and with which rows.

Every model has one batch size in a plan, so that a choice is a batch number a model. Most of them
are no better than another in anything, and are left out.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from hadis.planning import tables
from hadis.planning.problems import Problem
from hadis.planning.tables import Bools, Floats, Ints, Table

CHUNK = 16_384
"""Mixtures, or rows under choices, that are looked at together: the arrays stay within a
processor's cache."""
MOST_PAIRS = 6_000_000
"""Pairs of rows, over all choices, that are bounded where images wait: a tenth or two of a second,
and 600 rows of four models in two sizes of batches are within it."""
MOST_CHOICES = 4096
"""Choices up to which all are searched."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What rows (axis 0) ask of models (axis 1), over both stages; batch numbers on axis 2."""

    load: Floats
    uses: Ints
    ratio: Floats
    batch_us: Ints

    @classmethod
    def of(cls, table: Table) -> Self:
        """Return the sums of a table's rows."""
        return cls(
            table.spread(table.load),
            table.spread(table.uses.astype(np.int64)),
            table.spread(table.ratio),
            table.spread(table.batch_us),
        )


def choices(problem: Problem, table: Table, sums: Sums) -> tuple[list[tuple[Ints, Ints]], bool]:
    """Return batch numbers a model, each with the rows that may be in time under them.

    A choice is left out when another has larger batches, loses no row by it and keeps workers no
    busier: where images are scored a larger batch may save time only then.
    Where anything waits that is no proof: how long depends on what a mixture sends where, and the
    smaller batches may be those that are in time. Then none is left out, as long as they are few.
    False, when there are too many to search them all.
    """
    waits = tables.has_queues(problem)
    wait_us = _shortest_waits_us(problem, table)
    used = {int(i) for i in table.model[table.uses]}
    offered = [range(len(b)) if i in used else range(1) for i, b in enumerate(table.batches)]
    is_whole = int(np.prod([len(numbers) for numbers in offered])) <= MOST_CHOICES
    if not is_whole:
        offered = [range(0, len(numbers), max(len(numbers) - 1, 1)) for numbers in offered]
    count = int(np.prod([len(numbers) for numbers in offered]))
    leaves_out = not waits or count * len(table.rows) ** 2 > MOST_PAIRS
    chosen = sorted(itertools.product(*offered), reverse=True)[:MOST_CHOICES]
    kept = _Kept(sums, len(chosen))
    for choice, rows in _in_time(table, np.array(chosen, dtype=np.int64), wait_us):
        if not rows.any():
            continue
        if not (leaves_out and kept.covers(choice, rows)):
            kept.add(choice, rows)
        elif waits:
            is_whole = False
    return [(choice, np.flatnonzero(rows)) for choice, rows in kept], is_whole


class _Kept:
    """The choices of batch numbers (C, models) that are searched, and their rows (C, rows)."""

    def __init__(self, sums: Sums, most: int) -> None:
        self._number = np.arange(sums.load.shape[1])
        # Of each model, whether no row keeps workers busier with a larger batch than with another.
        load = sums.load[:, :, None, :] <= sums.load[:, :, :, None] + tables.ROUNDING
        self._calmer = load.all(axis=0) & np.triu(np.ones(load.shape[2:], dtype=np.bool_))
        self._count = 0
        self._positions = np.empty((most, sums.load.shape[1]), dtype=np.int64)
        self._rows = np.empty((most, len(sums.load)), dtype=np.bool_)

    def __iter__(self) -> Iterator[tuple[Ints, Bools]]:
        return zip(self._positions[: self._count], self._rows[: self._count], strict=True)

    def add(self, positions: Ints, rows: Bools) -> None:
        """Keep a choice."""
        self._positions[self._count] = positions
        self._rows[self._count] = rows
        self._count += 1

    def covers(self, positions: Ints, rows: Bools) -> bool:
        """Return whether one that is kept has batches as large, loses no row and is no busier."""
        kept = self._positions[: self._count]
        calmer = np.flatnonzero(self._calmer[self._number, positions, kept].all(axis=1))
        return bool((self._rows[calmer] >= rows).all(axis=1).any())


def _shortest_waits_us(problem: Problem, table: Table) -> Ints:
    """Return the shortest wait at each model that any mixture could have, by Little's law."""
    ratio = np.where(table.twins[:, None], table.ratio.sum(axis=1, keepdims=True), table.ratio)
    most = np.zeros(len(table.models))
    np.maximum.at(most, table.model, ratio)
    return np.asarray(little_us(problem, table, most[None, :])[0])


def little_us(problem: Problem, table: Table, arriving: Floats) -> Ints:
    """Return the waits at each model (axis 1) where these shares of the demand arrive."""
    queue = np.array([problem.queue.get(name, 0.0) for name in table.models])
    arrival = problem.demand_per_s * arriving
    for i, name in enumerate(table.models):
        if name in problem.arrival_per_s:
            arrival[:, i] = problem.arrival_per_s[name]
    with np.errstate(divide="ignore", invalid="ignore"):
        # A factor of 0 stands for no wait at all, also where nothing arrives.
        queue = queue if problem.queue_safety_factor > 0.0 else np.zeros_like(queue)
        wait_s = np.where(queue > 0.0, problem.queue_safety_factor * queue / arrival, 0.0)
    return tables.in_us(wait_s)


def _in_time(table: Table, positions: Ints, wait_us: Ints) -> Iterator[tuple[Ints, Bools]]:
    """Yield each choice of batch numbers with the rows that may be in time under it."""
    wait_us = np.where(table.uses, wait_us[table.model], 0)
    row, stage = np.ogrid[: len(table.rows), : wait_us.shape[1]]
    block = max(CHUNK // max(len(table.rows), 1), 1)
    for start in range(0, len(positions), block):
        choices = positions[start : start + block]
        batch_us = table.batch_us[row, stage, choices[:, table.model]]
        yield from zip(choices, (batch_us + wait_us).sum(axis=2) <= table.limit_us, strict=True)

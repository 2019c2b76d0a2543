"""Which rows could run alone, and with which batch sizes: equations 3 to 5 over the whole table.

With one lane and nothing else to weigh this is already the whole answer; the solver gets the rows
that are left and decides among them.
"""

from dataclasses import dataclass

import numpy as np

from hadis.planning import tables
from hadis.planning.problems import Problem
from hadis.planning.tables import Bools, Floats, Ints, Table

SAME_VALUE = 1e-9
"""Smaller differences in quality are rounding errors."""


@dataclass(frozen=True, slots=True)
class Feasibility:
    """Per row, and batch numbers of the light and the heavy stage on axes 1 and 2.

    `workers` (those that the backlog of other models keeps busy among them) and `path_us` are what
    the row asks for; `workers` is infinite where the two batch numbers cannot go together.
    `in_time` and `fits` compare them with the SLO and with the fleet. `need` are the workers by
    stage and batch number; a pair of one model has them all at its first stage.
    """

    need: Floats
    workers: Floats
    path_us: Ints
    in_time: Bools
    fits: Bools
    feasible: Bools


def assess(problem: Problem, table: Table) -> Feasibility:
    """Return what each row needs and whether it may have it."""
    limit = problem.utilisation_limit
    extra = np.where(table.uses, table.extra[table.model], 0.0)[:, :, None]
    need = tables.whole_workers(table.load + extra, table.uses[:, :, None], limit)
    both = table.load.sum(axis=1) + extra.max(axis=1)
    together = tables.whole_workers(both, np.asarray(table.uses.any(axis=1))[:, None], limit)
    alone = np.eye(table.load.shape[2], dtype=bool)
    twins = table.twins[:, None, None]

    apart = need[:, 0, :, None] + need[:, 1, None, :]
    workers = np.where(twins, np.where(alone, together[:, :, None], np.inf), apart)
    workers = workers + table.stranded[:, None, None]
    caps = table.caps[table.model][:, :, None]
    within = need <= caps
    in_pools = np.where(
        twins,
        (together <= caps[:, 0])[:, :, None],
        within[:, 0, :, None] & within[:, 1, None, :],
    )
    path_us = table.path_us[:, 0, :, None] + table.path_us[:, 1, None, :]
    in_time = np.isfinite(workers) & (path_us <= table.limit_us)
    fits = in_pools & (workers <= problem.workers + tables.ROUNDING)
    possible = np.asarray((in_time & fits).any(axis=(1, 2)))
    shared = np.stack([together, np.zeros_like(together)], axis=1)
    need = np.where(twins, shared, need)
    return Feasibility(need, workers, path_us, in_time, fits, possible)


def best_row(table: Table, assessed: Feasibility) -> int | None:
    """Return the best row that is feasible alone, by number; None when no row is.

    The best in quality less the cost of its swaps; of equal ones that with the fewest swaps, then
    the shortest path. What the integer program decides about single rows, by looking at all of
    them (equations 3 to 6).
    """
    rows = np.flatnonzero(assessed.feasible)
    if not len(rows):
        return None
    value = np.broadcast_to(table.quality[rows, None, None], assessed.path_us[rows].shape)
    swaps = np.zeros(value.shape)
    if table.held is not None:
        model = table.model[rows]
        need = np.where(np.isfinite(assessed.need[rows]), assessed.need[rows], 0.0)
        missing = np.maximum(need - table.held[model][:, :, None], 0.0)
        price = missing * table.price[model][:, :, None]
        swaps = missing[:, 0, :, None] + missing[:, 1, None, :]
        value = value - (price[:, 0, :, None] + price[:, 1, None, :])
    value = np.where((assessed.in_time & assessed.fits)[rows], value, -np.inf)
    ties = np.flatnonzero(value.ravel() >= value.max() - SAME_VALUE)
    first = np.lexsort((assessed.path_us[rows].ravel()[ties], swaps.ravel()[ties]))[0]
    return int(rows[ties[first] // (value.shape[1] * value.shape[2])])

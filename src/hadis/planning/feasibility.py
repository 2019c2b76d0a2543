"""Which rows could run alone, and with which batch sizes: equations 3 to 5 over the whole table.

With one lane and nothing else to weigh this is already the whole answer; the solver gets the rows
that are left and decides among them.
"""

from dataclasses import dataclass

import numpy as np

from hadis.planning import tables
from hadis.planning.problems import Problem
from hadis.planning.tables import Bools, Floats, Ints, Table


@dataclass(frozen=True, slots=True)
class Feasibility:
    """Per row, and batch numbers of the light and the heavy stage on axes 1 and 2.

    `workers` (those that the backlog of other models keeps busy among them) and `path_us` are what
    the row asks for; `workers` is infinite where the two batch numbers cannot go together.
    `in_time` and `fits` compare them with the SLO and with the fleet.
    """

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
    return Feasibility(workers, path_us, in_time, fits, possible)

"""Which rows could run alone, and with which batch sizes: equations 3 to 5 over the whole table.

With one lane and nothing else to weigh this is already the whole answer; the solver gets the rows
that are left and decides among them.
"""

from dataclasses import dataclass

import numpy as np

from hadis.planning import tables
from hadis.planning.problems import Problem
from hadis.planning.tables import Bools, Floats, Table


@dataclass(frozen=True, slots=True)
class Feasibility:
    """Per row, and batch numbers of the light and the heavy stage on axes 1 and 2.

    `workers` and `path_s` are what the row asks for; infinite where the two batch numbers cannot go
    together. `in_time` and `fits` compare them with the SLO and with the fleet.
    """

    workers: Floats
    path_s: Floats
    in_time: Bools
    fits: Bools
    feasible: Bools


def assess(problem: Problem, table: Table) -> Feasibility:
    """Return what each row needs and whether it may have it."""
    limit = problem.utilisation_limit
    need = tables.whole_workers(table.load, table.uses[:, :, None], limit)
    workers = need[:, 0, :, None] + need[:, 1, None, :]
    together = tables.whole_workers(
        table.load[:, 0] + table.load[:, 1], np.asarray(table.uses.any(axis=1))[:, None], limit
    )
    width = table.load.shape[2]
    diagonal = np.where(np.eye(width, dtype=bool), together[:, :, None], np.inf)
    workers = np.where(table.twins[:, None, None], diagonal, workers)
    path_s = table.path_s[:, 0, :, None] + table.path_s[:, 1, None, :] + table.overhead_s
    in_time = np.isfinite(workers) & (path_s <= problem.slo_s + tables.ROUNDING)
    fits = workers <= problem.workers
    feasible = np.asarray((in_time & fits).any(axis=(1, 2)))
    return Feasibility(workers, path_s, in_time, fits, feasible)

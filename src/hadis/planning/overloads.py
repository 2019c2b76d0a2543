"""The answer when nothing carries the demand in time: fewest predicted violations, then quality."""

from dataclasses import dataclass

import numpy as np

from hadis.planning import feasibility
from hadis.planning.arranging import Arrangement
from hadis.planning.problems import Problem
from hadis.planning.tables import Bools, Floats, Table


@dataclass(frozen=True, slots=True)
class Relief:
    """The row that misses the fewest deadlines, its workers, and the share that it misses."""

    row: int
    arrangement: Arrangement
    violation_ratio: float


def relieve(problem: Problem, table: Table) -> Relief:
    """Return the row, batch sizes and workers that carry the largest share of the demand.

    A path longer than the SLO carries nothing. When that goes for every path (long queues, slow
    workers), the shortest paths count as if they were in time: something has to be served first.
    """
    path_s = feasibility.assess(problem, table).path_s
    in_time = path_s <= problem.slo_s
    if not in_time.any():
        in_time = path_s <= np.nanmin(path_s) * 1.001
    carried, split = _carried(problem, table)
    carried = np.where(in_time, carried, -1.0)
    best_of_row = carried.max(axis=(1, 2))
    # Shares that differ by less than a request in a thousand are equal; quality decides.
    enough = best_of_row >= best_of_row.max() - 1e-3
    row = int(np.flatnonzero(enough)[np.argmax(table.quality[enough])])
    light, heavy = np.unravel_index(int(np.argmax(carried[row])), carried[row].shape)
    arrangement = _arrangement(
        problem, table, row, (int(light), int(heavy)), int(split[row, light, heavy])
    )
    share = float(np.clip(best_of_row[row], 0.0, 1.0))
    return Relief(row, arrangement, 1.0 - share)


def _carried(problem: Problem, table: Table) -> tuple[Floats, Floats]:
    """Return the largest share of the demand that each row carries, and its light workers."""
    width = table.load.shape[2]
    carried = np.full((len(table.rows), width, width), -1.0)
    split = np.zeros_like(carried)
    light, heavy = table.load[:, 0, :, None], table.load[:, 1, None, :]
    for count in range(problem.workers + 1):
        share = np.minimum(
            _share(count, light, table.uses[:, 0]),
            _share(problem.workers - count, heavy, table.uses[:, 1]),
        )
        better = share > carried
        carried = np.where(better, share, carried)
        split = np.where(better, count, split)
    together = _share(problem.workers, light + heavy, np.asarray(table.uses.any(axis=1)))
    diagonal = np.where(np.eye(width, dtype=bool), together, -1.0)
    carried = np.where(table.twins[:, None, None], diagonal, carried)
    unused = ~np.isfinite(light + heavy)
    return np.where(unused, -1.0, np.minimum(carried, 1.0)), split


def _share(workers: int, load: Floats, uses: Bools) -> Floats:
    """Return the share of `load` that `workers` carry: none where a used stage has no worker."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(load > 0, workers / load, np.inf if workers else 0.0)
    return np.where(uses[:, None, None], share, np.inf)


def _arrangement(
    problem: Problem, table: Table, row: int, positions: tuple[int, int], light_workers: int
) -> Arrangement:
    counts = _counts(problem, light_workers, both=bool(table.uses[row].all()))
    workers: dict[int, int] = {}
    batch: dict[int, int] = {}
    load: dict[int, float] = {}
    for stage, position in enumerate(positions):
        if table.uses[row, stage]:
            i = int(table.model[row, stage])
            workers[i] = problem.workers if table.twins[row] else counts[stage]
            batch[i] = table.batches[i][position]
            load[i] = load.get(i, 0.0) + float(table.load[row, stage, position])
    path_s = sum(
        float(table.path_s[row, stage, position]) for stage, position in enumerate(positions)
    )
    name = table.models
    return Arrangement(
        workers={name[i]: n for i, n in workers.items()},
        batch={name[i]: size for i, size in batch.items()},
        load={name[i]: share for i, share in load.items()},
        latency_s=path_s + table.overhead_s,
    )


def _counts(problem: Problem, light_workers: int, *, both: bool) -> tuple[int, int]:
    """Return light and heavy workers, at least one of each where there are two.

    A lone worker of a cascade goes to light: its images are kept for want of a heavy one.
    """
    budget = max(problem.workers, 1)
    light = min(max(light_workers, 1), max(budget - 1, 1)) if both else light_workers
    return light, budget - light

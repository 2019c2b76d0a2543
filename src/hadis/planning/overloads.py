"""The answer when nothing carries the demand in time: fewest predicted violations, then quality."""

from dataclasses import dataclass

import numpy as np

from hadis.planning import feasibility, tables
from hadis.planning.arranging import Arrangement
from hadis.planning.problems import Problem
from hadis.planning.tables import Bools, Floats, Ints, Table


@dataclass(frozen=True, slots=True)
class Relief:
    """The row that misses the fewest deadlines, its workers, and the share that it misses."""

    row: int
    arrangement: Arrangement
    violation_ratio: float
    in_time: bool


def relieve(problem: Problem, table: Table) -> Relief:
    """Return the row, batch sizes and workers that carry the largest share of the demand.

    A path longer than the SLO carries nothing. When that goes for every path (long queues, slow
    workers), the shortest paths count as if they were in time: something has to be served first.
    """
    path_us = feasibility.assess(problem, table).path_us
    held = _held(problem, table)[:, None, None]
    in_time = held & (path_us <= table.limit_us)
    is_possible = bool(in_time.any())
    if not is_possible:
        shortest_us = path_us[np.broadcast_to(held, path_us.shape)].min()
        in_time = held & (path_us <= shortest_us + shortest_us // 1000)
    carried, split = _carried(problem, table)
    carried = np.where(in_time, carried, -1.0)
    best_of_row = carried.max(axis=(1, 2))
    enough = best_of_row >= best_of_row.max() - tables.ROUNDING
    row = int(np.flatnonzero(enough)[np.argmax(table.quality[enough])])
    light, heavy = np.unravel_index(int(np.argmax(carried[row])), carried[row].shape)
    positions = int(light), int(heavy)
    arrangement = _arrangement(problem, table, row, positions, int(split[row, light, heavy]))
    share = float(np.clip(best_of_row[row], 0.0, 1.0))
    return Relief(row, arrangement, 1.0 - share, is_possible)


def _held(problem: Problem, table: Table) -> Bools:
    """Return which rows the workers have the models of; all where nobody has those of any row."""
    if problem.pools is None:
        return np.ones(len(table.rows), dtype=bool)
    held = ~(table.uses & (table.caps[table.model] == 0)).any(axis=1)
    return np.asarray(held if held.any() else np.ones_like(held))


def _budgets(problem: Problem, table: Table) -> Ints:
    """Return the workers that each row's plan may use beside the backlog of other models."""
    left = np.floor(problem.workers - table.stranded + tables.ROUNDING)
    return np.asarray(np.maximum(left, 1)).astype(np.int64)


def _carried(problem: Problem, table: Table) -> tuple[Floats, Ints]:
    """Return the largest share of the demand that each row carries, and its light workers.

    Two pools carry the same share where workers split as the loads do; whole workers lie next to
    that on either side.
    """
    extra = np.where(table.uses, table.extra[table.model], 0.0)
    light = (table.load[:, 0] + extra[:, :1])[:, :, None]
    heavy = (table.load[:, 1] + extra[:, 1:])[:, None, :]
    both = np.asarray(table.uses.all(axis=1))[:, None, None]
    budget = _budgets(problem, table)[:, None, None]
    caps = table.caps[table.model]
    with np.errstate(divide="ignore", invalid="ignore"):
        ideal = np.nan_to_num(budget * (light / (light + heavy)), nan=0.0)
    carried = np.full(np.broadcast_shapes(light.shape, heavy.shape), -1.0)
    split = np.zeros(carried.shape, dtype=np.int64)
    for step in (0, 1):
        first = np.clip(np.floor(ideal) + step, 1, np.maximum(budget - 1, 1))
        first = np.where(both, first, np.where(table.uses[:, :1, None], budget, 0))
        second = budget - first
        share = np.minimum(
            _share(np.minimum(first, caps[:, :1, None]), light, table.uses[:, 0]),
            _share(np.minimum(second, caps[:, 1:, None]), heavy, table.uses[:, 1]),
        )
        better = share > carried
        carried = np.where(better, share, carried)
        split = np.where(better, first, split).astype(np.int64)
    if problem.pools is not None:
        carried = np.minimum(
            _share(caps[:, :1, None], light, table.uses[:, 0]),
            _share(caps[:, 1:, None], heavy, table.uses[:, 1]),
        )
    together = table.load.sum(axis=1) + extra.max(axis=1)[:, None]
    alone = np.eye(table.load.shape[2], dtype=bool)
    pool = np.minimum(budget, caps[:, :1, None])
    shared = _share(pool, together[:, :, None], np.asarray(table.uses.any(axis=1)))
    carried = np.where(table.twins[:, None, None], np.where(alone, shared, -1.0), carried)
    return np.where(np.isfinite(light + heavy), np.minimum(carried, 1.0), -1.0), split


def _share(workers: Ints, load: Floats, uses: Bools) -> Floats:
    """Return the share of `load` that `workers` carry: none where a used stage has no worker."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(load > 0, workers / load, np.where(workers > 0, np.inf, 0.0))
    return np.where(uses[:, None, None], share, np.inf)


def _arrangement(
    problem: Problem, table: Table, row: int, positions: tuple[int, int], light_workers: int
) -> Arrangement:
    budget = int(_budgets(problem, table)[row])
    # A lone worker of a cascade goes to light: its images are kept for want of a heavy one.
    counts = (budget, budget) if table.twins[row] else (light_workers, budget - light_workers)
    workers: dict[int, int] = {}
    batch: dict[int, int] = {}
    load: dict[int, float] = {}
    for stage, position in enumerate(positions):
        if table.uses[row, stage]:
            i = int(table.model[row, stage])
            workers[i] = counts[stage]
            if problem.pools is not None:
                workers[i] = int(table.caps[i])
            batch[i] = table.batches[i][position]
            load[i] = load.get(i, float(table.extra[i])) + float(table.load[row, stage, position])
    path_us = sum(int(table.path_us[row, stage, b]) for stage, b in enumerate(positions))
    name = table.models
    return Arrangement(
        workers={name[i]: n for i, n in workers.items()},
        batch={name[i]: size for i, size in batch.items()},
        load={name[i]: share for i, share in load.items()},
        backlog={name[i]: float(table.extra[i]) for i in workers},
        latency_s=path_us / tables.US_PER_S + table.overhead_s,
        reserved=problem.workers - budget,
    )

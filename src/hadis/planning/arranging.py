"""Workers and batch sizes for rows whose shares are settled: fewest swaps, then shortest path.

A pool is what carries one model, over all lanes and both stages: loads add up before they are
rounded to whole workers.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hadis.planning import tables
from hadis.planning.problems import BatchPreference, Problem, RowShare
from hadis.planning.tables import Table
from hadis.terms.ids import ModelName


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Workers (at least what is needed), batch sizes and load a model that is used."""

    workers: Mapping[ModelName, int]
    batch: Mapping[ModelName, int]
    load: Mapping[ModelName, float]
    latency_s: float

    @property
    def utilisation(self) -> dict[ModelName, float]:
        """Share of its time that each pool is busy; of one without workers, that of one worker."""
        return {name: load / max(self.workers[name], 1) for name, load in self.load.items()}


def arrange(problem: Problem, mix: Sequence[RowShare]) -> Arrangement | None:
    """Return the preferred arrangement that carries `mix` within the SLO; None without any."""
    table = tables.build(problem, [part.row for part in mix])
    shares = np.array([part.share for part in mix])
    used = sorted({int(i) for i in table.model[table.uses]})
    best: tuple[tuple[float, ...], Arrangement] | None = None
    for positions in itertools.product(*(range(len(table.batches[i])) for i in used)):
        candidate = _with_batches(problem, table, shares, dict(zip(used, positions, strict=True)))
        if candidate is None:
            continue
        rank = _rank(problem, candidate)
        if best is None or rank < best[0]:
            best = rank, candidate
    return None if best is None else best[1]


def at(
    problem: Problem,
    mix: Sequence[RowShare],
    workers: Mapping[ModelName, int],
    batch: Mapping[ModelName, int],
) -> Arrangement:
    """Return what `mix` makes of workers and batch sizes that are already settled."""
    table = tables.build(problem, [part.row for part in mix])
    shares = np.array([part.share for part in mix])
    positions = {
        table.index(name): _position(table.batches[table.index(name)], size)
        for name, size in batch.items()
    }
    loads = pool_loads(table, shares, positions)
    return Arrangement(
        workers=workers,
        batch=batch,
        load={table.models[i]: load for i, load in loads.items()},
        latency_s=longest_path_s(table, positions),
    )


def carries(problem: Problem, arrangement: Arrangement) -> bool:
    """Whether the arrangement's workers keep up and no path takes longer than the SLO."""
    return is_in_time(problem, arrangement) and keeps_up(problem, arrangement)


def is_in_time(problem: Problem, arrangement: Arrangement) -> bool:
    """Whether no path takes longer than the SLO."""
    return arrangement.latency_s <= problem.slo_s + tables.ROUNDING


def keeps_up(problem: Problem, arrangement: Arrangement) -> bool:
    """Whether no pool is busy for more of its time than it may be."""
    return all(
        load <= problem.utilisation_limit * arrangement.workers.get(name, 0) + tables.ROUNDING
        for name, load in arrangement.load.items()
    )


def give_spares(problem: Problem, needed: Arrangement) -> dict[ModelName, int]:
    """Return the workers a model with the spare ones given out.

    A spare worker stays with its model where that is in the plan; the others go to whichever pool
    is the fullest.
    """
    workers = dict(needed.workers)
    spare = problem.workers - sum(workers.values())
    for name, count in (problem.current_workers or {}).items():
        if name in workers and spare > 0:
            kept = min(max(count - workers[name], 0), spare)
            workers[name] += kept
            spare -= kept
    for _ in range(spare):
        fullest = max(workers, key=lambda name: (_fullness(needed.load[name], workers[name]), name))
        workers[fullest] += 1
    return workers


def _fullness(load: float, workers: int) -> float:
    return load / workers if workers else math.inf


def pool_loads(table: Table, shares: np.ndarray, positions: Mapping[int, int]) -> dict[int, float]:
    """Return the workers kept busy in each pool, before rounding, at the given batch numbers."""
    loads: dict[int, float] = {}
    for i, position in positions.items():
        at = (table.model == i) & table.uses
        loads[i] = float(np.where(at, table.load[:, :, position], 0.0).sum(axis=1) @ shares)
    return loads


def longest_path_s(table: Table, positions: Mapping[int, int]) -> float:
    """Return the largest bound of equation 5 over the lanes."""
    longest = 0.0
    for k in range(len(table.rows)):
        path_s = sum(
            table.path_s[k, stage, positions[int(table.model[k, stage])]]
            for stage in (0, 1)
            if table.uses[k, stage]
        )
        longest = max(longest, float(path_s))
    return longest + table.overhead_s


def _with_batches(
    problem: Problem, table: Table, shares: np.ndarray, positions: dict[int, int]
) -> Arrangement | None:
    latency_s = longest_path_s(table, positions)
    if latency_s > problem.slo_s + tables.ROUNDING:
        return None
    loads = pool_loads(table, shares, positions)
    need = {i: _whole(load, problem.utilisation_limit) for i, load in loads.items()}
    if sum(need.values()) > problem.workers:
        return None
    name = table.models
    return Arrangement(
        workers={name[i]: count for i, count in need.items()},
        batch={name[i]: table.batches[i][position] for i, position in positions.items()},
        load={name[i]: load for i, load in loads.items()},
        latency_s=latency_s,
    )


def _rank(problem: Problem, candidate: Arrangement) -> tuple[float, ...]:
    """Return what to minimise: swaps, then the preference, then the other of the two."""
    current = problem.current_workers
    swaps = 0
    if current is not None:
        swaps = sum(max(n - current.get(i, 0), 0) for i, n in candidate.workers.items())
    image_s = sum(
        tables.seconds_at(problem.profile.latency_of(name), size) / size
        for name, size in candidate.batch.items()
    )
    if problem.batch_preference is BatchPreference.HEADROOM:
        return swaps, image_s, candidate.latency_s
    return swaps, candidate.latency_s, image_s


def _whole(load: float, limit: float) -> int:
    return max(math.ceil(load / limit - tables.ROUNDING), 1)


def _position(batches: Sequence[int], size: int) -> int:
    """Return the number of the largest offered batch size up to `size`."""
    return max((p for p, offered in enumerate(batches) if offered <= size), default=0)

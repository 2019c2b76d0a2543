"""Workers and batch sizes for rows whose shares are settled: fewest swaps, then shortest path.

A pool is what carries one model, over all lanes and both stages: loads add up before they are
rounded to whole workers.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hadis.planning import tables
from hadis.planning.problems import BatchPreference, Problem, RowShare, Spares
from hadis.planning.tables import Table
from hadis.terms.ids import ModelName


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Workers (at least what is needed), batch sizes and load a model that is used.

    `load` is in workers kept busy; `backlog` is the part of it that is waiting work. `reserved` are
    the workers that waiting work of other models keeps busy.
    """

    workers: Mapping[ModelName, int]
    batch: Mapping[ModelName, int]
    load: Mapping[ModelName, float]
    backlog: Mapping[ModelName, float]
    latency_s: float
    reserved: int = 0

    @property
    def utilisation(self) -> dict[ModelName, float]:
        """Share of its time that each pool is busy; of one without workers, that of one worker."""
        return {name: load / max(self.workers[name], 1) for name, load in self.load.items()}


def table_of(problem: Problem, mix: Sequence[RowShare]) -> Table:
    """Return the table of just the rows of `mix`, all at work at once."""
    shares = [part.share for part in mix]
    return tables.build(problem, [part.row for part in mix], shares)


def arrange(problem: Problem, mix: Sequence[RowShare]) -> Arrangement | None:
    """Return the preferred arrangement that carries `mix` within the SLO; None without any."""
    asked = _Mix(problem, mix)
    best: tuple[tuple[float, ...], Arrangement] | None = None
    for positions in itertools.product(*(range(len(asked.table.batches[i])) for i in asked.used)):
        candidate = asked.with_batches(dict(zip(asked.used, positions, strict=True)))
        if candidate is None:
            continue
        rank = asked.rank(candidate)
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
    asked = _Mix(problem, mix)
    table = asked.table
    positions = {
        table.index(name): _position(table.batches[table.index(name)], size)
        for name, size in batch.items()
    }
    return asked.arranged(positions, workers, batch)


def carries(problem: Problem, arrangement: Arrangement) -> bool:
    """Whether the arrangement's workers keep up and no path takes longer than the SLO."""
    return is_in_time(problem, arrangement) and keeps_up(problem, arrangement)


def is_in_time(problem: Problem, arrangement: Arrangement) -> bool:
    """Whether no path takes longer than the SLO."""
    return arrangement.latency_s <= problem.slo_s + 1.0 / tables.US_PER_S


def keeps_up(problem: Problem, arrangement: Arrangement) -> bool:
    """Whether no pool is busy for more of its time than it may be."""
    return all(
        load <= problem.utilisation_limit * arrangement.workers.get(name, 0) + tables.ROUNDING
        for name, load in arrangement.load.items()
    )


def cost(problem: Problem, workers: Mapping[ModelName, int]) -> float:
    """Return the quality that the swaps to `workers` have to gain; 0 where swaps are free."""
    swaps = problem.swaps(workers)
    price: list[float] = tables.prices(problem, list(swaps)).tolist()
    return sum(count * each for count, each in zip(swaps.values(), price, strict=True))


def give_spares(problem: Problem, needed: Arrangement) -> dict[ModelName, int]:
    """Return the workers a model with the spare ones given out, each to the fullest pool.

    A spare worker stays with its model where that is in the plan. Whether the others load one of
    the plan's models is `problem.spares`; where nothing is known of what they hold, they do. Pools
    that cannot change stay as they are.
    """
    workers = dict(needed.workers)
    if problem.pools is not None:
        return {name: max(problem.pools.get(name, 0), n) for name, n in workers.items()}
    current = problem.current_workers
    total = problem.workers - needed.reserved
    spare = total - sum(workers.values())
    if current is not None:
        caps = {name: max(current.get(name, 0), n) for name, n in workers.items()}
        workers = _filled(workers, needed.load, spare, caps)
        spare = total - sum(workers.values())
    if current is None or problem.spares is Spares.FILL:
        workers = _filled(workers, needed.load, spare, {})
    return workers


def _filled(
    workers: Mapping[ModelName, int],
    load: Mapping[ModelName, float],
    spare: int,
    caps: Mapping[ModelName, int],
) -> dict[ModelName, int]:
    """Return `workers` with `spare` more, each in turn in the fullest pool below its cap."""
    filled = dict(workers)
    total = sum(filled.values()) + spare
    most = {name: caps.get(name, total) for name in filled}
    busy = sum(load.values())
    # Each in turn takes long in a fleet of a million: begin with all but the last few at once.
    for name in filled if spare > 100 * len(filled) and busy > 0.0 else ():
        sure = math.floor(total * load[name] / busy) - len(filled)
        filled[name] = min(max(filled[name], sure), most[name])
    while sum(filled.values()) < total:
        open_pools = [name for name in filled if filled[name] < most[name]]
        if not open_pools:
            break
        fullest = max(open_pools, key=lambda name: (_fullness(load[name], filled[name]), name))
        filled[fullest] += 1
    return filled


def _fullness(load: float, workers: int) -> float:
    return load / workers if workers else math.inf


class _Mix:
    """What a mix asks of each model in batches of each size."""

    def __init__(self, problem: Problem, mix: Sequence[RowShare]) -> None:
        self.problem = problem
        self.table = table_of(problem, mix)
        self.used = sorted({int(i) for i in self.table.model[self.table.uses]})
        self._loads = self.table.spread(self.table.load)
        self._shares = np.array([part.share for part in mix])
        self._path_us = self.table.spread(self.table.path_us)

    def with_batches(self, positions: Mapping[int, int]) -> Arrangement | None:
        """Return the fewest workers under these batch numbers; None where something is short."""
        table, problem = self.table, self.problem
        if self._longest_path_us(positions) > table.limit_us:
            return None
        names = {i: table.models[i] for i in positions}
        batch = {names[i]: table.batches[i][position] for i, position in positions.items()}
        found = self.arranged(positions, {}, batch)
        need = {
            name: max(math.ceil(load / problem.utilisation_limit - tables.ROUNDING), 1)
            for name, load in found.load.items()
        }
        if any(need[name] > table.caps[i] for i, name in names.items()):
            return None
        stranded = float(table.extra.sum()) - sum(found.backlog.values())
        if sum(need.values()) + stranded > problem.workers + tables.ROUNDING:
            return None
        return replace(found, workers=need, reserved=math.ceil(stranded - tables.ROUNDING))

    def arranged(
        self,
        positions: Mapping[int, int],
        workers: Mapping[ModelName, int],
        batch: Mapping[ModelName, int],
    ) -> Arrangement:
        """Return the mix on these workers in these batches, whether they carry it or not."""
        table = self.table
        return Arrangement(
            workers=dict(workers),
            batch=dict(batch),
            load={
                table.models[i]: float(self._shares @ self._loads[:, i, b]) + float(table.extra[i])
                for i, b in positions.items()
            },
            backlog={table.models[i]: float(table.extra[i]) for i in positions},
            latency_s=self._longest_path_us(positions) / tables.US_PER_S + table.overhead_s,
        )

    def rank(self, candidate: Arrangement) -> tuple[float, ...]:
        """Return what to minimise: cost and number of swaps, what is preferred, what is not."""
        swaps = self.problem.swaps(candidate.workers)
        price = sum(n * float(self.table.price[self.table.index(i)]) for i, n in swaps.items())
        image_s = sum(
            tables.seconds_at(self.problem.profile.latency_of(name), size) / size
            for name, size in candidate.batch.items()
        )
        lead = price, float(sum(swaps.values()))
        if self.problem.batch_preference is BatchPreference.HEADROOM:
            return *lead, image_s, candidate.latency_s
        return *lead, candidate.latency_s, image_s

    def _longest_path_us(self, positions: Mapping[int, int]) -> int:
        """Return the largest bound of equation 5 over the lanes, overhead apart."""
        paths = sum(self._path_us[:, i, position] for i, position in positions.items())
        return int(np.max(paths))


def _position(batches: Sequence[int], size: int) -> int:
    """Return the number of the largest offered batch size up to `size`."""
    return max((p for p, offered in enumerate(batches) if offered <= size), default=0)

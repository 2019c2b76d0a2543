"""`proteus` (section 5.1): model variants chosen by load, one stage, prompts spread at random.

Every few seconds the share of prompts of each variant, its workers and batch size are chosen so
that the mean quality is best while every variant keeps up with its share and no batch, behind what
waits, takes longer than the SLO. Two variants at a time are enough for that optimum, since only
the number of workers couples them. A prompt goes to a variant by the planned shares and to any of
its workers with equal probability, whatever its hardness and whatever waits there. (Equal over all
workers would send a model of 27 s as many prompts as one of half a second.)
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hadis.planning import tables
from hadis.planning.problems import PlanStatus
from hadis.planning.snapshots import Snapshot
from hadis.simulation.directing import Directive, Manner
from hadis.simulation.policies.paper import Placed, Smoothed, waiting
from hadis.simulation.policies.timing import Clock, Stopwatch
from hadis.simulation.quality import Grid
from hadis.simulation.scenarios import Scenario
from hadis.terms.assignments import Lane
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Direction


@dataclass(frozen=True, slots=True)
class Mixture:
    """A light and a heavy variant, workers and batch size of each, and the heavy one's share.

    `worth` is the mean quality, higher is better; `carried` the share of the demand within reach,
    and `headroom` how many times its own share the fuller variant carries.
    """

    light: ModelName
    heavy: ModelName
    workers: Mapping[ModelName, int]
    batch: Mapping[ModelName, int]
    share: float
    worth: float
    carried: float
    headroom: float

    @property
    def rank(self) -> tuple[float, float, float]:
        """What to maximise: all of the demand, then quality, then room for its ups and downs."""
        return round(self.carried, 9), round(self.worth, 9), self.headroom


class Proteus:
    """Chooses by enumeration, which is exact for two variants."""

    def __init__(self, scenario: Scenario, clock: Clock | None = None) -> None:
        self.name = "proteus"
        self.manner = Manner(blind=True, random_worker=True)
        self._stopwatch = Stopwatch(clock)
        self.solve_s = self._stopwatch.solve_s
        self._scenario = scenario
        self._demand = Smoothed()
        self._placed = Placed()
        profile = scenario.profile
        grid = Grid(profile, profile.quality.metric)
        sign = 1.0 if profile.quality.direction is Direction.HIGHER else -1.0
        self._worth = {name: sign * grid.alone(name) for name in scenario.models}
        self._batches = {name: tables.useful_batches(profile, name) for name in scenario.models}

    def start(self, demand_per_s: float) -> None:
        """Begin with the demand of the first seconds."""
        self._demand.per_s = demand_per_s

    def plan(self, snapshot: Snapshot) -> Directive:
        """Choose the mixture for the demand and the queues of the moment."""
        demand_per_s = self._demand.observe(snapshot)
        queue = waiting(snapshot)
        with self._stopwatch.timing():
            chosen = max(self._mixtures(demand_per_s, queue), key=lambda mixture: mixture.rank)
        theta = 1.0 - chosen.share if chosen.share > 0.0 else math.inf
        lane = Lane(1.0, chosen.light, chosen.heavy, theta, -math.inf)
        status = PlanStatus.OPTIMAL if chosen.carried >= 1.0 - 1e-9 else PlanStatus.OVERLOAD
        assignments = self._placed.place(chosen.workers, chosen.batch, (lane,), snapshot)
        return Directive((lane,), assignments, status.value)

    def _mixtures(self, demand_per_s: float, queue: Mapping[ModelName, float]) -> Iterator[Mixture]:
        """Yield every split of the workers over every pair of variants and batch sizes.

        The last one, all workers on the fastest variant, is there whatever the SLO.
        """
        models, workers = self._scenario.models, self._scenario.workers
        for pair in itertools.combinations(models, 2):
            for sizes in itertools.product(*(self._batches[name] for name in pair)):
                for count in range(workers + 1):
                    mixture = self._split(pair, sizes, (workers - count, count), demand_per_s)
                    if self._is_in_time(mixture, demand_per_s, queue):
                        yield mixture
        fastest, slowest = models[0], models[-1]
        largest = self._batches[fastest][-1]
        sizes = largest, largest if slowest == fastest else 1
        yield self._split((fastest, slowest), sizes, (workers, 0), demand_per_s)

    def _split(
        self,
        pair: tuple[ModelName, ...],
        sizes: tuple[int, ...],
        counts: tuple[int, ...],
        demand_per_s: float,
    ) -> Mixture:
        """Return the mixture that gives the better variant as much as it carries."""
        batch = dict(zip(pair, sizes, strict=True))
        workers = {name: count for name, count in zip(pair, counts, strict=True) if count}
        carries = {
            name: workers.get(name, 0) * batch[name] / self._seconds(name, batch[name])
            for name in pair
        }
        worse, better = sorted(pair, key=self._worth.__getitem__)
        # In this order: of a lone model, which is both, everything is its own.
        share = {worse: 0.0, better: 1.0}
        if better not in workers:
            share = {better: 0.0, worse: 1.0}
        elif worse != better and worse in workers and demand_per_s > 0.0:
            share[better] = min(carries[better] / demand_per_s, 1.0)
            share[worse] = 1.0 - share[better]
        carried, headroom = 1.0, math.inf
        if demand_per_s > 0.0:
            asked = {name: demand_per_s * part for name, part in share.items()}
            carried = sum(min(carries[name], each) for name, each in asked.items()) / demand_per_s
            headroom = min(carries[name] / each for name, each in asked.items() if each > 0.0)
        return Mixture(
            light=pair[0],
            heavy=pair[1],
            workers=workers,
            batch=batch,
            share=share[pair[1]],
            worth=sum(part * self._worth[name] for name, part in share.items()),
            carried=carried,
            headroom=headroom,
        )

    def _is_in_time(
        self, mixture: Mixture, demand_per_s: float, queue: Mapping[ModelName, float]
    ) -> bool:
        """Whether no batch, behind what waits by Little's law, takes longer than the SLO."""
        shares = {mixture.light: 1.0 - mixture.share, mixture.heavy: mixture.share}
        for name, share in shares.items():
            if share <= 0.0:
                continue
            seconds = self._seconds(name, mixture.batch[name])
            arrival = demand_per_s * share
            waits = queue.get(name, 0.0)
            wait_s = (waits / arrival if arrival else math.inf) if waits else 0.0
            if seconds + wait_s > self._scenario.slo_s + tables.ROUNDING:
                return False
        return True

    def _seconds(self, name: ModelName, size: int) -> float:
        return self._scenario.profile.latency_of(name)[size]

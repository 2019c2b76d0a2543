"""The paper's planner (sections 4.4 and 5.1) and its ablations (section 5.4): `hadis-paper`,
`diffserve`, `router-only`, `discriminator-only`, `random`.

Every few seconds: demand by EWMA, queue lengths as they are, the best single row by equations 3 to
6, applied at once. Nothing else: no swap cost, no headroom, no correction, no second lane. What
differs is the rows that may be chosen, and in `random` what hardness and scores are.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from hadis.errors import InvalidProfile
from hadis.planning import placement, solving
from hadis.planning.problems import Plan, Problem
from hadis.planning.snapshots import Snapshot
from hadis.simulation import directing
from hadis.simulation.directing import Directive, Manner
from hadis.simulation.policies.timing import Clock, Stopwatch
from hadis.simulation.scenarios import Scenario
from hadis.terms.assignments import Assignment, Lane, Role
from hadis.terms.cascades import PlannerSettings
from hadis.terms.ids import ModelName, WorkerName
from hadis.terms.profiles import ProfileRow

SMOOTHING = PlannerSettings().demand_smoothing
"""Weight of the newest sample in the EWMA; the paper gives no number."""

Allowed = Callable[[ProfileRow], bool]


class Paper:
    """`hadis-paper`: all rows."""

    name = "hadis-paper"

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock | None = None,
        *,
        allowed: Allowed | None = None,
        manner: Manner | None = None,
    ) -> None:
        self.manner = manner or Manner()
        self._stopwatch = Stopwatch(clock)
        self.solve_s = self._stopwatch.solve_s
        self._scenario = scenario
        self._demand = Smoothed()
        self._placed = Placed()
        rows = tuple(row for row in scenario.profile.rows if allowed is None or allowed(row))
        if not rows:
            raise InvalidProfile(f"the profile has no row that {self.name} may use", field="rows")
        self._profile = replace(scenario.profile, rows=rows)

    def start(self, demand_per_s: float) -> None:
        """Begin with the demand of the first seconds."""
        self._demand.per_s = demand_per_s

    def plan(self, snapshot: Snapshot) -> Directive:
        """Solve for the demand and the queues of the moment."""
        demand_per_s = self._demand.observe(snapshot)
        problem = Problem(
            profile=self._profile,
            demand_per_s=demand_per_s,
            workers=self._scenario.workers,
            slo_s=self._scenario.slo_s,
            queue=waiting(snapshot),
        )
        plan = self.decide(problem)
        return Directive(
            self.lanes(plan),
            self._placed.place(plan.workers, plan.batch, plan.lanes, snapshot),
            plan.status.value,
        )

    def decide(self, problem: Problem) -> Plan:
        """Return the plan for a problem."""
        return solving.solve(problem, clock=self._stopwatch.for_planner)

    def lanes(self, plan: Plan) -> tuple[Lane, ...]:
        """Return the lanes of a plan."""
        return plan.lanes


class DiffServe(Paper):
    """`diffserve`: one fixed pair, every prompt through the light model and the discriminator.

    The pair is the scenario's; by default the second fastest model of three or more with the
    slowest, which for the paper's four is the pair that it fixed.
    """

    name = "diffserve"

    def __init__(self, scenario: Scenario, clock: Clock | None = None) -> None:
        models = scenario.models
        pair = scenario.pair or (models[1 if len(models) > 2 else 0], models[-1])
        super().__init__(
            scenario,
            clock,
            allowed=lambda row: (row.light, row.heavy) == pair and not _is_routed(row),
        )


class RouterOnly(Paper):
    """`router-only`: no discriminator."""

    name = "router-only"

    def __init__(self, scenario: Scenario, clock: Clock | None = None) -> None:
        super().__init__(scenario, clock, allowed=lambda row: not _is_judged(row))


class DiscriminatorOnly(Paper):
    """`discriminator-only`: no router."""

    name = "discriminator-only"

    def __init__(self, scenario: Scenario, clock: Clock | None = None) -> None:
        super().__init__(scenario, clock, allowed=lambda row: not _is_routed(row))


class Random(Paper):
    """`random`: the same plans, but hardness and scores are drawn at random."""

    name = "random"

    def __init__(self, scenario: Scenario, clock: Clock | None = None) -> None:
        super().__init__(scenario, clock, manner=Manner(blind=True))

    def lanes(self, plan: Plan) -> tuple[Lane, ...]:
        """Return the lanes with thresholds for uniform draws."""
        return tuple(
            Lane(part.share, part.row.light, part.row.heavy, *directing.ranked(part.row))
            for part in plan.mix
        )


class Smoothed:
    """Demand as an exponentially weighted moving average of the router's arrivals."""

    def __init__(self) -> None:
        self.per_s = 0.0
        self._at_s: float | None = None
        self._arrived = 0

    def observe(self, snapshot: Snapshot) -> float:
        """Take a sample and return the average."""
        arrived = sum(router.arrived for router in snapshot.routers)
        if self._at_s is not None and snapshot.now_s > self._at_s:
            rate = (arrived - self._arrived) / (snapshot.now_s - self._at_s)
            self.per_s += SMOOTHING * (rate - self.per_s)
        self._at_s, self._arrived = snapshot.now_s, arrived
        return self.per_s


class Placed:
    """Puts planned models on workers with the fewest changes, all at once."""

    def __init__(self) -> None:
        self._version = 0

    def place(
        self,
        workers: Mapping[ModelName, int],
        batch: Mapping[ModelName, int],
        lanes: tuple[Lane, ...],
        snapshot: Snapshot,
    ) -> dict[WorkerName, Assignment]:
        """Return what each worker serves; workers that the plan does not need stay as they are."""
        self._version += 1
        assigned = {
            w.name: None if w.assignment is None else w.assignment.model for w in snapshot.workers
        }
        placed = placement.place(workers, snapshot.workers, assigned, ())
        light = {lane.light for lane in lanes}
        return {
            name: Assignment(
                self._version,
                model,
                Role.LIGHT if model in light else Role.HEAVY,
                batch.get(model, 1),
            )
            for name, model in placed.models.items()
            if model is not None
        }


def waiting(snapshot: Snapshot) -> dict[ModelName, float]:
    """Return how many requests wait for each model."""
    counts: dict[ModelName, float] = {}
    for worker in snapshot.workers:
        for name, count in worker.waiting.items():
            counts[name] = counts.get(name, 0.0) + count
    return counts


def _is_routed(row: ProfileRow) -> bool:
    return math.isfinite(row.hardness_threshold)


def _is_judged(row: ProfileRow) -> bool:
    return math.isfinite(row.quality_threshold)

"""`hadis`: the control cycle that the operator and the local fleet run, unchanged."""

import math

from hadis.planning import arriving, cycles, forecasting
from hadis.planning.cycles import CycleInput, CycleState
from hadis.planning.forecasting import DemandState
from hadis.planning.snapshots import Snapshot
from hadis.routing import admitting
from hadis.simulation.directing import Directive, Manner
from hadis.simulation.policies.timing import Clock, Stopwatch
from hadis.simulation.scenarios import Scenario
from hadis.terms.cascades import Cascade, ModelSource, ModelSpec, PlannerSettings
from hadis.terms.ids import CascadeName

FIRST_S = 10.0
"""What the first plan is told of is the demand of so many seconds."""


class Hadis:
    """Asks `cycles.run_cycle` with a cascade that has the profile's models and stages."""

    def __init__(self, scenario: Scenario, clock: Clock | None = None) -> None:
        self.name = "hadis"
        longest_s = max(scenario.swap_s.values(), default=0.0)
        self.manner = Manner(
            degrades=True,
            waits_for_loading=arriving.is_quick(
                longest_s, arriving.patience_s(scenario.interval_s, scenario.slo_s)
            ),
            sees_loading=True,
            follows_swaps=True,
        )
        self._stopwatch = Stopwatch(clock)
        self.solve_s = self._stopwatch.solve_s
        self._scenario = scenario
        self._cascade = cascade_of(scenario)
        self._state = CycleState()

    def start(self, demand_per_s: float) -> None:
        """Begin with a sample of the demand that was there before the first request."""
        planner = self._cascade.planner
        demand = DemandState()
        for at_s, arrived in ((-FIRST_S, 0), (0.0, round(demand_per_s * FIRST_S))):
            demand = forecasting.observe(
                demand,
                at_s,
                {"before": arrived},
                smoothing=planner.demand_smoothing,
                interval_s=planner.interval_s,
            )
        self._state = CycleState(demand=demand)

    def plan(self, snapshot: Snapshot) -> Directive:
        """Run one cycle."""
        scenario = self._scenario
        output = cycles.run_cycle(
            CycleInput(
                cascade=self._cascade,
                profile=scenario.profile,
                snapshot=snapshot,
                state=self._state,
                swap_s=scenario.swap_s,
                margin_s=admitting.delivery_margin_s(scenario.slo_s),
            ),
            clock=self._stopwatch.for_planner,
        )
        self._state = output.state
        return Directive(output.routing.lanes, output.assignments, output.plan.status.value)


def cascade_of(scenario: Scenario) -> Cascade:
    """Return the cascade that the profile was measured of, as far as the planner looks at it."""
    rows = (*scenario.profile.rows, *scenario.profile.grid)
    return Cascade(
        name=CascadeName(scenario.profile.name),
        slo_s=scenario.slo_s,
        models=tuple(
            ModelSpec(name, ModelSource(), None, steps=1, guidance=1.0, width=1, height=1)
            for name in scenario.models
        ),
        router_stage=any(math.isfinite(row.hardness_threshold) for row in rows),
        discriminator_stage=any(math.isfinite(row.quality_threshold) for row in rows),
        deliver=scenario.profile.deliver,
        workers=scenario.workers,
        planner=PlannerSettings(interval_s=scenario.interval_s, max_lanes=scenario.lanes),
    )

"""Stay or change: when a new plan is worth it.

A plan that carries the demand stays until the rate is known and a clearly better one is possible,
and `FREE_CHANGES` plans may follow one step of the load: what noise suggests afterwards waits for
minutes, unless it gains too much to be noise. A plan that does not carry the demand is left at
once.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

from hadis.planning import arranging, solving
from hadis.planning.arranging import Arrangement
from hadis.planning.forecasting import Forecast
from hadis.planning.problems import Plan, PlanStatus, Problem
from hadis.terms.assignments import Lane
from hadis.terms.cascades import OnOverload
from hadis.terms.ids import ModelName

WORTHWHILE_GAIN = 0.02
"""Gain in quality, of the range of the table, for which a plan that carries the load changes; less
in a fleet of many workers, whose plans change in smaller steps (`caution`)."""
FREE_CHANGES = 2
PATIENCE_S = (20.0, 45.0)
"""Time since the last change or step before the first and the second plan for better quality."""
ENOUGH_REQUESTS = 360
"""So many requests, times `caution`, tell enough: where they come fast, patience is shorter."""
LATER_PATIENCE_S = 300.0
"""Before any further plan that is barely worth it; one of k times the gain waits k * k times less,
as noise that suggests it is so much rarer."""
WORTHWHILE_RELIEF = 0.1
"""How many more requests, of those on time now, must be for another answer to an overload.

A share of what is served and not of the demand: under a flood every plan violates nearly all.
"""

SHEDS = "sheds what the plan in force cannot carry"


class Solve(Protocol):
    """A way to the best plan; one that `hurries` does nothing that is for later."""

    def __call__(self, problem: Problem, *, hurries: bool = False) -> Plan:
        """Return the plan."""


def _solve(problem: Problem, *, hurries: bool = False) -> Plan:
    del hurries  # nothing is done for later here
    return solving.solve(problem)


def plan_utilisation(workers: int) -> float:
    """Return how busy a new plan may make its workers.

    At 80 % a lone worker's images wait two batches on average. The more workers share a queue, the
    busier they may be for the same wait.
    """
    return max(0.8, 1.0 - 0.4 / workers)


def hold_utilisation(workers: int) -> float:
    """Return how busy a plan in force may become before it is left: noise must not end it."""
    return max(0.95, 1.0 - 0.1 / workers)


def caution(workers: int) -> float:
    """Return the factor on the headroom for what is not yet known of the demand.

    A plan that turns out too small costs another change: in a small fleet a jump in quality, in a
    large one a small step, while the waiting work makes up for it.
    """
    return min(1.0, 4.0 / workers)


@dataclass(frozen=True, slots=True)
class Tenure:
    """Since when a plan is in force, and how many changes the last step of the load has caused."""

    changed_at_s: float = -math.inf
    stepped_at_s: float = -math.inf
    changes: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The plan to be in force, refreshed or new, with the reason in a sentence."""

    plan: Plan
    changed: bool
    because: str
    tenure: Tenure


def decide(
    problem: Problem,
    current: Plan | None,
    tenure: Tenure,
    forecast: Forecast,
    now_s: float,
    *,
    on_overload: OnOverload,
    anew: str = "first plan",
    solve: Solve = _solve,
) -> Decision:
    """Return the plan to be in force from now on.

    `problem` states everything but the demand and the utilisation, which differ between holding a
    plan (the mean) and making one (with headroom). `anew` is the reason for a plan where there is
    no current one.
    """
    if forecast.stepped_at_s > tenure.stepped_at_s:
        tenure = replace(tenure, stepped_at_s=forecast.stepped_at_s, changes=0)
    # What waits and what runs is load of a plan in force already; were its path longer by that as
    # well, a plan that works it off in time would be left for a lighter one.
    hold = replace(
        problem,
        demand_per_s=forecast.mean_per_s,
        utilisation_limit=hold_utilisation(problem.workers),
        queue={},
        residual_s={},
    )
    make = replace(
        problem,
        demand_per_s=forecast.planned_per_s,
        utilisation_limit=plan_utilisation(problem.workers),
    )
    if current is None:
        return _change(solve(make), hold, tenure, now_s, anew)

    held = solving.refresh(hold, current)
    case = _Case(
        hold, make, held, arranging.at(hold, held.mix, held.workers, held.batch), tenure, now_s
    )
    if case.fits and not case.is_overloaded:
        return _stay_or_improve(case, problem, solve)
    return _leave(case, solve, on_overload)


@dataclass(frozen=True, slots=True)
class _Case:
    """The plan in force as it is today, and the problems of holding it and of making another."""

    hold: Problem
    make: Problem
    held: Plan
    arrangement: Arrangement
    tenure: Tenure
    now_s: float

    @property
    def fits(self) -> bool:
        """Whether the plan carries the demand on the workers that are there."""
        workers = sum(self.held.workers.values())
        return workers <= self.hold.workers and arranging.carries(self.hold, self.arrangement)

    @property
    def is_overloaded(self) -> bool:
        """Whether the plan was made because nothing carried the demand."""
        return self.held.status is PlanStatus.OVERLOAD


def _stay_or_improve(case: _Case, problem: Problem, solve: Solve) -> Decision:
    """Keep a plan that carries the demand, unless the time has come for a clearly better one."""
    hold, held, tenure = case.hold, case.held, case.tenure
    waited_s = case.now_s - max(tenure.changed_at_s, tenure.stepped_at_s)
    if waited_s < _first_patience_s(tenure, hold):
        return Decision(held, False, "carries the demand", tenure)
    candidate = solve(case.make)
    gain = _gain(problem, held, candidate)
    worthwhile = WORTHWHILE_GAIN * caution(problem.workers)
    if gain > worthwhile and waited_s >= _patience_s(tenure, gain / worthwhile):
        because = "better quality has become possible"
        return _change(candidate, hold, tenure, case.now_s, because)
    return Decision(replace(held, solve_s=candidate.solve_s), False, "still best", tenure)


def _leave(case: _Case, solve: Solve, on_overload: OnOverload) -> Decision:
    """Leave a plan that does not carry the demand, or that was made for an overload."""
    hold, held, tenure, now_s = case.hold, case.held, case.tenure, case.now_s
    candidate = solve(case.make, hurries=True)
    if candidate.status is PlanStatus.OVERLOAD:
        # Nothing leaves room for what is not known of the demand; perhaps something carries it.
        candidate = replace(solving.solve(hold), solve_s=candidate.solve_s)
    if candidate.status is PlanStatus.OVERLOAD:
        return _overload(candidate, held, hold, tenure, now_s, on_overload)
    if case.is_overloaded and case.fits:
        if now_s - tenure.changed_at_s < PATIENCE_S[0]:
            return Decision(held, False, "waiting until the overload is over for good", tenure)
        # From here on it is a plan that carries the demand, and no better one is in a hurry.
        calm = _restated(held, candidate, missed=0.0)
        return Decision(calm, False, "the overload is over", tenure)
    because = "the plan before could not carry the demand"
    if not case.is_overloaded and arranging.keeps_up(hold, case.arrangement):
        because = f"the plan before would have missed the deadline: {_delay(hold, held)}"
    return _change(candidate, hold, tenure, now_s, because)


def _delay(hold: Problem, held: Plan) -> str:
    """Tell what has made the path of a plan too long that was in time when it was made."""
    unhindered = replace(hold, swap_s={})
    arrangement = arranging.at(unhindered, held.mix, held.workers, held.batch)
    if arranging.is_in_time(unhindered, arrangement):
        return "a model has to be loaded"
    return "workers have become slower"


def _overload(
    candidate: Plan,
    held: Plan,
    hold: Problem,
    tenure: Tenure,
    now_s: float,
    on_overload: OnOverload,
) -> Decision:
    """Answer an overload: with the fewest violations, or with the plan in force when it sheds."""
    same_size = sum(held.workers.values()) <= hold.workers
    missed = _missed(hold, held)
    kept = _restated(held, candidate, missed=missed)
    if same_size and on_overload is OnOverload.SHED:
        return Decision(kept, False, SHEDS, tenure)
    on_time = 1.0 - candidate.reasons.predicted_violation_ratio
    is_relief = on_time >= (1.0 + WORTHWHILE_RELIEF) * (1.0 - missed)
    if same_size and (_same(candidate, held) or not is_relief):
        return Decision(kept, False, "nothing carries the demand better", tenure)
    return _change(candidate, hold, tenure, now_s, "overload: fewest predicted violations")


def _restated(held: Plan, candidate: Plan, *, missed: float) -> Plan:
    """Return the plan in force with the status of the solution that was compared with it.

    `missed` is the share of the demand that it does not carry.
    """
    status = candidate.status
    if status is PlanStatus.OPTIMAL and not _same(candidate, held):
        status = PlanStatus.FEASIBLE
    reasons = replace(held.reasons, predicted_violation_ratio=missed)
    return replace(held, status=status, solve_s=candidate.solve_s, reasons=reasons)


def _change(plan: Plan, hold: Problem, tenure: Tenure, now_s: float, because: str) -> Decision:
    """Return the change to `plan`, its figures for the mean demand and not for the headroom's."""
    shown = solving.refresh(hold, plan)
    tenure = Tenure(now_s, tenure.stepped_at_s, tenure.changes + 1)
    return Decision(shown, True, because, tenure)


def _first_patience_s(tenure: Tenure, hold: Problem) -> float:
    """Return how long to wait before looking for a better plan at all."""
    patience_s = PATIENCE_S[min(tenure.changes, len(PATIENCE_S) - 1)]
    if hold.demand_per_s <= 0.0:
        return patience_s
    return min(patience_s, ENOUGH_REQUESTS * caution(hold.workers) / hold.demand_per_s)


def _patience_s(tenure: Tenure, times: float) -> float:
    """Return how long a plan stays before one with so many times a worthwhile gain replaces it."""
    return 0.0 if tenure.changes < FREE_CHANGES else LATER_PATIENCE_S / times**2


def _gain(problem: Problem, held: Plan, candidate: Plan) -> float:
    """Return what the candidate gains after its swaps, as a share of the table's range."""
    values = [row.measured[problem.profile.quality.metric] for row in problem.profile.rows]
    span = max(values) - min(values)
    if candidate.status is PlanStatus.OVERLOAD or _same(candidate, held) or span <= 0.0:
        return 0.0
    swaps = arranging.cost(problem, candidate.workers)
    return (problem.sign * (candidate.quality - held.quality) - swaps) / span


def _same(first: Plan, second: Plan) -> bool:
    """Tell whether two plans do the same, whatever they name for a stage that nothing reaches."""
    return first.workers == second.workers and _effects(first) == _effects(second)


def _effects(plan: Plan) -> list[tuple[Lane, dict[ModelName, int | None]]]:
    effects = []
    for part in plan.mix:
        lane = part.lane()
        if part.row.heavy_ratio == 0:
            lane = replace(lane, heavy=lane.light)
        elif part.row.light_ratio == 0:
            lane = replace(lane, light=lane.heavy)
        effects.append((lane, {name: plan.batch.get(name) for name in (lane.light, lane.heavy)}))
    return effects


def _missed(hold: Problem, held: Plan) -> float:
    """Return the share of the demand that the plan in force cannot carry."""
    arrangement = arranging.at(hold, held.mix, held.workers, held.batch)
    busiest = max(
        (load / max(held.workers.get(name, 0), 1) for name, load in arrangement.load.items()),
        default=0.0,
    )
    return max(1.0 - 1.0 / busiest, 0.0) if busiest > 0 else 0.0

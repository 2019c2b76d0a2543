"""Stay or change: when a new plan is worth it.

A plan that carries the demand stays until a clearly better one has been possible for a while, and
at most `FREE_CHANGES` plans follow one step of the load: what noise suggests afterwards waits for
minutes. A plan that does not carry the demand is left at once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from hadis.planning import arranging, solving
from hadis.planning.forecasting import Forecast
from hadis.planning.problems import Plan, PlanStatus, Problem
from hadis.terms.assignments import Lane
from hadis.terms.cascades import OnOverload
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Direction, Profile

PLAN_UTILISATION = 0.8
"""New plans leave this much: at 80 % a lone worker's images wait two batches on average."""
HOLD_UTILISATION = 0.95
"""A plan in force is left only beyond this, or noise in the demand would end it."""
WORTHWHILE_GAIN = 0.02
"""Gain in quality, of the range of the table, for which a plan that carries the load changes."""
FREE_CHANGES = 2
PATIENCE_S = (20.0, 45.0)
"""Time since the last change or step before the first and the second plan for better quality."""
LATER_PATIENCE_S = 300.0
WORTHWHILE_RELIEF = 0.1
"""How many more requests, of those on time now, must be for another answer to an overload.

A share of what is served and not of the demand: under a flood every plan violates nearly all.
"""


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
    clock: Callable[[], float] | None = None,
) -> Decision:
    """Return the plan to be in force from now on.

    `problem` states everything but the demand and the utilisation, which differ between holding a
    plan (the mean) and making one (with headroom). `anew` is the reason for a plan where there is
    no current one.
    """
    if forecast.stepped_at_s > tenure.stepped_at_s:
        tenure = replace(tenure, stepped_at_s=forecast.stepped_at_s, changes=0)
    hold = replace(problem, demand_per_s=forecast.mean_per_s, utilisation_limit=HOLD_UTILISATION)
    make = replace(problem, demand_per_s=forecast.planned_per_s, utilisation_limit=PLAN_UTILISATION)
    if current is None:
        return _change(solving.solve(make, clock=clock), hold, tenure, now_s, anew)

    held = solving.refresh(hold, current)
    arrangement = arranging.at(hold, held.mix, held.workers, held.batch)
    fits = sum(held.workers.values()) <= problem.workers and arranging.carries(hold, arrangement)
    overloaded = current.status is PlanStatus.OVERLOAD
    if fits and not overloaded:
        if now_s - max(tenure.changed_at_s, tenure.stepped_at_s) < _patience_s(tenure):
            return Decision(held, False, "carries the demand", tenure)
        candidate = solving.solve(make, clock=clock)
        if candidate.status is not PlanStatus.OVERLOAD and _gain(problem.profile, held, candidate):
            return _change(candidate, hold, tenure, now_s, "better quality has become possible")
        return Decision(replace(held, solve_s=candidate.solve_s), False, "still best", tenure)

    candidate = solving.solve(make, clock=clock)
    if candidate.status is PlanStatus.OVERLOAD:
        return _overload(candidate, held, hold, tenure, now_s, on_overload)
    if overloaded and fits:
        if now_s - tenure.changed_at_s < PATIENCE_S[0]:
            return Decision(held, False, "waiting until the overload is over for good", tenure)
        # From here on it is a plan that carries the demand, and no better one is in a hurry.
        calm = _restated(held, candidate, missed=0.0)
        return Decision(calm, False, "the overload is over", tenure)
    because = "the plan before could not carry the demand"
    if not overloaded and arranging.keeps_up(hold, arrangement):
        because = f"the plan before would have missed the deadline: {_delay(hold, held)}"
    return _change(candidate, hold, tenure, now_s, because)


def _delay(hold: Problem, held: Plan) -> str:
    """Tell what has made the path of a plan too long that was in time when it was made."""
    unhindered = replace(hold, queue={}, swap_s={}, residual_s={})
    arrangement = arranging.at(unhindered, held.mix, held.workers, held.batch)
    if arranging.is_in_time(unhindered, arrangement):
        return "images wait, or a model has to be loaded"
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
        return Decision(kept, False, "sheds what the plan in force cannot carry", tenure)
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


def _patience_s(tenure: Tenure) -> float:
    if tenure.changes < FREE_CHANGES:
        return PATIENCE_S[tenure.changes]
    return LATER_PATIENCE_S


def _gain(profile: Profile, held: Plan, candidate: Plan) -> bool:
    metric = profile.quality.metric
    values = [row.measured[metric] for row in profile.rows]
    sign = 1.0 if profile.quality.direction is Direction.HIGHER else -1.0
    gain = sign * (candidate.quality - held.quality)
    return gain > WORTHWHILE_GAIN * (max(values) - min(values)) and not _same(candidate, held)


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

"""Where swaps are slow, as when a pod restarts: two time scales.

A model that takes a minute to load follows the demand late. So the workers' models are chosen ahead
of it, with room in the lightest model for what nobody can foresee, and what a swap costs keeps them
from following every wave. Thresholds follow at once: of all rows and mixtures that the ready
workers carry, the best one is served while others still load.
"""

import math
from dataclasses import replace

from hadis.planning import deciding, solving, tables
from hadis.planning.forecasting import Forecast
from hadis.planning.problems import Plan, PlanStatus, Problem
from hadis.planning.solving import Clock
from hadis.terms.cascades import OnOverload
from hadis.terms.ids import ModelName

ROOM = 0.15
"""Of what the fleet could carry beyond the present demand, kept ready in the lightest model."""
WORTHWHILE_GAIN = 0.005
"""Gain in quality, of the range of the table, for which thresholds move: they cost no swap."""


def aim(problem: Problem, forecast: Forecast, *, clock: Clock | None = None) -> Plan:
    """Return which models the workers shall hold: the best plan for the demand to come, with room.

    The room is a pool of the lightest model that the plan may not count on. Where the plan has no
    use for that model the pool stands by.
    """
    lightest, image_s = _lightest(problem)
    spare_per_s = max(problem.workers / image_s - forecast.planned_per_s, 0.0)
    room = ROOM * spare_per_s * image_s
    make = replace(
        problem,
        demand_per_s=forecast.planned_per_s,
        utilisation_limit=deciding.plan_utilisation(problem.workers),
    )
    waiting_s = problem.backlog_s.get(lightest, 0.0) + room * problem.drain_s
    backlog_s = {**problem.backlog_s, lightest: waiting_s}
    plan = solving.solve(replace(make, backlog_s=backlog_s), clock=clock)
    if plan.status is PlanStatus.OVERLOAD:
        return solving.solve(make, clock=clock)
    return _with_pool(problem, plan, lightest, math.ceil(room - tables.ROUNDING))


def serve(
    problem: Problem, serving: Plan | None, *, on_overload: OnOverload = OnOverload.DEGRADE
) -> Plan:
    """Return the best use of the ready workers, `problem.pools`.

    What is served already stays while it carries the demand and is about as good, and where an
    overload is to be shed: then whatever it does not carry is turned away.
    """
    best = solving.solve(problem)
    sheds = on_overload is OnOverload.SHED
    if serving is None or (best.status is PlanStatus.OVERLOAD and not sheds):
        return best
    mix = solving.mix_of_today(problem, serving.mix)
    held = solving.solve_mix(problem, mix, is_chosen=True)
    if best.status is PlanStatus.OVERLOAD:
        return held
    values = [row.measured[problem.profile.quality.metric] for row in problem.profile.rows]
    gain = problem.sign * (best.quality - held.quality)
    if held.status is PlanStatus.OVERLOAD or gain > WORTHWHILE_GAIN * (max(values) - min(values)):
        return best
    return replace(held, status=best.status, solve_s=best.solve_s)


def _lightest(problem: Problem) -> tuple[ModelName, float]:
    """Return the model that makes the most images a second, and its seconds an image."""
    each = {
        model.name: min(seconds / size for size, seconds in model.latency_s.items())
        for model in problem.profile.models
    }
    name = min(each, key=each.__getitem__)
    return name, each[name] * problem.latency_scale


def _with_pool(problem: Problem, plan: Plan, model: ModelName, workers: int) -> Plan:
    """Return the plan with a pool of `model` that stands by, unless it uses that model anyway."""
    if workers == 0 or model in plan.workers:
        return plan
    batch = tables.useful_batches(problem.profile, model)[-1]
    return replace(
        plan,
        workers={**plan.workers, model: workers},
        batch={**plan.batch, model: batch},
    )

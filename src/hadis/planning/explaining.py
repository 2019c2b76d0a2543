"""The reasons of a plan: what binds it, what it leaves over, what it could not have and why."""

import math

import numpy as np

from hadis.planning import tables
from hadis.planning.arranging import Arrangement
from hadis.planning.feasibility import Feasibility
from hadis.planning.problems import Alternative, Constraint, Problem, Reasons
from hadis.planning.tables import Table

SAME_QUALITY = 1e-9


def explain(
    problem: Problem,
    table: Table,
    assessed: Feasibility,
    quality: float,
    arrangement: Arrangement,
    *,
    violation_ratio: float = 0.0,
    notes: tuple[str, ...] = (),
) -> Reasons:
    """Return the reasons of a plan with `quality` (higher is better) over `table`.

    `arrangement` has the workers that the plan gives out, spare ones among them.
    """
    is_missed = table.quality > quality + SAME_QUALITY
    if not table.price.any():
        is_missed &= ~assessed.feasible
    missed = np.flatnonzero(is_missed)
    binding = Constraint.NONE
    alternative = None
    if len(missed):
        # What binds is what keeps the next better row out; what is worth telling is the best one.
        nearest = int(missed[np.argmin(table.quality[missed])])
        best = int(missed[np.argmax(table.quality[missed])])
        binding = _obstacle(assessed, nearest)
        alternative = _alternative(problem, table, assessed, best)
    return Reasons(
        binding=binding,
        idle_workers=max(problem.workers - _needed(problem, arrangement), 0),
        slack_latency_s=problem.slo_s - arrangement.latency_s,
        slack_demand_per_s=_slack_demand_per_s(problem, arrangement),
        utilisation=arrangement.utilisation,
        swaps=sum(problem.swaps(arrangement.workers).values()),
        alternative=alternative,
        predicted_violation_ratio=violation_ratio,
        notes=notes,
    )


def _needed(problem: Problem, arrangement: Arrangement) -> int:
    limit = problem.utilisation_limit
    loads = arrangement.load.values()
    return sum(max(math.ceil(load / limit - tables.ROUNDING), 1) for load in loads)


def _slack_demand_per_s(problem: Problem, arrangement: Arrangement) -> float:
    """Return the growth of the demand that fills the first pool up to its limit."""
    room = math.inf
    for name, load in arrangement.load.items():
        backlog = arrangement.backlog[name]
        if load > backlog:
            able = problem.utilisation_limit * arrangement.workers[name] - backlog
            room = min(room, able / (load - backlog))
    return problem.demand_per_s * (room - 1.0) if math.isfinite(room) else math.inf


def _obstacle(assessed: Feasibility, row: int) -> Constraint:
    if assessed.feasible[row]:
        return Constraint.SWAPS
    if not assessed.in_time[row].any():
        return Constraint.LATENCY
    if not assessed.fits[row].any():
        return Constraint.WORKERS
    return Constraint.WORKERS_AND_LATENCY


def _alternative(problem: Problem, table: Table, assessed: Feasibility, row: int) -> Alternative:
    needed, paths = assessed.workers[row], assessed.path_us[row]
    workers = math.ceil(float(np.min(needed)) - tables.ROUNDING)
    fastest = int(np.min(paths[np.isfinite(needed)]))
    latency_s = fastest / tables.US_PER_S + table.overhead_s
    match _obstacle(assessed, row):
        case Constraint.LATENCY:
            because = f"its path takes {latency_s:.3g} s of {problem.slo_s:.3g} s"
        case Constraint.WORKERS if problem.pools is not None and workers <= problem.workers:
            because = "the workers that are ready hold too few of its models"
        case Constraint.WORKERS:
            because = f"it needs {workers} workers of {problem.workers}"
        case Constraint.SWAPS:
            because = "loading its models costs more than it gains"
        case _:
            in_time = math.ceil(float(np.min(needed[assessed.in_time[row]])) - tables.ROUNDING)
            because = (
                f"with batches small enough for {problem.slo_s:.3g} s it needs {in_time} workers "
                f"of {problem.workers}"
            )
    chosen = table.rows[row]
    return Alternative(
        light=chosen.light,
        heavy=chosen.heavy,
        hardness_threshold=chosen.hardness_threshold,
        quality_threshold=chosen.quality_threshold,
        quality=problem.sign * float(table.quality[row]),
        workers_needed=workers,
        latency_s=latency_s,
        because=because,
    )

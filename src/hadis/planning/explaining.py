"""The reasons of a plan: what binds it, what it leaves over, what it could not have and why."""

import numpy as np

from hadis.planning import feasibility
from hadis.planning.arranging import Arrangement
from hadis.planning.feasibility import Feasibility
from hadis.planning.problems import Alternative, Constraint, Problem, Reasons
from hadis.planning.tables import Table
from hadis.terms.profiles import Direction

SAME_QUALITY = 1e-9


def explain(
    problem: Problem,
    table: Table,
    quality: float,
    arrangement: Arrangement,
    *,
    violation_ratio: float = 0.0,
    notes: tuple[str, ...] = (),
) -> Reasons:
    """Return the reasons of a plan with `quality` (higher is better) over `table`."""
    assessed = feasibility.assess(problem, table)
    missed = np.flatnonzero((table.quality > quality + SAME_QUALITY) & ~assessed.feasible)
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
        idle_workers=max(problem.workers - sum(arrangement.workers.values()), 0),
        slack_latency_s=problem.slo_s - arrangement.latency_s,
        utilisation=arrangement.utilisation,
        alternative=alternative,
        predicted_violation_ratio=violation_ratio,
        notes=notes,
    )


def _obstacle(assessed: Feasibility, row: int) -> Constraint:
    if not assessed.in_time[row].any():
        return Constraint.LATENCY
    if not assessed.fits[row].any():
        return Constraint.WORKERS
    return Constraint.WORKERS_AND_LATENCY


def _alternative(problem: Problem, table: Table, assessed: Feasibility, row: int) -> Alternative:
    needed, paths = assessed.workers[row], assessed.path_s[row]
    workers = int(np.min(needed))
    latency_s = float(np.min(paths[np.isfinite(needed)]))
    match _obstacle(assessed, row):
        case Constraint.LATENCY:
            because = f"its path takes {latency_s:.3g} s of {problem.slo_s:.3g} s"
        case Constraint.WORKERS:
            because = f"it needs {workers} workers of {problem.workers}"
        case _:
            in_time = int(np.min(needed[assessed.in_time[row]]))
            because = (
                f"with batches small enough for {problem.slo_s:.3g} s it needs {in_time} workers "
                f"of {problem.workers}"
            )
    chosen = table.rows[row]
    sign = 1.0 if problem.profile.quality.direction is Direction.HIGHER else -1.0
    return Alternative(
        light=chosen.light,
        heavy=chosen.heavy,
        hardness_threshold=chosen.hardness_threshold,
        quality_threshold=chosen.quality_threshold,
        quality=sign * float(table.quality[row]),
        workers_needed=workers,
        latency_s=latency_s,
        because=because,
    )

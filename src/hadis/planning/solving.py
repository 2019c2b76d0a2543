"""Problem in, plan out: one lane by CP-SAT, two by the exact mixture search, or the overload.

No clock is read here: a caller that wants `solve_s` passes one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from hadis.errors import InvalidInput
from hadis.planning import (
    arranging,
    blending,
    expecting,
    explaining,
    formulation,
    overloads,
    tables,
)
from hadis.planning.arranging import Arrangement
from hadis.planning.problems import Plan, PlanStatus, Problem, RowShare
from hadis.planning.tables import Table
from hadis.terms.profiles import Direction, ProfileRow

Clock = Callable[[], float]


def solve(problem: Problem, *, clock: Clock | None = None) -> Plan:
    """Return the best plan; there always is one, an overload's is marked so.

    Whoever takes problems from people calls `check` first.
    """
    started_s = clock() if clock else 0.0
    table = tables.build(problem, problem.profile.rows)
    choice = formulation.choose(problem, table)
    status = PlanStatus.OPTIMAL if choice is None else choice.status
    mix: tuple[RowShare, ...] | None
    mix = None if choice is None else (RowShare(1.0, table.rows[choice.row]),)
    if problem.max_lanes > 1:
        mix = blending.mix(problem, table, None if choice is None else choice.row) or mix
    arrangement = None if mix is None else arranging.arrange(problem, mix)
    violation_ratio = 0.0
    if mix is None or arrangement is None:
        relief = overloads.relieve(problem, table)
        status, violation_ratio = PlanStatus.OVERLOAD, relief.violation_ratio
        mix, arrangement = (RowShare(1.0, table.rows[relief.row]),), relief.arrangement
    solve_s = clock() - started_s if clock else 0.0
    return _plan(problem, table, mix, arrangement, status, violation_ratio, solve_s)


def check(problem: Problem) -> None:
    """Raise InvalidInput for the first field that makes no sense.

    An SLO below the fastest model's time for one image is such a field: no plan could meet it.
    """
    if problem.workers < 1:
        raise InvalidInput(f"workers is {problem.workers}; give at least 1", field="workers")
    if not (math.isfinite(problem.demand_per_s) and problem.demand_per_s >= 0.0):
        raise InvalidInput(
            f"demand is {problem.demand_per_s:g}; give requests a second >= 0", field="demand"
        )
    if not (math.isfinite(problem.slo_s) and problem.slo_s > 0.0):
        raise InvalidInput(f"slo_s is {problem.slo_s:g}; give seconds > 0", field="slo_s")
    fastest = min(problem.profile.models, key=lambda model: min(model.latency_s.values()))
    fastest_s = min(fastest.latency_s.values()) * problem.latency_scale
    if problem.slo_s < fastest_s:
        raise InvalidInput(
            f"slo_s is {problem.slo_s:g}, below the {fastest_s:g} s of the fastest model "
            f"{fastest.name}; allow more time",
            field="slo_s",
        )
    known = {model.name for model in problem.profile.models}
    named = {
        "queue": problem.queue,
        "arrival": problem.arrival_per_s,
        "current": problem.current_workers or {},
        "swap_s": problem.swap_s,
        "residual_s": problem.residual_s,
    }
    for field, values in named.items():
        for name, value in values.items():
            if name not in known:
                raise InvalidInput(
                    f"{field} names {name}, which the profile does not have; "
                    f"use one of {', '.join(sorted(known))}",
                    field=field,
                )
            if not (math.isfinite(value) and value >= 0):
                raise InvalidInput(
                    f"{field}.{name} is {value:g}; give a number >= 0", field=f"{field}.{name}"
                )


def solve_mix(problem: Problem, mix: Sequence[RowShare]) -> Plan:
    """Return the plan that runs `mix`, chosen by hand, on the workers as well as they can."""
    arrangement = arranging.arrange(problem, mix)
    table = tables.build(problem, [part.row for part in mix])
    status, violation_ratio = PlanStatus.FEASIBLE, 0.0
    if arrangement is None:
        relief = overloads.relieve(problem, table)
        status, violation_ratio = PlanStatus.OVERLOAD, relief.violation_ratio
        arrangement = relief.arrangement
    return _plan(problem, table, mix, arrangement, status, violation_ratio, 0.0)


def refresh(problem: Problem, plan: Plan, *, mix: Sequence[RowShare] | None = None) -> Plan:
    """Return `plan` with its rows, latencies, ratios and reasons as `problem` has them now.

    Lanes, workers and batch sizes stay; the rows are found again by pair and thresholds, or given
    as `mix`.
    """
    table = tables.build(problem, problem.profile.rows)
    by_lane = {lane_key(row): row for row in problem.profile.rows}
    mix = mix or tuple(
        RowShare(part.share, by_lane.get(lane_key(part.row), part.row)) for part in plan.mix
    )
    measured = arranging.at(problem, mix, plan.workers, plan.batch)
    fresh = _plan(
        problem, table, mix, measured, plan.status, plan.reasons.predicted_violation_ratio, 0.0
    )
    return replace(fresh, workers=plan.workers, solve_s=plan.solve_s)


def lane_key(row: ProfileRow) -> tuple[str, str, float, float]:
    """Return what tells a row from the others of a table: its pair and its thresholds."""
    return row.light, row.heavy, row.hardness_threshold, row.quality_threshold


def _plan(
    problem: Problem,
    table: Table,
    mix: Sequence[RowShare],
    arrangement: Arrangement,
    status: PlanStatus,
    violation_ratio: float,
    solve_s: float,
) -> Plan:
    metrics = set.intersection(*(set(part.row.measured) for part in mix))
    measured = {
        name: sum(part.share * part.row.measured[name] for part in mix) for name in sorted(metrics)
    }
    value = _sign(problem) * measured[problem.profile.quality.metric]
    workers = arranging.give_spares(problem, arrangement)
    return Plan(
        status=status,
        mix=tuple(mix),
        workers=workers,
        batch=arrangement.batch,
        quality=measured[problem.profile.quality.metric],
        measured=measured,
        direct_ratio=sum(part.share * part.row.direct_ratio for part in mix),
        light_ratio=sum(part.share * part.row.light_ratio for part in mix),
        heavy_ratio=sum(part.share * part.row.heavy_ratio for part in mix),
        latency_s=arrangement.latency_s,
        mean_latency_s=expecting.mean_latency_s(problem, mix, workers, arrangement.batch),
        solve_s=solve_s,
        reasons=explaining.explain(
            problem, table, value, arrangement, violation_ratio=violation_ratio
        ),
    )


def _sign(problem: Problem) -> float:
    return 1.0 if problem.profile.quality.direction is Direction.HIGHER else -1.0

"""Problem in, plan out: one lane by CP-SAT, two by the exact mixture search, or the overload.

No clock is read here: a caller that wants `solve_s` passes one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hadis.errors import InvalidInput
from hadis.planning import (
    arranging,
    blending,
    expecting,
    explaining,
    feasibility,
    formulation,
    overloads,
    tables,
)
from hadis.planning.arranging import Arrangement
from hadis.planning.feasibility import Feasibility
from hadis.planning.formulation import Choice
from hadis.planning.problems import Plan, PlanStatus, Problem, RowShare
from hadis.planning.tables import Table
from hadis.terms.profiles import ProfileRow

Clock = Callable[[], float]
MANY_CHOICES = "there are too many choices of batch sizes to search all of them for mixtures"
MOST_WORKERS = 1_000_000


def solve(problem: Problem, *, clock: Clock | None = None) -> Plan:
    """Return the best plan; there always is one, an overload's is marked so.

    Whoever takes problems from people calls `check` first.
    """
    started_s = clock() if clock else 0.0
    table = tables.build(problem, problem.profile.rows)
    assessed = feasibility.assess(problem, table)
    found = _best(problem, table, assessed)
    if found is None:
        relief = overloads.relieve(problem, table)
        notes = () if relief.in_time else ("no path is within the SLO: the shortest is taken",)
        mix = (RowShare(1.0, table.rows[relief.row]),)
        found = _Found(
            PlanStatus.OVERLOAD,
            mix,
            _staffed(problem, relief.arrangement),
            relief.violation_ratio,
            notes,
        )
    solve_s = clock() - started_s if clock else 0.0
    return _plan(problem, table, assessed, found, solve_s)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search came to, before it is told as a plan."""

    status: PlanStatus
    mix: Sequence[RowShare]
    arrangement: Arrangement
    violation_ratio: float = 0.0
    notes: tuple[str, ...] = ()


def _best(problem: Problem, table: Table, assessed: Feasibility) -> _Found | None:
    """Return the best row or mixture that carries the demand in time; None when nothing does."""
    search = blending.Search(problem, table) if problem.max_lanes > 1 else None
    found = None
    value = -math.inf
    choice = _choose(problem, table, assessed)
    if choice is not None:
        mix = (RowShare(1.0, table.rows[choice.row]),)
        arrangement = arranging.arrange(problem, mix)
        if arrangement is not None:
            found = _Found(choice.status, mix, _staffed(problem, arrangement))
            value = float(table.quality[choice.row])
            value -= arranging.cost(problem, arrangement.workers)
    if search is None:
        return found
    blend = search.mixture(value)
    status = PlanStatus.OPTIMAL if blend.proved else PlanStatus.FEASIBLE
    arrangement = arranging.arrange(problem, blend.parts) if blend.parts else None
    if arrangement is not None:
        found = _Found(status, blend.parts, _staffed(problem, arrangement))
    if found is None:
        return None
    notes = () if search.is_whole else (MANY_CHOICES,)
    return replace(found, status=status, notes=notes)


def _choose(problem: Problem, table: Table, assessed: Feasibility) -> Choice | None:
    """Return the best single row.

    One lane is the integer program's. As the first bar for mixtures, which may be set a hundred
    times a minute, the same row is found at a tenth of the cost.
    """
    if problem.max_lanes == 1:
        return formulation.choose(problem, table, assessed)
    row = feasibility.best_row(table, assessed)
    return None if row is None else Choice(row, PlanStatus.OPTIMAL)


def _staffed(problem: Problem, needed: Arrangement) -> Arrangement:
    return replace(needed, workers=arranging.give_spares(problem, needed))


def check(problem: Problem) -> None:
    """Raise InvalidInput for the first field that makes no sense.

    An SLO below the fastest model's time for one image is such a field: no plan could meet it.
    """
    if not 1 <= problem.workers <= MOST_WORKERS:
        raise InvalidInput(
            f"workers is {problem.workers}; give 1 to {MOST_WORKERS}", field="workers"
        )
    if not (math.isfinite(problem.demand_per_s) and problem.demand_per_s >= 0.0):
        raise InvalidInput(
            f"demand is {problem.demand_per_s:g}; give requests a second >= 0", field="demand"
        )
    if not (math.isfinite(problem.slo_s) and problem.slo_s > 0.0):
        raise InvalidInput(f"slo_s is {problem.slo_s:g}; give seconds > 0", field="slo_s")
    if not 0.0 < problem.utilisation_limit <= 1.0:
        raise InvalidInput(
            f"utilisation_limit is {problem.utilisation_limit:g}; give a share above 0, at most 1",
            field="utilisation_limit",
        )
    if not (math.isfinite(problem.queue_safety_factor) and problem.queue_safety_factor >= 0.0):
        raise InvalidInput(
            f"queue_safety_factor is {problem.queue_safety_factor:g}; give a number >= 0",
            field="queue_safety_factor",
        )
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


def solve_mix(
    problem: Problem,
    mix: Sequence[RowShare],
    *,
    status: PlanStatus = PlanStatus.FEASIBLE,
    is_chosen: bool = False,
    notes: tuple[str, ...] = (),
) -> Plan:
    """Return the plan that runs `mix` on the workers as well as they can.

    A mix that is chosen among all rows of the table is explained by what it could not have; one
    that somebody has set is not.
    """
    rows = problem.profile.rows if is_chosen else [part.row for part in mix]
    table = tables.build(problem, rows)
    assessed = feasibility.assess(problem, table)
    arrangement = arranging.arrange(problem, mix)
    if arrangement is not None:
        found = _Found(status, mix, _staffed(problem, arrangement), notes=notes)
    else:
        relief = overloads.relieve(problem, tables.build(problem, [part.row for part in mix]))
        staffed = _staffed(problem, relief.arrangement)
        found = _Found(PlanStatus.OVERLOAD, mix, staffed, relief.violation_ratio, notes)
    return _plan(problem, table, assessed, found, 0.0)


def refresh(problem: Problem, plan: Plan, *, mix: Sequence[RowShare] | None = None) -> Plan:
    """Return `plan` with its rows, latencies, ratios and reasons as `problem` has them now.

    Lanes, workers and batch sizes stay; the rows are found again by pair and thresholds, or given
    as `mix`.
    """
    table = tables.build(problem, problem.profile.rows)
    assessed = feasibility.assess(problem, table)
    mix = mix or mix_of_today(problem, plan.mix)
    measured = arranging.at(problem, mix, plan.workers, plan.batch)
    found = _Found(plan.status, mix, measured, plan.reasons.predicted_violation_ratio)
    return _plan(problem, table, assessed, found, plan.solve_s)


def mix_of_today(problem: Problem, mix: Sequence[RowShare]) -> tuple[RowShare, ...]:
    """Return `mix` with its rows as the problem's table has them now, found again by lane."""
    by_lane = {lane_key(row): row for row in problem.profile.rows}
    return tuple(RowShare(part.share, by_lane.get(lane_key(part.row), part.row)) for part in mix)


def lane_key(row: ProfileRow) -> tuple[str, str, float, float]:
    """Return what tells a row from the others of a table: its pair and its thresholds."""
    return row.light, row.heavy, row.hardness_threshold, row.quality_threshold


def _plan(
    problem: Problem, table: Table, assessed: Feasibility, found: _Found, solve_s: float
) -> Plan:
    mix, arrangement = found.mix, found.arrangement
    metrics = set.intersection(*(set(part.row.measured) for part in mix))
    measured = {
        name: sum(part.share * part.row.measured[name] for part in mix) for name in sorted(metrics)
    }
    quality = measured[problem.profile.quality.metric]
    return Plan(
        status=found.status,
        mix=tuple(mix),
        workers=arrangement.workers,
        batch=arrangement.batch,
        quality=quality,
        measured=measured,
        direct_ratio=sum(part.share * part.row.direct_ratio for part in mix),
        light_ratio=sum(part.share * part.row.light_ratio for part in mix),
        heavy_ratio=sum(part.share * part.row.heavy_ratio for part in mix),
        latency_s=arrangement.latency_s,
        mean_latency_s=expecting.mean_latency_s(
            problem, mix, arrangement.workers, arrangement.batch
        ),
        solve_s=solve_s,
        reasons=explaining.explain(
            problem,
            table,
            assessed,
            problem.sign * quality,
            arrangement,
            violation_ratio=found.violation_ratio,
            notes=found.notes,
        ),
    )

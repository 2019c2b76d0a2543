"""The control cycle: one pure function from a snapshot to what every worker and router shall do.

The shells observe, call `run_cycle` and apply its output; the replay calls it under virtual time.
It may be called at any moment, not only every `planner.interval_s`: smoothing and patience go by
elapsed time, and a call that finds nothing new raises no version. All memory is in `CycleState`.
"""

from collections.abc import Mapping
from dataclasses import replace

from hadis.planning import (
    arriving,
    caching,
    candidates,
    deciding,
    forecasting,
    observing,
    pacing,
    placement,
    solving,
    stating,
    summaries,
    switching,
    versioning,
)
from hadis.planning.caching import PlanCache
from hadis.planning.deciding import Decision
from hadis.planning.forecasting import Forecast
from hadis.planning.problems import Plan, PlanStatus, Problem
from hadis.planning.solving import Clock
from hadis.planning.states import CycleInput, CycleOutput, CycleState
from hadis.terms.assignments import Lane
from hadis.terms.cascades import OnOverload, PlannerMode
from hadis.terms.ids import ModelName, WorkerName

__all__ = ["CycleInput", "CycleOutput", "CycleState", "run_cycle"]

SLOW_SWAP_INTERVALS = 2.0
"""A swap that takes longer than this is slow: the demand has moved on before it is over."""

Placed = Mapping[WorkerName, ModelName | None]


def run_cycle(given: CycleInput, *, clock: Clock | None = None) -> CycleOutput:
    """Run one cycle. `clock` only times the solver, for `solve_s`.

    InvalidProfile when no row of the profile fits the cascade: the shell keeps the last output.
    """
    given = _with_arriving(given)
    # 1. Observe: fold the snapshot into what is remembered.
    state = observing.observe(given)
    # 2. Forecast the demand.
    forecast = _forecast(given, state)
    # 3. Plan: stay, or change.
    table = stating.table_now(given, state)
    problem = stating.state_problem(given, state, table, forecast)
    solver = _Solver(state.cache, clock)
    decision = _decide(given, state, problem, forecast, solver)
    applied = decision
    if given.cascade.planner.mode is PlannerMode.OBSERVE and state.plan is not None:
        held = solving.refresh(replace(problem, demand_per_s=forecast.mean_per_s), state.plan)
        applied = replace(decision, plan=held, changed=False)
    # 4. Place models on workers and move the lanes over.
    placed = _place(given, state, applied.plan)
    serving = _tuned(given, state, problem, forecast, applied.plan, placed)
    old_lanes, progress, lanes = _lanes(given, state, applied, serving, placed)
    # 5. Apply: versions rise with what changed.
    last = versioning.Issued(state.version, state.assignments, state.routing)
    used = (applied.plan,) if serving is None else (serving, applied.plan)
    issued = versioning.issue(last, given.snapshot, used, placed, lanes)
    # 6. Report.
    shown = serving or applied.plan
    summary = summaries.summarise(
        given.cascade, given.profile, shown, forecast, issued.version, lanes, applied.because
    )
    # What the plan took the profile's seconds times: workers are rarely the measured ones.
    summary["latency_scale"] = round(problem.latency_scale, 4)
    if given.cascade.planner.mode is PlannerMode.OBSERVE:
        summary["proposed"] = summaries.plan_line(decision.plan, given.profile)
    if serving is not None:
        summary["target_workers"] = dict(applied.plan.workers)
    return CycleOutput(
        assignments=issued.assignments,
        routing=issued.routing,
        plan=shown,
        summary=summary,
        events=_events(state, applied, issued.version, summary),
        state=replace(
            state,
            version=issued.version,
            table=table,
            basis=_basis(given, problem.workers),
            plan=applied.plan,
            serving=serving,
            tuned_at_s=_tuned_at_s(given, state, serving),
            tenure=applied.tenure,
            routing=issued.routing,
            assignments={**state.assignments, **issued.assignments},
            old_lanes=old_lanes,
            progress=progress,
            cache=solver.cache,
        ),
    )


class _Solver:
    """Solves through the plan cache, and keeps the cache for the next cycle."""

    def __init__(self, cache: PlanCache, clock: Clock | None) -> None:
        self.cache = cache
        self.clock = clock

    def __call__(self, problem: Problem, *, hurries: bool = False) -> Plan:
        plan, self.cache = caching.solve(
            self.cache,
            problem,
            tolerance=caching.TOLERANCE * deciding.caution(problem.workers),
            learns=not hurries,
            clock=self.clock,
        )
        return plan


def _with_arriving(given: CycleInput) -> CycleInput:
    """Return the input with workers holding what they are about to have, where swaps are quick.

    What a swap takes is still what workers said of it before.
    """
    within_s = arriving.patience_s(given.cascade.planner.interval_s, given.cascade.slo_s)
    if not arriving.is_quick(given.longest_swap_s, within_s):
        return given
    snapshot = arriving.count_in(given.snapshot, within_s)
    return replace(given, snapshot=snapshot, swap_s=given.swaps_s)


def _is_slow(given: CycleInput) -> bool:
    """Whether loading a model takes so long that thresholds have to follow the demand alone."""
    return given.longest_swap_s > SLOW_SWAP_INTERVALS * given.cascade.planner.interval_s


def _forecast(given: CycleInput, state: CycleState) -> Forecast:
    """Return the demand to plan for, as far ahead as it takes until a new plan serves."""
    settings = given.cascade.planner
    ahead_s = given.longest_swap_s if _is_slow(given) else 0.0
    return forecasting.forecast(
        state.demand,
        smoothing=settings.demand_smoothing,
        interval_s=settings.interval_s,
        caution=deciding.caution(len(state.seen_at_s) or max(given.cascade.workers, 1)),
        look_ahead_s=forecasting.LOOK_AHEAD_S + ahead_s,
    )


def _decide(
    given: CycleInput, state: CycleState, problem: Problem, forecast: Forecast, solver: _Solver
) -> Decision:
    planner = given.cascade.planner
    # A new cascade, profile or fleet makes the old plan meaningless: no patience with it.
    current = state.plan if state.basis == _basis(given, problem.workers) else None
    if planner.mode is PlannerMode.PINNED and planner.pinned is not None:
        now = replace(problem, demand_per_s=forecast.mean_per_s)
        mix = candidates.pinned_mix(problem.profile, planner.pinned)
        pinned = solving.solve_mix(now, mix)
        changed = current is None or current.lanes != pinned.lanes
        if current is not None and not changed:
            pinned = solving.refresh(now, current, mix=mix)
        return Decision(pinned, changed, "pinned", state.tenure)
    if _is_slow(given):
        plan = pacing.aim(problem, forecast, clock=solver.clock)
        sheds = planner.on_overload is OnOverload.SHED
        if sheds and current is not None and plan.status is PlanStatus.OVERLOAD:
            now = replace(problem, demand_per_s=forecast.mean_per_s)
            held = solving.refresh(now, current)
            return Decision(held, False, deciding.SHEDS, state.tenure)
        changed = current is None or plan.workers != current.workers
        return Decision(plan, changed, "the models that the demand will need", state.tenure)
    return deciding.decide(
        problem,
        current,
        state.tenure,
        forecast,
        given.snapshot.now_s,
        on_overload=planner.on_overload,
        anew=_why_anew(given, state, problem.workers),
        solve=solver,
    )


def _place(given: CycleInput, state: CycleState, plan: Plan) -> Placed:
    assigned = {name: entry.model for name, entry in state.assignments.items()}
    lanes = () if state.routing is None else state.routing.lanes
    in_use = frozenset(name for lane in lanes for name in (lane.light, lane.heavy))
    share = placement.SLOW_LOADING_SHARE if _is_slow(given) else placement.LOADING_SHARE
    placed = placement.place(
        plan.workers, given.snapshot.staying, assigned, in_use, loading_share=share
    )
    return placed.models


def _tuned(
    given: CycleInput,
    state: CycleState,
    problem: Problem,
    forecast: Forecast,
    plan: Plan,
    placed: Placed,
) -> Plan | None:
    """Return what the ready workers make of the demand while others load.

    None where all workers have every model or nobody is ready, and where somebody has set what to
    serve; also once the plan is in place, unless swaps are slow and it lags behind the demand.
    """
    if given.longest_swap_s <= 0.0 or given.cascade.planner.mode is not PlannerMode.AUTO:
        return None
    is_in_place = switching.readiness(plan.workers, given.snapshot.staying, placed) >= 1.0
    if is_in_place and not _is_slow(given):
        return None
    ready = stating.as_it_is(problem, given.snapshot, placed)
    if ready is None:
        return None
    return pacing.serve(
        replace(ready, demand_per_s=forecast.mean_per_s),
        state.serving,
        on_overload=given.cascade.planner.on_overload,
    )


def _tuned_at_s(given: CycleInput, state: CycleState, serving: Plan | None) -> float:
    """Return when what the ready workers serve last changed."""
    before = None if state.serving is None else state.serving.lanes
    now = None if serving is None else serving.lanes
    return state.tuned_at_s if now == before else given.snapshot.now_s


def _lanes(
    given: CycleInput, state: CycleState, decision: Decision, serving: Plan | None, placed: Placed
) -> tuple[tuple[Lane, ...], float, tuple[Lane, ...]]:
    """Return the lanes that are being left, how far the change is, and the lanes in force."""
    if serving is not None:
        return (), 1.0, serving.lanes
    workers = given.snapshot.staying
    old, progress = state.old_lanes, state.progress
    if decision.changed:
        old, progress = () if state.routing is None else state.routing.lanes, 0.0
    ready = switching.readiness(decision.plan.workers, workers, placed)
    progress = max(progress, ready)
    if progress > 0.0 and not switching.served(old, workers):
        progress = 1.0
    lanes = switching.blend(old, decision.plan.lanes, progress)
    return (old if progress < 1.0 else ()), progress, lanes


def _basis(given: CycleInput, workers: int) -> tuple[object, ...]:
    """Return what a plan was made for; another basis needs another plan."""
    cascade = given.cascade
    stages = (cascade.router_stage, cascade.discriminator_stage, cascade.deliver)
    planner = replace(cascade.planner, interval_s=0.0, demand_smoothing=0.0)
    return cascade.models, stages, cascade.slo_s, planner, given.profile, workers


def _why_anew(given: CycleInput, state: CycleState, workers: int) -> str:
    """Return why a plan is made that takes no account of the one before."""
    if state.plan is None:
        # Versions go on where another planner of this cascade has left off.
        return "first plan" if state.version == 0 else "first plan of another planner"
    if state.basis[:-1] != _basis(given, workers)[:-1]:
        return "first plan of the changed cascade"
    return "the number of workers has changed"


def _events(
    state: CycleState, decision: Decision, version: int, summary: Mapping[str, object]
) -> tuple[str, ...]:
    if not decision.changed and state.plan is not None:
        return ()
    plan = decision.plan
    lanes = ", ".join(f"{lane.share:.0%} {lane.light} > {lane.heavy}" for lane in plan.lanes)
    workers = ", ".join(f"{count} x {name}" for name, count in sorted(plan.workers.items()))
    return (
        f"plan {version} ({decision.because}): {lanes}; {workers}; demand "
        f"{summary['demand']} a second",
    )

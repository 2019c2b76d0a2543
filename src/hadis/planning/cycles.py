"""The control cycle: one pure function from a snapshot to what every worker and router shall do.

The shells observe, call `run_cycle` and apply its output; the replay calls it under virtual time.
It may be called at any moment, not only every `planner.interval_s`: smoothing and patience go by
elapsed time, and a call that finds nothing new raises no version. All memory is in `CycleState`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from hadis.planning import (
    candidates,
    corrections,
    deciding,
    forecasting,
    observing,
    placement,
    solving,
    summaries,
    switching,
    versioning,
)
from hadis.planning.deciding import Decision
from hadis.planning.forecasting import Forecast
from hadis.planning.problems import BatchPreference, Problem
from hadis.planning.snapshots import Snapshot
from hadis.planning.states import CycleInput, CycleOutput, CycleState
from hadis.terms.assignments import Lane
from hadis.terms.cascades import PlannerMode
from hadis.terms.ids import ModelName, WorkerName
from hadis.terms.profiles import Profile

__all__ = ["CycleInput", "CycleOutput", "CycleState", "run_cycle"]

LEAST_FLOW_PER_S = 0.01
"""Fewer arrivals than this are nobody: what they wait is not known, and nothing waits."""


def run_cycle(given: CycleInput, *, clock: Callable[[], float] | None = None) -> CycleOutput:
    """Run one cycle. `clock` only times the solver, for `solve_s`.

    InvalidProfile when no row of the profile fits the cascade: the shell keeps the last output.
    """
    # 1. Observe: fold the snapshot into what is remembered.
    state = observing.observe(given)
    # 2. Forecast the demand.
    settings = given.cascade.planner
    forecast = forecasting.forecast(
        state.demand, smoothing=settings.demand_smoothing, interval_s=settings.interval_s
    )
    # 3. Plan: stay, or change.
    problem = _problem(given, state, forecast)
    decision = _decide(given, state, problem, forecast, clock)
    applied = decision
    if settings.mode is PlannerMode.OBSERVE and state.plan is not None:
        held = solving.refresh(replace(problem, demand_per_s=forecast.mean_per_s), state.plan)
        applied = replace(decision, plan=held, changed=False)
    # 4. Place models on workers and move the lanes over.
    assigned = {name: entry.model for name, entry in state.assignments.items()}
    in_use = _models_of(() if state.routing is None else state.routing.lanes)
    placed = placement.place(applied.plan.workers, given.snapshot.staying, assigned, in_use)
    old_lanes, progress, lanes = _lanes(given, state, applied, placed.models)
    # 5. Apply: versions rise with what changed.
    last = versioning.Issued(state.version, state.assignments, state.routing)
    issued = versioning.issue(last, given.snapshot, applied.plan, placed.models, lanes)
    version, assignments, routing = issued.version, issued.assignments, issued.routing
    # 6. Report.
    summary = summaries.summarise(
        given.cascade, given.profile, applied.plan, forecast, version, lanes, applied.because
    )
    if settings.mode is PlannerMode.OBSERVE:
        summary["proposed"] = summaries.plan_line(decision.plan, given.profile)
    events = _events(state, applied, version, summary)
    return CycleOutput(
        assignments=assignments,
        routing=routing,
        plan=applied.plan,
        summary=summary,
        events=events,
        state=replace(
            state,
            version=version,
            basis=_basis(given, problem.workers),
            plan=applied.plan,
            tenure=applied.tenure,
            routing=routing,
            assignments={**state.assignments, **assignments},
            old_lanes=old_lanes,
            progress=progress,
        ),
    )


def _problem(given: CycleInput, state: CycleState, forecast: Forecast) -> Problem:
    """State the planning problem of this moment, with corrected ratios and measured latencies."""
    cascade, snapshot = given.cascade, given.snapshot
    everywhere_broken = _broken_everywhere(snapshot)
    profile = candidates.usable(cascade, given.profile, everywhere_broken)
    profile = corrections.correction(state.ratios).apply_all(profile)
    known = {model.name for model in profile.models}
    scale = given.latency_scale if state.latency_scale is None else state.latency_scale
    current: dict[ModelName, int] = {}
    for name in {w.name for w in snapshot.staying}:
        entry = state.assignments.get(name)
        if entry is not None and entry.model in known:
            current[entry.model] = current.get(entry.model, 0) + 1
    arrival = _arrivals(state, forecast)
    return Problem(
        profile=profile,
        demand_per_s=forecast.mean_per_s,
        workers=len(state.seen_at_s) or max(cascade.workers, 1),
        slo_s=cascade.slo_s,
        queue={n: q for n, q in _queue(state, forecast).items() if n in known and n in arrival},
        arrival_per_s={n: rate for n, rate in arrival.items() if n in known},
        current_workers=current or None,
        swap_s={n: s for n, s in given.swap_s.items() if n in known},
        backlog_s=_backlog_s(profile, snapshot, scale),
        max_lanes=cascade.planner.max_lanes,
        queue_safety_factor=cascade.planner.queue_safety_factor,
        latency_scale=scale,
        overhead_s=given.overhead_s,
        batch_preference=BatchPreference.HEADROOM,
    )


def _decide(
    given: CycleInput,
    state: CycleState,
    problem: Problem,
    forecast: Forecast,
    clock: Callable[[], float] | None,
) -> Decision:
    cascade, now_s = given.cascade, given.snapshot.now_s
    # A new cascade, profile or fleet makes the old plan meaningless: no patience with it.
    current = state.plan if state.basis == _basis(given, problem.workers) else None
    if cascade.planner.mode is PlannerMode.PINNED and cascade.planner.pinned is not None:
        mix = candidates.pinned_mix(problem.profile, cascade.planner.pinned)
        pinned = solving.solve_mix(replace(problem, demand_per_s=forecast.mean_per_s), mix)
        changed = current is None or current.lanes != pinned.lanes
        if current is not None and not changed:
            pinned = solving.refresh(
                replace(problem, demand_per_s=forecast.mean_per_s), current, mix=mix
            )
        return Decision(pinned, changed, "pinned", state.tenure)
    return deciding.decide(
        problem,
        current,
        state.tenure,
        forecast,
        now_s,
        on_overload=cascade.planner.on_overload,
        anew=_why_anew(given, state, problem.workers),
        clock=clock,
    )


def _lanes(
    given: CycleInput,
    state: CycleState,
    decision: Decision,
    placed: Mapping[WorkerName, ModelName | None],
) -> tuple[tuple[Lane, ...], float, tuple[Lane, ...]]:
    """Return the lanes that are being left, how far the change is, and the lanes in force."""
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


def _backlog_s(profile: Profile, snapshot: Snapshot, scale: float) -> dict[ModelName, float]:
    """Return the waiting work in worker-seconds a model, served in its best batches."""
    backlog: dict[ModelName, float] = {}
    for model in profile.models:
        waiting = observing.waiting(snapshot).get(model.name, 0)
        if waiting:
            image_s = min(seconds / size for size, seconds in model.latency_s.items())
            backlog[model.name] = waiting * image_s * scale
    return backlog


def _arrivals(state: CycleState, forecast: Forecast) -> dict[ModelName, float]:
    """Return the rate at which the plan in force feeds each model, for Little's law."""
    arrival: dict[ModelName, float] = {}
    for part in () if state.plan is None else state.plan.mix:
        for name, ratio in (
            (part.row.light, part.row.light_ratio),
            (part.row.heavy, part.row.heavy_ratio),
        ):
            rate = forecast.mean_per_s * part.share * ratio
            if rate > 0.0:
                arrival[name] = arrival.get(name, 0.0) + rate
    return arrival


def _queue(state: CycleState, forecast: Forecast) -> dict[ModelName, float]:
    """Return the queues that the forecast's demand would have at the waits that were seen.

    Little's law speaks of averages over the same time. The forecast forgets sooner than the queues:
    against its demand a queue of a minute ago would be an endless wait once the load is gone.
    """
    if state.flow_per_s < LEAST_FLOW_PER_S:
        return {}
    seen = forecast.mean_per_s / state.flow_per_s
    return {name: seen * count for name, count in state.queue.items()}


def _broken_everywhere(snapshot: Snapshot) -> frozenset[ModelName]:
    if not snapshot.workers:
        return frozenset()
    return frozenset.intersection(*(worker.broken for worker in snapshot.workers))


def _models_of(lanes: tuple[Lane, ...]) -> frozenset[ModelName]:
    return frozenset(name for lane in lanes for name in (lane.light, lane.heavy))


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

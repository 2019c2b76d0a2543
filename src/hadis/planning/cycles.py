"""The control cycle: one pure function from a snapshot to what every worker and router shall do.

The shells observe, call `run_cycle` and apply its output; the replay calls it under virtual time.
It may be called at any moment, not only every `planner.interval_s`: smoothing and patience go by
elapsed time, and a call that finds nothing new raises no version. All memory is in `CycleState`.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hadis.planning import (
    candidates,
    corrections,
    deciding,
    forecasting,
    placement,
    solving,
    summaries,
    switching,
    versioning,
)
from hadis.planning.corrections import RatioState, RouteCounts
from hadis.planning.deciding import Decision, Tenure
from hadis.planning.forecasting import DemandState, Forecast
from hadis.planning.problems import BatchPreference, Plan, PlanStatus, Problem, RowShare
from hadis.planning.snapshots import Snapshot
from hadis.terms.assignments import Assignment, Lane, RoutingTable
from hadis.terms.cascades import Cascade, PlannerMode
from hadis.terms.ids import ModelName, WorkerName
from hadis.terms.profiles import Profile

GRACE_S = 15.0
"""A worker that fell silent counts for the plan this long, where the shell does not say otherwise:
most are back by then."""
QUEUE_MEMORY_S = 15.0
"""Time over which waiting requests are averaged: Little's law speaks of averages."""
LEAST_FLOW_PER_S = 0.01
"""Fewer arrivals than this are nobody: what they wait is not known, and nothing waits."""
SCALE_MEMORY_S = 15.0
"""Time over which reported latency scales are averaged: a batch or two that took long are no reason
for another plan."""


@dataclass(frozen=True, slots=True)
class CycleState:
    """What one cycle hands to the next. Start with `CycleState()`; treat it as opaque."""

    version: int = 0
    at_s: float | None = None
    basis: tuple[object, ...] = ()
    plan: Plan | None = None
    tenure: Tenure = field(default_factory=Tenure)
    demand: DemandState = field(default_factory=DemandState)
    ratios: RatioState = field(default_factory=RatioState)
    queue: Mapping[ModelName, float] = field(default_factory=dict)
    flow_per_s: float = 0.0
    latency_scale: float | None = None
    profile: Profile | None = None
    seen_at_s: Mapping[WorkerName, float] = field(default_factory=dict)
    routing: RoutingTable | None = None
    assignments: Mapping[WorkerName, Assignment] = field(default_factory=dict)
    old_lanes: tuple[Lane, ...] = ()
    progress: float = 1.0


@dataclass(frozen=True, slots=True)
class CycleInput:
    """Everything a cycle may look at.

    `latency_scale` applies while no worker reports its own; `overhead_s` is what a request spends
    in router and HTTP, measured by the shell (default: the profile's). `swap_s` is the time that
    a worker takes to load a model. `grace_s` is for how long a worker counts that is no longer in
    the snapshot.
    """

    cascade: Cascade
    profile: Profile | None
    snapshot: Snapshot
    state: CycleState
    latency_scale: float = 1.0
    overhead_s: float | None = None
    swap_s: Mapping[ModelName, float] = field(default_factory=dict)
    grace_s: float = GRACE_S


@dataclass(frozen=True, slots=True)
class CycleOutput:
    """What the shell applies, and the state for the next cycle.

    `assignments` has an entry for every worker of the snapshot that does not drain, with the
    version at which its own content last changed; deliver it to whoever reports an older one.
    `routing` holds the ready workers only and goes to every router that reports an older version;
    `summary` is its `plan` (the keys of a plan line, and version, mode, demand): it changes from
    cycle to cycle also while the version stays, and is worth sending then too. `events` are
    sentences for people, only about what changed in this cycle.
    """

    assignments: Mapping[WorkerName, Assignment]
    routing: RoutingTable
    plan: Plan
    summary: dict[str, object]
    events: tuple[str, ...]
    state: CycleState


def run_cycle(given: CycleInput, *, clock: Callable[[], float] | None = None) -> CycleOutput:
    """Run one cycle. `clock` only times the solver, for `solve_s`.

    InvalidProfile when no row of the profile fits the cascade: the shell keeps the last output.
    """
    # 1. Observe: fold the snapshot into what is remembered.
    state = _observe(given)
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


def _observe(given: CycleInput) -> CycleState:
    """Return the state with demand, route ratios, queues and workers of the snapshot."""
    snapshot, state, settings = given.snapshot, given.state, given.cascade.planner
    routers = snapshot.routers
    demand = forecasting.observe(
        state.demand,
        snapshot.now_s,
        {router.uid: router.arrived for router in routers},
        smoothing=settings.demand_smoothing,
        interval_s=settings.interval_s,
    )
    ratios = corrections.observe(
        state.ratios,
        snapshot.now_s,
        {r.uid: RouteCounts(r.planned, r.direct, r.judged, r.escalated) for r in routers},
        _measured_mix(given),
        trusted=_ratios_are_trusted(given),
    )
    keep = _remains(state, snapshot.now_s, QUEUE_MEMORY_S)
    waiting = _waiting(snapshot)
    queue = {
        name: keep * state.queue.get(name, 0.0) + (1.0 - keep) * waiting.get(name, 0)
        for name in {*waiting, *state.queue}
    }
    # Who drains has been told to leave and gets no part in the plan.
    leaving = {w.name for w in snapshot.workers if w.draining}
    seen = {**state.seen_at_s, **{w.name: snapshot.now_s for w in snapshot.staying}}
    return replace(
        state,
        at_s=snapshot.now_s,
        demand=demand,
        ratios=ratios,
        queue=queue,
        flow_per_s=_flow_per_s(state, demand),
        latency_scale=_latency_scale(given),
        profile=given.profile,
        seen_at_s={
            name: at_s
            for name, at_s in seen.items()
            if name not in leaving and at_s >= snapshot.now_s - given.grace_s
        },
    )


def _flow_per_s(state: CycleState, demand: DemandState) -> float:
    """Return the arrivals a second, averaged over the time over which queues are averaged."""
    if not demand.samples or demand.at_s == state.demand.at_s:
        return state.flow_per_s
    newest = demand.samples[-1]
    keep = _kept(newest.duration_s, QUEUE_MEMORY_S)
    return keep * state.flow_per_s + (1.0 - keep) * newest.arrivals / newest.duration_s


def _remains(state: CycleState, now_s: float, memory_s: float) -> float:
    """Return the weight that an average over about `memory_s` has kept since the last cycle."""
    return 0.0 if state.at_s is None else _kept(now_s - state.at_s, memory_s)


def _kept(elapsed_s: float, memory_s: float) -> float:
    return math.pow(0.5, elapsed_s / (memory_s / 2))


def _latency_scale(given: CycleInput) -> float | None:
    """Return the recent mean of the workers' median scale; None while none has reported any.

    What was said of another profile's latencies tells nothing of this one's.
    """
    state, snapshot = given.state, given.snapshot
    known = state.latency_scale if state.profile == given.profile else None
    reported = [w.latency_scale for w in snapshot.workers if w.latency_scale]
    if not reported:
        return known
    fresh = statistics.median(reported)
    if known is None:
        return fresh
    return fresh + _remains(state, snapshot.now_s, SCALE_MEMORY_S) * (known - fresh)


def _measured_mix(given: CycleInput) -> tuple[RowShare, ...]:
    """Return the rows of the plan in force as the profile has them, without any correction."""
    plan = given.state.plan
    if plan is None or given.profile is None:
        return ()
    rows = {solving.lane_key(row): row for row in given.profile.rows}
    found = [
        RowShare(part.share, rows[key])
        for part in plan.mix
        if (key := solving.lane_key(part.row)) in rows
    ]
    return tuple(found) if len(found) == len(plan.mix) else ()


def _ratios_are_trusted(given: CycleInput) -> bool:
    """Whether the routers follow the plan in force, undisturbed by overload or a change."""
    state, settled_s = given.state, given.snapshot.now_s - given.state.tenure.changed_at_s
    return (
        state.plan is not None
        and state.plan.status is not PlanStatus.OVERLOAD
        and state.progress >= 1.0
        and settled_s >= given.cascade.slo_s
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


def _waiting(snapshot: Snapshot) -> dict[ModelName, int]:
    waiting: dict[ModelName, int] = {}
    for worker in snapshot.workers:
        for name, count in worker.waiting.items():
            waiting[name] = waiting.get(name, 0) + count
    return waiting


def _backlog_s(profile: Profile, snapshot: Snapshot, scale: float) -> dict[ModelName, float]:
    """Return the waiting work in worker-seconds a model, served in its best batches."""
    backlog: dict[ModelName, float] = {}
    for model in profile.models:
        waiting = _waiting(snapshot).get(model.name, 0)
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

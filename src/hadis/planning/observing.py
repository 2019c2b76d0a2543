"""Step 1 of the control cycle: fold a snapshot into what is remembered."""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import replace

from hadis.planning import corrections, forecasting, solving
from hadis.planning.corrections import RouteCounts
from hadis.planning.forecasting import DemandState
from hadis.planning.problems import PlanStatus, RowShare
from hadis.planning.snapshots import ObservedWorker
from hadis.planning.states import CycleInput, CycleState
from hadis.terms.ids import ModelName

QUEUE_MEMORY_S = 15.0
"""Time over which waiting requests are averaged: Little's law speaks of averages."""
SCALE_MEMORY_S = 15.0
"""Time over which reported latency scales are averaged: a batch or two that took long are no reason
for another plan."""


def observe(given: CycleInput) -> CycleState:
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
    now = waiting(snapshot.workers)
    queue = {
        name: keep * state.queue.get(name, 0.0) + (1.0 - keep) * now.get(name, 0)
        for name in {*now, *state.queue}
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


def waiting(workers: Iterable[ObservedWorker]) -> Mapping[ModelName, int]:
    """Return how many requests wait for each model, in all these workers together."""
    counts: dict[ModelName, int] = {}
    for worker in workers:
        for name, count in worker.waiting.items():
            counts[name] = counts.get(name, 0) + count
    return counts


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
    """Return the rows that are in force as the profile has them, without any correction."""
    plan = given.state.serving or given.state.plan
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
    state = given.state
    plan = state.serving or state.plan
    settled_s = given.snapshot.now_s - max(state.tenure.changed_at_s, state.tuned_at_s)
    return (
        plan is not None
        and plan.status is not PlanStatus.OVERLOAD
        and state.progress >= 1.0
        and settled_s >= given.cascade.slo_s
    )

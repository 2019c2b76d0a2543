"""Step 3 of the control cycle begins here: the planning problem of this moment.

Rows come with the route ratios that routers really see, latencies with the scale that workers
report, queues as a recent average, and waiting work as load. Ratios and scale move in small steps,
and not to and fro between two of them: what has hardly changed is the same problem, and the plan
cache knows its answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hadis.planning import candidates, corrections, observing
from hadis.planning.corrections import Correction
from hadis.planning.forecasting import Forecast
from hadis.planning.problems import BatchPreference, Problem, Spares
from hadis.planning.snapshots import ObservedWorker, Snapshot
from hadis.planning.states import CycleInput, CycleState, TableNow
from hadis.terms.ids import ModelName, WorkerName
from hadis.terms.profiles import Profile

DRAIN_SHARE = 2 / 3
"""Part of the SLO within which waiting work is worked off: it has to be done by then anyway."""
HORIZON_S = 60.0
HORIZON_SWAPS = 5.0
"""A plan stays about a minute, or several of its own swaps where those take long."""
LEAST_FLOW_PER_S = 0.01
"""Fewer arrivals than this are nobody: what they wait is not known, and nothing waits."""
RATIO_STEP = 0.02
"""In log odds: half a point at a ratio of a half."""
SCALE_STEP = 0.01


def table_now(given: CycleInput, state: CycleState) -> TableNow:
    """Return the rows that the cascade may use, with today's route ratios and latencies.

    As long as nothing that they follow from has changed they are the very same object: a cycle is
    spared hundreds of rows, and the plan cache knows the answer.
    """
    cascade, before = given.cascade, state.table
    broken = _broken_everywhere(given.snapshot)
    stages = (cascade.router_stage, cascade.discriminator_stage, cascade.deliver)
    source = (given.profile, cascade.models, *stages, broken)
    found = corrections.correction(state.ratios)
    last = None if before is None else before.correction
    correction = Correction(
        _stepped(found.direct, RATIO_STEP, None if last is None else last.direct),
        _stepped(found.rejected, RATIO_STEP, None if last is None else last.rejected),
    )
    measured = given.latency_scale if state.latency_scale is None else state.latency_scale
    scale = _stepped(measured, SCALE_STEP, None if before is None else before.latency_scale)
    scale = max(scale, SCALE_STEP)
    if before is not None and (before.given, last) == (source, correction):
        return replace(before, latency_scale=scale)
    usable = candidates.usable(cascade, given.profile, broken)
    return TableNow(source, correction, scale, correction.apply_all(usable))


def state_problem(
    given: CycleInput, state: CycleState, table: TableNow, forecast: Forecast
) -> Problem:
    """Return the problem without its demand: planning and holding a plan differ in that.

    `forecast` only puts the queues that were seen in proportion to the demand of now.
    """
    cascade, snapshot = given.cascade, given.snapshot
    profile, scale = table.profile, table.latency_scale
    known = {model.name for model in profile.models}
    return Problem(
        profile=profile,
        demand_per_s=0.0,
        workers=len(state.seen_at_s) or max(cascade.workers, 1),
        slo_s=max(cascade.slo_s - given.margin_s, 0.0),
        queue={n: q for n, q in _queue(state, forecast).items() if n in known},
        residual_s=_residual_s(snapshot.staying, _assigned(state, known)),
        backlog_s=_backlog_s(profile, observing.waiting(snapshot.workers), scale),
        drain_s=DRAIN_SHARE * cascade.slo_s,
        current_workers=_current_workers(state, snapshot, known) or None,
        swap_s={name: seconds for name, seconds in given.swaps_s.items() if name in known},
        swap_horizon_s=max(HORIZON_S, HORIZON_SWAPS * given.longest_swap_s),
        spares=Spares.FILL,
        max_lanes=cascade.planner.max_lanes,
        queue_safety_factor=cascade.planner.queue_safety_factor,
        latency_scale=scale,
        overhead_s=given.overhead_s,
        batch_preference=BatchPreference.HEADROOM,
    )


def as_it_is(
    problem: Problem, snapshot: Snapshot, placed: Mapping[WorkerName, ModelName | None]
) -> Problem | None:
    """Return the problem of the ready workers that have the model which they are to serve first.

    The others are on their way to another model: nobody else has to make what still waits at them.
    None while nobody is ready.
    """
    pools: dict[ModelName, int] = {}
    serving = []
    models: dict[WorkerName, ModelName] = {}
    for worker in snapshot.staying:
        model = placed.get(worker.name)
        if worker.ready and model is not None and model in worker.resident:
            pools[model] = pools.get(model, 0) + 1
            serving.append(worker)
            models[worker.name] = model
    if not serving:
        return None
    here, everywhere = observing.waiting(serving), observing.waiting(snapshot.staying)
    return replace(
        problem,
        workers=len(serving),
        pools=pools,
        queue={
            name: count * here.get(name, 0) / everywhere[name] if everywhere.get(name) else count
            for name, count in problem.queue.items()
        },
        residual_s=_residual_s(serving, models),
        backlog_s=_backlog_s(problem.profile, here, problem.latency_scale),
        current_workers=None,
        swap_s={},
    )


def _current_workers(
    state: CycleState, snapshot: Snapshot, known: set[ModelName]
) -> dict[ModelName, int]:
    """Return how many workers each model has by the last assignments, loading or not."""
    current: dict[ModelName, int] = {}
    for name in {worker.name for worker in snapshot.staying}:
        entry = state.assignments.get(name)
        if entry is not None and entry.model in known:
            current[entry.model] = current.get(entry.model, 0) + 1
    return current


def _queue(state: CycleState, forecast: Forecast) -> dict[ModelName, float]:
    """Return the queues that the forecast's demand would have at the waits that were seen.

    Little's law speaks of averages over the same time. The forecast forgets sooner than the queues:
    against its demand a queue of a minute ago would be an endless wait once the load is gone.
    """
    if state.flow_per_s < LEAST_FLOW_PER_S:
        return {}
    seen = forecast.mean_per_s / state.flow_per_s
    return {name: seen * count for name, count in state.queue.items()}


def _assigned(state: CycleState, known: set[ModelName]) -> dict[WorkerName, ModelName]:
    """Return the model that each worker was last told to serve."""
    return {
        name: entry.model
        for name, entry in state.assignments.items()
        if entry.model is not None and entry.model in known
    }


def _residual_s(
    workers: Iterable[ObservedWorker], models: Mapping[WorkerName, ModelName]
) -> dict[ModelName, float]:
    """Return how long the running batches of each model keep its first free worker busy."""
    residual: dict[ModelName, float] = {}
    for worker in workers:
        model = models.get(worker.name)
        if worker.ready and model is not None:
            residual[model] = min(residual.get(model, worker.residual_s), worker.residual_s)
    return {name: seconds for name, seconds in residual.items() if seconds > 0.0}


def _backlog_s(
    profile: Profile, counts: Mapping[ModelName, int], scale: float
) -> dict[ModelName, float]:
    """Return the waiting work in worker-seconds a model, served in its best batches."""
    backlog: dict[ModelName, float] = {}
    for model in profile.models:
        if counts.get(model.name, 0):
            image_s = min(seconds / size for size, seconds in model.latency_s.items())
            backlog[model.name] = counts[model.name] * image_s * scale
    return backlog


def _broken_everywhere(snapshot: Snapshot) -> frozenset[ModelName]:
    if not snapshot.workers:
        return frozenset()
    return frozenset.intersection(*(worker.broken for worker in snapshot.workers))


def _stepped(value: float, step: float, last: float | None) -> float:
    """Return a whole number of steps: the last one while it is less than a step away."""
    if last is not None and abs(value - last) < step:
        return last
    return round(value / step) * step

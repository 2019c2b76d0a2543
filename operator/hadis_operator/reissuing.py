"""The plan on record issued again to those who are there, while no plan can be made.

A profile may go, or stop making sense, while its cascade serves. Lanes and thresholds stay what
they were then; slots that come and go must be told and named all the same.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from hadis.planning import summaries
from hadis.planning.cycles import CycleState
from hadis.planning.snapshots import ObservedWorker, Snapshot
from hadis.terms.assignments import Assignment, Lane, Role, RoutingTable, WorkerRef
from hadis.terms.ids import ModelName, WorkerName


@dataclass(frozen=True, slots=True)
class Reissue:
    """What workers and routers shall have, with the figures that routers show to people."""

    assignments: Mapping[WorkerName, Assignment]
    routing: RoutingTable
    summary: dict[str, object]


def reissue(
    state: CycleState,
    snapshot: Snapshot,
    models: Collection[ModelName],
    known: Mapping[str, object],
) -> Reissue | None:
    """Return the state's plan over the workers of a snapshot, above every version if it changes.

    None when there is none, or none of these `models`. `known` is the summary that routers have.
    """
    last = state.routing
    if last is None or not _models(last.lanes) <= set(models):
        return None
    is_overtaken = snapshot.highest_version > state.version
    version = max(state.version, snapshot.highest_version) + 1
    staying = sorted(snapshot.staying, key=lambda worker: worker.name)
    assignments = {
        name: part
        if not is_overtaken and part == state.assignments.get(name)
        else replace(part, version=version)
        for name, part in _parts(state, last.lanes, staying).items()
    }
    refs = tuple(
        WorkerRef(worker.name, worker.address, worker.uid, assignments[worker.name].model)
        for worker in staying
        if worker.ready and worker.address
    )
    routing = RoutingTable(version, last.lanes, refs)
    is_same = all(part.version < version for part in assignments.values())
    if is_same and not is_overtaken and replace(routing, version=last.version) == last:
        routing = last
    return Reissue(assignments, routing, _summary(known, routing, assignments))


def _models(lanes: Collection[Lane]) -> set[ModelName]:
    return {name for lane in lanes for name in (lane.light, lane.heavy)}


def _parts(
    state: CycleState, lanes: Collection[Lane], staying: Collection[ObservedWorker]
) -> dict[WorkerName, Assignment]:
    """Return each worker's part: what it had, else that of the model with the fewest workers.

    A model that has lost all of its workers gets one of those that have most. A lane may well name
    one that the plan gave none.
    """
    known = {w.name: state.assignments[w.name] for w in staying if w.name in state.assignments}
    held = Counter(part.model for part in known.values())
    planned = {part.model for part in state.assignments.values() if part.role is not Role.IDLE}
    wanted = sorted(_models(lanes) & planned or _models(lanes))
    found: dict[WorkerName, Assignment] = dict(known)
    for worker in staying:
        if worker.name not in found:
            model = min(wanted, key=lambda name: held[name])
            found[worker.name] = _part(state, lanes, model)
            held[model] += 1
    for model in wanted:
        most = max(held, key=lambda name: held[name], default=None)
        if not held[model] and held[most] > 1:
            giver = max(name for name, part in found.items() if part.model == most)
            found[giver] = _part(state, lanes, model)
            held.update({model: 1, most: -1})
    return found


def _part(state: CycleState, lanes: Collection[Lane], model: ModelName) -> Assignment:
    """Return what a worker of a model is told, as others of the model were."""
    for part in state.assignments.values():
        if part.model == model and part.role is not Role.IDLE:
            return part
    light = [lane for lane in lanes if lane.light == model]
    if light:
        return Assignment(0, model, Role.LIGHT, 1, light[0].quality_threshold)
    return Assignment(0, model, Role.HEAVY, 1)


def _summary(
    known: Mapping[str, object],
    routing: RoutingTable,
    assignments: Mapping[WorkerName, Assignment],
) -> dict[str, object]:
    """Return the figures that still hold: what was expected of the plan stays as it was told."""
    main = max(routing.lanes, key=lambda lane: lane.share)
    parts = [part for part in assignments.values() if part.role is not Role.IDLE]
    return {
        "light": main.light,
        "heavy": main.heavy,
        "lanes": [summaries.lane_line(lane) for lane in routing.lanes],
        "batch": {part.model: part.batch_size for part in parts},
        "because": "no plan can be made; the last one goes on",
        **known,
        "version": routing.version,
        "workers": dict(Counter(str(part.model) for part in parts)),
    }

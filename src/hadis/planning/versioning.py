"""Assignments and routing table with versions that only rise, and only for what changed.

Readers ignore whatever is older than what they have. A slot's assignment keeps the version at which
its own content last changed; the routing table carries the newest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hadis.planning.problems import Plan
from hadis.planning.snapshots import ObservedWorker, Snapshot
from hadis.terms.assignments import Assignment, Lane, Role, RoutingTable, WorkerRef
from hadis.terms.ids import ModelName, WorkerName


@dataclass(frozen=True, slots=True)
class Issued:
    """What was last told to workers and routers; `routing` is None before the first time."""

    version: int
    assignments: Mapping[WorkerName, Assignment]
    routing: RoutingTable | None


@dataclass(frozen=True, slots=True)
class Issue:
    """What workers and routers shall have now, and the version in force."""

    version: int
    assignments: dict[WorkerName, Assignment]
    routing: RoutingTable


def issue(
    last: Issued,
    snapshot: Snapshot,
    plans: Sequence[Plan],
    placed: Mapping[WorkerName, ModelName | None],
    lanes: Sequence[Lane],
) -> Issue:
    """Return assignments and routing; only what differs from `last` gets a new version.

    A worker's part is that of its model in the first of `plans` that uses it: what the ready
    workers serve comes before what others still load for.

    When somebody reports a higher version than ours another controller was at work: everything is
    issued again above it.
    """
    overtaken = snapshot.highest_version > last.version
    version = max(last.version, snapshot.highest_version) + 1
    assignments: dict[WorkerName, Assignment] = {}
    for worker in snapshot.staying:
        fresh = _assignment(version, placed.get(worker.name), plans)
        before = last.assignments.get(worker.name)
        if (
            before is not None
            and not overtaken
            and replace(fresh, version=before.version) == before
        ):
            fresh = before
        assignments[worker.name] = fresh
    refs = tuple(
        _ref(w, placed.get(w.name))
        for w in sorted(snapshot.staying, key=lambda w: w.name)
        if w.ready and w.address
    )
    routing = RoutingTable(version, tuple(lanes), refs)
    moved = overtaken or any(entry.version == version for entry in assignments.values())
    old = last.routing
    if old is not None and not moved and replace(routing, version=old.version) == old:
        return Issue(old.version, assignments, old)
    return Issue(version, assignments, routing)


def _ref(worker: ObservedWorker, model: ModelName | None) -> WorkerRef:
    arrives_in_s = 0.0 if model is None else worker.arriving_s.get(model, 0.0)
    return WorkerRef(worker.name, worker.address, worker.uid, model, arrives_in_s)


def _assignment(version: int, model: ModelName | None, plans: Sequence[Plan]) -> Assignment:
    plan = next((plan for plan in plans if model in plan.workers), None)
    if model is None or plan is None:
        return Assignment(version, model, Role.IDLE, 1)
    light = [lane for lane in plan.lanes if lane.light == model]
    role = Role.LIGHT if light else Role.HEAVY
    threshold = light[0].quality_threshold if light else None
    return Assignment(version, model, role, plan.batch[model], threshold)

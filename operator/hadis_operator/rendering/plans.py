"""The plan's ConfigMap: all that a router or worker needs to start while the operator is away.

It changes with the cascade and with the plan, not with the load: what is measured is delivered, not
written. Routers and workers look up latencies only, so the profile's thousands of rows, which might
not fit into one object, stay behind; one is kept because a profile without any is none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hadis.terms.assignments import Assignment, RoutingTable
from hadis.terms.cascades import Cascade
from hadis.terms.ids import WorkerName
from hadis.terms.profiles import Profile
from hadis.wire import manifests
from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis_operator import naming, objects
from hadis_operator.objects import Component, Manifest, Owner
from hadis_operator.rendering import weights

CASCADE_KEY = "cascade.json"
ROUTING_KEY = "routing.json"
ASSIGNMENTS_KEY = "assignments.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What is in force: not always what the author said last.

    `models_hash` names the set of models that workers wait for: `weights.models_hash`. `profile`
    is None when the cascade has no valid one, `routing` before the first plan.
    """

    cascade: Cascade
    models_hash: str
    profile: Profile | None = None
    routing: RoutingTable | None = None
    assignments: Mapping[WorkerName, Assignment] = field(default_factory=dict)


def render(owner: Owner, record: Record) -> Manifest:
    """Return the ConfigMap that routers and workers mount."""
    data = {
        CASCADE_KEY: _json(cascade_document(record.cascade, record.profile)),
        weights.HASH_FILE: record.models_hash,
    }
    if record.routing is not None:
        table = RoutingTableBody.from_terms(record.routing).model_dump(mode="json")
        # The summary tells measurements, and would change with each of them.
        del table["plan"]
        data[ROUTING_KEY] = _json(table)
        data[ASSIGNMENTS_KEY] = _json(
            {
                name: AssignmentBody.from_terms(assignment).model_dump(mode="json")
                for name, assignment in record.assignments.items()
            }
        )
    return objects.build(owner, "v1", "ConfigMap", naming.plan(owner), Component.PLAN, data=data)


def cascade_document(cascade: Cascade, profile: Profile | None) -> dict[str, Any]:
    """Return what `PUT /cascade` and `--cascade` read, without the rows that only plans need."""
    lean = None if profile is None else replace(profile, rows=profile.rows[:1], grid=())
    return manifests.dump_objects(cascade, lean)


def read_versions(live: Manifest) -> list[int]:
    """Return every version that a live ConfigMap records; unreadable ones count for nothing.

    A new leader goes on above the highest.
    """
    data = live.get("data") or {}
    routing, assignments = _parsed(data.get(ROUTING_KEY)), _parsed(data.get(ASSIGNMENTS_KEY))
    found = [routing, *assignments.values()]
    return [
        body["version"]
        for body in found
        if isinstance(body, dict) and isinstance(body.get("version"), int)
    ]


def _parsed(text: object) -> dict[str, Any]:
    try:
        value = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)

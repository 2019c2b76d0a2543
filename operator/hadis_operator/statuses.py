"""The status of a HadisCascade, and whether it says anything new.

The plan in it belongs to its version: figures that move with every measurement (utilisation, slack,
the time of the solver) are told as they were when the version was made, and live in the metrics.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hadis.planning.cycles import CycleOutput
from hadis.terms.assignments import Lane, Role, RoutingTable
from hadis_operator import conditions, naming, objects
from hadis_operator.conditions import Condition
from hadis_operator.objects import Component, Manifest
from hadis_operator.reading import Given
from hadis_operator.reissuing import Reissue

MAX_REASON_CHARS = 1024


@dataclass(frozen=True, slots=True)
class WorkerCounts:
    """The pool as it is."""

    total: int
    ready: int
    updated: int


def compose(
    given: Given,
    live: Mapping[str, Any],
    derived: Sequence[Condition],
    counts: WorkerCounts,
    issued: CycleOutput | Reissue | None,
    *,
    now: str,
) -> Manifest:
    """Return the whole status; `live` is the one that the cascade has.

    Without a plan of this operator the one that the status tells is kept: it is still in force.
    """
    owner = given.owner
    status: Manifest = {
        "observedGeneration": given.generation,
        "endpoint": _endpoint(given),
        "models": [model.name for model in given.cascade.models],
        "workers": {
            "total": counts.total,
            "ready": counts.ready,
            "updated": counts.updated,
            "selector": objects.selector_text(owner, Component.WORKER),
        },
        "conditions": conditions.merge(
            live.get("conditions") or (), derived, given.generation, now
        ),
    }
    plan = plan_of(live.get("plan"), issued)
    if plan:
        status["plan"] = plan
    return status


def unreadable(live: Mapping[str, Any], why: str, generation: int, *, now: str) -> Manifest:
    """Return the status of a cascade that this version cannot read; the rest of it stays."""
    message = (
        "this version of the operator cannot read the cascade and leaves everything as it is; "
        f"upgrade it, or correct the cascade: {why}"
    )[: conditions.MAX_MESSAGE_CHARS]
    ready = Condition("Ready", conditions.FALSE, "ProfileInvalid", message)
    known = live.get("conditions") or ()
    [merged] = conditions.merge(known, [ready], generation, now)
    others = [dict(one) for one in known if one.get("type") != ready.type]
    return {**live, "observedGeneration": generation, "conditions": [merged, *others]}


def plan_of(live: Mapping[str, Any] | None, issued: CycleOutput | Reissue | None) -> Manifest:
    """Return the status' plan, the live one as long as its version stands."""
    known = dict(live or {})
    if issued is None or known.get("version") == issued.routing.version:
        return known
    if isinstance(issued, Reissue):
        return {**known, **_issued(issued.routing), "batch": _batch(issued)}
    summary = issued.summary
    quality = summary.get("quality")
    plan: Manifest = {
        **_issued(issued.routing),
        "batch": dict(issued.plan.batch),
        "reasons": _reasons(summary),
    }
    if isinstance(quality, Mapping):
        told = {name: value for name, value in quality.items() if value is not None}
        if told:
            plan["quality"] = told
    return plan


def is_news(live: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Return whether a status differs from the one that the cascade has."""
    return bool(_plain(live) != _plain(status))


def manifest(name: str, namespace: str, status: Manifest) -> Manifest:
    """Return what is applied to the subresource `status` of a cascade."""
    return {
        "apiVersion": objects.API_VERSION,
        "kind": objects.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "status": status,
    }


def _endpoint(given: Given) -> str:
    owner = given.owner
    port = (given.spec["router"].get("service") or {}).get("port", 80)
    suffix = "" if port == 80 else f":{port}"
    return f"http://{naming.router_service(owner)}.{owner.namespace}.svc{suffix}/v1"


def _issued(routing: RoutingTable) -> Manifest:
    main = max(routing.lanes, key=lambda lane: lane.share)
    return {
        "version": routing.version,
        "light": main.light,
        "heavy": main.heavy,
        **_thresholds(main),
        "lanes": [_lane(lane) for lane in routing.lanes],
    }


def _batch(issued: Reissue) -> dict[str, int]:
    parts = issued.assignments.values()
    return {str(part.model): part.batch_size for part in parts if part.role is not Role.IDLE}


def _lane(lane: Lane) -> Manifest:
    return {
        "share": lane.share,
        "light": lane.light,
        "heavy": lane.heavy,
        **_thresholds(lane),
    }


def _thresholds(lane: Lane) -> Manifest:
    """Return the thresholds of stages that are on; an infinite one is a stage that is off."""
    found = {
        "hardnessThreshold": lane.hardness_threshold,
        "qualityThreshold": lane.quality_threshold,
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _reasons(summary: Mapping[str, object]) -> dict[str, str]:
    """Return the reasons by subject, as text: the API keeps no numbers here."""
    given = summary.get("reasons")
    found = dict(given) if isinstance(given, Mapping) else {}
    found["because"] = summary.get("because")
    found["status"] = summary.get("status")
    workers = summary.get("workers")
    if isinstance(workers, Mapping):
        found["workers"] = ", ".join(f"{count} x {name}" for name, count in sorted(workers.items()))
    return {
        str(name): _text(value)[:MAX_REASON_CHARS]
        for name, value in sorted(found.items())
        if value not in (None, [], {}, "")
    }


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    return json.dumps(value, sort_keys=True)


def _plain(value: Any) -> Any:
    """Return a value as JSON would give it back, so that tuples and lists compare equal."""
    return json.loads(json.dumps(value, sort_keys=True))

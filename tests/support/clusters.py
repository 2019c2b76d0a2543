"""Pods, statuses and cascades as a cluster has them, for tests of the operator."""

import copy
import datetime
from typing import Any

from hadis.terms.profiles import Profile
from hadis.wire import profiles
from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis.wire.reports import DemandCounts, ModelState, RouterStatus, WorkerStatus
from hadis_operator import kube, objects, reading
from hadis_operator.kube import Kind
from hadis_operator.objects import Component, Manifest
from hadis_operator.reading import Given
from hadis_operator.slots import Pod
from hadis_operator.storing import Store
from support import rendered

PAIR: Manifest = {
    "models": [
        {"name": "tiny", "source": {"path": "models/tiny"}, "steps": 2, "size": "64x64"},
        {"name": "big", "source": {"path": "models/big"}, "steps": 8, "size": "64x64"},
    ],
    "profile": {"name": "pair"},
}
ROWS: list[Manifest] = [
    {
        "light": "tiny",
        "heavy": "big",
        "hardnessThreshold": threshold,
        "directRatio": direct,
        "routeRatio": {"light": 1 - direct, "heavy": direct},
        "measured": {"fulfilment": quality},
    }
    for threshold, direct, quality in ((2.0, 0.0, 0.5), (0.5, 0.5, 0.7), (-1.0, 1.0, 0.9))
]


def a_live_cascade(*changes: tuple[str, Any], **metadata: Any) -> Manifest:
    """A cascade as the API stores it; `pair` of two models unless changed."""
    live = rendered.a_manifest(
        *((name, copy.deepcopy(value)) for name, value in PAIR.items()), *changes
    )
    owner = rendered.an_owner()
    live["metadata"] = {
        "name": owner.name,
        "namespace": owner.namespace,
        "uid": owner.uid,
        "generation": 3,
        "resourceVersion": "10",
        **metadata,
    }
    return live


def a_live_profile(*, rows: list[Manifest] | None = None, **spec: Any) -> Manifest:
    return {
        "apiVersion": profiles.API_VERSION,
        "kind": profiles.KIND,
        "metadata": {
            "name": "pair",
            "namespace": rendered.an_owner().namespace,
            "uid": "profile-uid",
            "generation": 1,
            "resourceVersion": "5",
        },
        "spec": {
            "quality": {"metric": "fulfilment", "direction": "higher"},
            "models": [
                {"name": name, "latencies": [{"batch": 1, "seconds": seconds}]}
                for name, seconds in (("tiny", 0.1), ("big", 0.5))
            ],
            "rows": copy.deepcopy(ROWS if rows is None else rows),
            **spec,
        },
    }


def a_given(*changes: tuple[str, Any], profile: Manifest | None = None, **metadata: Any) -> Given:
    return reading.read(
        a_live_cascade(*changes, **metadata), a_live_profile() if profile is None else profile
    )


def a_profile() -> Profile:
    return profiles.read_spec(a_live_profile()["spec"], name="pair", source="a test")


def now() -> str:
    """This second as the API writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def a_live_pod(
    name: str,
    *,
    component: Component = Component.WORKER,
    slot: str = "",
    ready: bool = True,
    address: str = "127.0.0.1",
    started: str = "",
    **status: Any,
) -> Manifest:
    """A pod of the cascade, running since now or `started`; `status` replaces such fields."""
    owner = rendered.an_owner()
    started = started or now()
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "creationTimestamp": "2030-01-01T00:00:00Z",
            "labels": objects.labels(owner, component, slot or None),
        },
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "podIP": address,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [
                {"restartCount": 0, "state": {"running": {"startedAt": started}}}
            ],
            **status,
        },
    }


def a_pod(name: str, **fields: Any) -> Pod:
    return Pod.from_live(a_live_pod(name, **fields))


def a_worker_status(slot: str, **changes: Any) -> WorkerStatus:
    """A worker that has both models in memory and no assignment yet."""
    return WorkerStatus.model_validate(
        {
            "name": slot,
            "uid": f"uid-{slot}",
            "cascade": "photos",
            "hardware": "NVIDIA L40S",
            "software": "hadis",
            "generation": 3,
            "ready": True,
            "models": {name: ModelState(resident=True) for name in ("tiny", "big")},
            **changes,
        }
    )


def a_router_status(name: str = "router", **changes: Any) -> RouterStatus:
    demand = changes.pop("demand", {})
    return RouterStatus.model_validate(
        {
            "name": name,
            "uid": f"uid-{name}",
            "cascade": "photos",
            "generation": 3,
            "ready": True,
            "demand": DemandCounts(**demand),
            **changes,
        }
    )


def an_assignment(version: int, model: str = "tiny", **changes: Any) -> AssignmentBody:
    return AssignmentBody.model_validate(
        {"version": version, "model": model, "role": "light", "batch_size": 1, **changes}
    )


def a_table(version: int, **changes: Any) -> RoutingTableBody:
    return RoutingTableBody.model_validate(
        {
            "version": version,
            "lanes": [
                {
                    "share": 1.0,
                    "light": "tiny",
                    "heavy": "big",
                    "hardness_threshold": 0.5,
                    "quality_threshold": None,
                }
            ],
            "workers": [],
            **changes,
        }
    )


def a_store(*live: Manifest) -> Store:
    store = Store()
    for one in live:
        kind: Kind = kube.kind_of(one)
        store.put(kind, one)
    return store

"""What the API server and `hadis up` refuse, what is taken, and what stands in the way."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cluster.lab.cascades import NO_GPU, Cascade, scenes_documents
from cluster.lab.clusters import Cluster
from cluster.lab.commands import Refused
from cluster.lab.figures import Figures
from cluster.lab.releases import Release
from cluster.lab.waiting import until
from hadis import resources
from hadis.wire import structural
from hadis_operator import kube

NAMESPACE = "manifests"
PLURALS = {"HadisCascade": "hadiscascades", "HadisProfile": "hadisprofiles"}
ROWS = 4096
PINNED = {"light": "scenes-xs", "heavy": "huge", "hardnessThreshold": 1, "qualityThreshold": 0}
CLAIM = {"storage": "1Gi", "accessModes": ["ReadWriteOnce"]}
CACHE = "spec.workers.template.modelCache"
OFFLINE = {
    **scenes_documents()[0]["spec"],
    "weights": "Offline",
    "models": [{"name": "scenes-xs", "source": {"repository": "a/b", "revision": "main"}}],
}
INVALID: list[tuple[str, Any, str]] = [
    # (path to what is changed, its new value or None to drop it, the field that is named)
    ("metadata.name", "scenes-" + "x" * 40, "metadata.name"),
    ("metadata.name", "9lives", "metadata.name"),
    ("spec.slo", None, "spec.slo"),
    ("spec.slo.latency", "10", "spec.slo.latency"),
    ("spec.slo.latency", "500ms", "spec.slo.latency"),
    ("spec.slo.latency", 10, "spec.slo.latency"),
    ("spec.weights", "Sometimes", "spec.weights"),
    ("spec", OFFLINE, "spec.models"),
    ("spec.models", [], "spec.models"),
    ("spec.models.0.steps", 0, "spec.models[0].steps"),
    ("spec.models.0.steps", 2.5, "spec.models[0].steps"),
    ("spec.models.0.stpes", 4, "spec.models[0].stpes"),
    ("spec.models.0.size", "65x64", "spec.models[0].size"),
    ("spec.models.0.guidance", -1, "spec.models[0].guidance"),
    ("spec.models.0.dtype", "int8", "spec.models[0].dtype"),
    ("spec.models.0.source", {}, "spec.models[0].source"),
    ("spec.models.0.source", {"path": ""}, "spec.models[0].source.path"),
    ("spec.models.0.source.repository", "a/b", "spec.models[0].source"),
    ("spec.models.0.source.revision", "main", "spec.models[0].source"),
    ("spec.models.1.name", "scenes-xs", "spec.models[1]"),
    ("spec.profile", None, "spec.profile"),
    ("spec.discriminator", None, "spec.discriminator"),
    ("spec.discriminator.kind", "magic", "spec.discriminator.kind"),
    ("spec.stages.router", True, "spec.stages.router"),
    ("spec.escalation.deliver", "Best", "spec.escalation.deliver"),
    ("spec.workers.count", 513, "spec.workers.count"),
    ("spec.workers.maxUnavailable", 0, "spec.workers.maxUnavailable"),
    ("spec.workers.template", {"startupTimeout": "9s"}, "spec.workers.template.startupTimeout"),
    ("spec.workers.template", {"modelCache": {}}, CACHE),
    (
        "spec.workers.template",
        {"modelCache": {"claimTemplate": CLAIM}},
        f"{CACHE}.claimTemplate.accessModes",
    ),
    ("spec.router", {"replicas": 0}, "spec.router.replicas"),
    ("spec.router", {"limits": {"maxInFlight": 0}}, "spec.router.limits.maxInFlight"),
    ("spec.planner", {"mode": "Pinned"}, "spec.planner.pinned"),
    ("spec.planner", {"mode": "Pinned", "pinned": PINNED}, "spec.planner.pinned"),
    ("spec.planner", {"interval": "0s"}, "spec.planner.interval"),
    ("spec.planner", {"maxLanes": 3}, "spec.planner.maxLanes"),
    ("spec.planner", {"demandSmoothing": 0}, "spec.planner.demandSmoothing"),
    ("spec.hardness", {"weights": {"charm": 1}}, "spec.hardness.weights.charm"),
    ("spec.workers.count", "two", "spec.workers.count"),
    ("spec.stages.router", "enabled", "spec.stages.router"),
    ("spec.workers.template", {"sharedMemory": True}, "spec.workers.template.sharedMemory"),
    ("spec.workers.template", {"sharedMemory": "1" * 65}, "spec.workers.template.sharedMemory"),
    (
        "spec.workers.template",
        {"nodeSelector": {f"label-{number}": "x" for number in range(33)}},
        "spec.workers.template.nodeSelector",
    ),
    (
        "spec.models",
        [{"name": f"m{number}", "source": {"path": "."}} for number in range(17)],
        "spec.models",
    ),
    ("spec.metrics", {"prometheus": {"url": "prom:9090"}}, "spec.metrics.prometheus.url"),
]
INVALID_PROFILES: list[tuple[str, Any, str]] = [
    ("spec.quality.metric", "fid", "spec.rows"),
    ("spec.rows.0.light", "nobody", "spec.rows"),
    ("spec.models.0.latencies.1.seconds", 0.001, "spec.models[0].latencies"),
    ("spec.models.0.latencies.0.seconds", 0, "spec.models[0].latencies[0].seconds"),
    ("spec.rows.0.directRatio", 1.5, "spec.rows[0].directRatio"),
    ("spec.rows.0.measured", {}, "spec.rows[0].measured"),
    ("spec.hardware", "", "spec.hardware"),
]


@pytest.fixture(scope="module")
def namespace(installed: Release) -> Iterator[str]:
    installed.cluster.make_namespace(NAMESPACE)
    yield NAMESPACE
    installed.cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    node: Any = changed
    *way, last = path.split(".")
    for key in way:
        node = node[int(key)] if key.isdigit() else node.setdefault(key, {})
    if value is None:
        del node[last]
    else:
        node[last] = value
    return changed


@pytest.mark.parametrize(("path", "value", "want_field"), INVALID)
def test_an_invalid_cascade_is_refused_by_the_field(
    cluster: Cluster, namespace: str, path: str, value: Any, want_field: str
) -> None:
    _assert_refused(cluster, _changed(scenes_documents()[0], path, value), want_field)


@pytest.mark.parametrize(("path", "value", "want_field"), INVALID_PROFILES)
def test_an_invalid_profile_is_refused_by_the_field(
    cluster: Cluster, namespace: str, path: str, value: Any, want_field: str
) -> None:
    _assert_refused(cluster, _changed(scenes_documents()[1], path, value), want_field)


def _assert_refused(cluster: Cluster, document: dict[str, Any], want_field: str) -> None:
    with pytest.raises(Refused) as refused:
        cluster.kubectl(
            *("create", "--dry-run=server", "--validate=strict", "-n", NAMESPACE, "-f", "-"),
            stdin=json.dumps(document),
        )
    said = str(refused.value)
    assert want_field in said
    # `hadis up` says the same, in the same words.
    _, problems = structural.admit(resources.schema(PLURALS[document["kind"]]), document)
    assert problems
    for problem in problems:
        assert problem.path in said
        assert problem.message in said


def test_the_unchanged_manifests_are_taken(cluster: Cluster, namespace: str) -> None:
    told = cluster.kubectl(
        *("create", "--dry-run=server", "--validate=strict", "-n", NAMESPACE, "-f", "-"),
        stdin=yaml.safe_dump_all(scenes_documents()),
    )
    assert told.text.count("created") == 2


def test_a_profile_of_4096_rows_is_taken_and_planned_with(
    cluster: Cluster, namespace: str, figures: Figures
) -> None:
    cascade, profile = scenes_documents(workers={"count": 1, "template": _waiting()})
    profile["spec"]["rows"] = _many(profile["spec"]["rows"])
    cluster.kubectl(
        *("apply", "--server-side", "-n", NAMESPACE, "-f", "-"),
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [profile, cascade]}),
    )
    kept = cluster.api.get(kube.PROFILES, NAMESPACE, "scenes")
    assert kept is not None
    assert len(kept["spec"]["rows"]) == ROWS
    planned = Cascade(cluster, NAMESPACE)
    until("a plan is made from 4,096 rows", lambda: planned.version >= 1, 60)
    assert planned.reason("ProfileValid") == "Valid"
    planned.delete()


def _many(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return as many rows as a profile may have, each a little different."""
    draws = random.Random(1)
    found = []
    for index in range(ROWS):
        row = copy.deepcopy(rows[index % len(rows)])
        row["measured"] = {
            name: round(value * draws.uniform(0.9, 1.0), 6)
            for name, value in row["measured"].items()
        }
        found.append(row)
    return found


def _waiting() -> dict[str, Any]:
    """Return a template whose pods find no node: what is tested here needs no worker."""
    return {"resources": NO_GPU, "nodeSelector": {"nowhere": "true"}}


def test_a_service_in_the_way_is_left_alone_and_told_of(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "service", "clusterip", "taken", "--tcp=1234", "-n", NAMESPACE)
    before = cluster.api.get(kube.SERVICES, NAMESPACE, "taken")
    cascade, _ = scenes_documents(workers={"count": 1, "template": _waiting()})
    cascade["metadata"]["name"] = "taken"
    cluster.apply(cascade, namespace=NAMESPACE)
    blocked = Cascade(cluster, NAMESPACE, "taken")
    until("the name is told to be taken", lambda: blocked.reason("Ready") == "NameTaken", 30)
    assert "Service taken" in blocked.condition("Ready")["message"]
    assert cluster.api.get(kube.SERVICES, NAMESPACE, "taken") == before
    cluster.kubectl("delete", "service", "taken", "-n", NAMESPACE)
    until("it takes its name", lambda: cluster.api.get(kube.SERVICES, NAMESPACE, "taken"), 60)
    blocked.delete()

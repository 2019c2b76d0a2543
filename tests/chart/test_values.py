"""Values: each is commented and in the schema, and wrong ones are refused by name."""

import json
import re
from collections.abc import Iterator

import pytest

from support import charts
from support.charts import Manifest

SCHEMA = json.loads((charts.CHART / "values.schema.json").read_text(encoding="utf-8"))
ROUTE = {"cascade": "scenes", "namespace": "images", "host": "a.example.com", "timeoutSeconds": 70}
REFUSED: dict[str, tuple[Manifest, str]] = {
    "text for a number": ({"operator": {"replicas": "two"}}, "/operator/replicas"),
    "too many operators": ({"operator": {"replicas": 9}}, "/operator/replicas"),
    "a level that is none": ({"operator": {"logLevel": "LOUD"}}, "/operator/logLevel"),
    "text for a list": ({"watchNamespaces": "images"}, "/watchNamespaces"),
    "a namespace with a capital": ({"watchNamespaces": ["Images"]}, "/watchNamespaces/0"),
    "a namespace twice": ({"watchNamespaces": ["images", "images"]}, "/watchNamespaces"),
    "text for true": ({"crds": {"install": "yes"}}, "/crds/install"),
    "a typing error": ({"crds": {"instal": True}}, "'instal'"),
    "an unknown value": ({"replicaCount": 2}, "'replicaCount'"),
    "an image as text": ({"images": {"worker": "hadis/worker:1"}}, "/images/worker"),
    "a number as a tag": ({"images": {"worker": {"tag": 1.0}}}, "/images/worker/tag"),
    "an empty repository": (
        {"images": {"router": {"repository": ""}}},
        "/router/repository",
    ),
    "a tag with a blank": ({"images": {"router": {"tag": "a b"}}}, "/images/router/tag"),
    "a policy that is none": (
        {"images": {"router": {"pullPolicy": "Sometimes"}}},
        "/images/router/pullPolicy",
    ),
    "secrets as objects": ({"imagePullSecrets": [{"name": "x"}]}, "/imagePullSecrets/0"),
    "a URL without a scheme": (
        {"monitoring": {"prometheus": {"url": "prometheus:9090"}}},
        "/monitoring/prometheus/url",
    ),
    "an interval without a unit": (
        {"monitoring": {"podMonitor": {"interval": "5"}}},
        "/monitoring/podMonitor/interval",
    ),
    "a number as a label": (
        {"dashboards": {"labels": {"grafana_dashboard": 1}}},
        "/labels/grafana_dashboard",
    ),
    "a peer that is text": (
        {"networkPolicy": {"monitoring": {"from": ["10.0.0.0/8"]}}},
        "/monitoring/from/0",
    ),
    "an empty peer": (
        {"networkPolicy": {"router": {"from": [{}]}}},
        "/networkPolicy/router/from/0",
    ),
    "a port that is none": (
        {"networkPolicy": {"apiServer": {"ports": [0]}}},
        "/networkPolicy/apiServer/ports/0",
    ),
    "no port at all": (
        {"networkPolicy": {"apiServer": {"ports": []}}},
        "/networkPolicy/apiServer/ports",
    ),
    "an address without a length": (
        {"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}},
        "/apiServer/cidrs/0",
    ),
    "a toleration with a typing error": (
        {"defaults": {"worker": {"tolerations": [{"ky": "gpu"}]}}},
        "'ky'",
    ),
    "a claim of a pod, which no cascade can name": (
        {"defaults": {"router": {"resources": {"claims": [{"name": "gpu"}]}}}},
        "/defaults/router/resources",
    ),
    "a list of resources": (
        {"defaults": {"worker": {"resources": ["gpu"]}}},
        "/defaults/worker/resources",
    ),
    "a quantity in another unit": (
        {"defaults": {"worker": {"resources": {"limits": {"memory": "48GB"}}}}},
        "/worker/resources/limits/memory",
    ),
    "a number as a node label": (
        {"defaults": {"worker": {"nodeSelector": {"gpus": 8}}}},
        "/worker/nodeSelector/gpus",
    ),
    "a token as text": ({"huggingFace": {"tokenSecret": "hf_x"}}, "/huggingFace/tokenSecret"),
    "a route without a timeout": (
        {"ingress": {"routes": [{k: v for k, v in ROUTE.items() if k != "timeoutSeconds"}]}},
        "timeoutSeconds",
    ),
    "a timeout with a unit": (
        {"httpRoute": {"routes": [{**ROUTE, "timeoutSeconds": "70s"}]}},
        "/httpRoute/routes/0/timeoutSeconds",
    ),
    "an override of nothing": (
        {"monitoring": {"rules": {"overrides": {"HadisPlanStale": {"four": "1m"}}}}},
        "'four'",
    ),
    # Beyond the schema: well-formed, but it cannot work.
    "an ingress without routes": ({"ingress": {"enabled": True}}, "ingress.routes"),
    "a route without a gateway": (
        {"httpRoute": {"enabled": True, "routes": [ROUTE]}},
        "httpRoute.parentRefs",
    ),
    "a cascade with two ingresses": (
        {"ingress": {"enabled": True, "routes": [ROUTE, {**ROUTE, "host": "b.example.com"}]}},
        "ingress.routes has images/scenes twice",
    ),
    "a cascade with two routes": (
        {
            "httpRoute": {
                "enabled": True,
                "parentRefs": [{"name": "gateway"}],
                "routes": [ROUTE, {**ROUTE, "namespace": "lab"}, ROUTE],
            }
        },
        "httpRoute.routes has images/scenes twice",
    ),
    "an account without a name": ({"serviceAccount": {"create": False}}, "serviceAccount.name"),
    "an alert that is none": (
        {"monitoring": {"rules": {"enabled": True, "disabled": ["HadisFoo"]}}},
        "HadisFoo",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_values_are_refused_by_name(name: str) -> None:
    values, want = REFUSED[name]
    with pytest.raises(charts.Refused) as refusal:
        charts.render(values)
    assert want in str(refusal.value)


def test_every_value_of_another_type_is_refused_by_name() -> None:
    paths = [path for path, node in _schema_leaves(SCHEMA, "") if "type" in node]
    values: Manifest = {}
    for path in paths:
        *parents, last = path.split(".")
        at = values
        for key in parents:
            at = at.setdefault(key, {})
        # A number is no text, and text is none of the other types.
        at[last] = 7 if _schema_at(path)["type"] == "string" else "wrong"
    with pytest.raises(charts.Refused) as refusal:
        charts.render(values)
    told = str(refusal.value)
    unseen = [path for path in paths if f"'/{path.replace('.', '/')}'" not in told]
    assert len(paths) > 60
    assert unseen == []


def test_every_value_has_a_comment() -> None:
    lines = (charts.CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    commented = {path for path, previous in _keys(lines) if previous.lstrip().startswith("#")}
    missing = {path for path, _ in _leaves(charts.chart_values(), "")} - commented
    assert not missing


def test_the_schema_knows_exactly_the_values_there_are() -> None:
    values = charts.chart_values()
    for path, value in _leaves(values, ""):
        node = _schema(path)
        assert node is not None, path
        assert "properties" not in node or value == {} or path in _documented_whole(), path
    for path in _schema_objects(SCHEMA, ""):
        node = _schema(path) if path else SCHEMA
        assert node is not None
        assert node["additionalProperties"] is False, path


def _documented_whole() -> set[str]:
    return {"operator.resources", "defaults.router.resources"}


def _leaves(values: Manifest, prefix: str) -> Iterator[tuple[str, object]]:
    """Return each value that has a comment of its own: objects of settings go on, data ends."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        node = _schema(path)
        goes_on = node is not None and "properties" in node and path not in _documented_whole()
        if isinstance(value, dict) and value and goes_on:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _schema(path: str) -> Manifest | None:
    node: Manifest | None = SCHEMA
    for key in path.split("."):
        node = (node or {}).get("properties", {}).get(key)
    return node


def _schema_at(path: str) -> Manifest:
    node = _schema(path)
    assert node is not None
    return node


def _schema_leaves(node: Manifest, path: str) -> Iterator[tuple[str, Manifest]]:
    """Return each value of the schema that is no group of others."""
    for key, child in node["properties"].items():
        below = f"{path}.{key}" if path else key
        if "properties" in child:
            yield from _schema_leaves(child, below)
        else:
            yield below, child


def _schema_objects(node: Manifest, path: str) -> Iterator[str]:
    if "properties" in node:
        yield path
        for key, child in node["properties"].items():
            yield from _schema_objects(child, f"{path}.{key}" if path else key)


def _keys(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Return the path of each key in values.yaml with the line above it."""
    stack: list[tuple[int, str]] = []
    previous = ""
    for line in lines:
        found = re.match(r"( *)([A-Za-z]+):", line)
        if found:
            depth = len(found[1])
            stack = [entry for entry in stack if entry[0] < depth]
            stack.append((depth, found[2]))
            yield ".".join(key for _, key in stack), previous
        previous = line

"""The Python counterparts of the CRDs' rules agree with the rules themselves, evaluated as CEL."""

from collections.abc import Iterator
from typing import Any

import celpy
import pytest
import yaml
from celpy import celtypes

from hadis import resources
from hadis.wire import rules, structural
from support import cascade_folders

GOOD_CASCADE, GOOD_PROFILE = yaml.safe_load_all(cascade_folders.manifest(workers=2))
COMMIT = "0123456789" * 4
PINNED = {"light": "small", "heavy": "large", "hardnessThreshold": 1, "qualityThreshold": 0}
CLAIM = {"storage": "1Gi", "accessModes": ["ReadWriteOnce"]}
CASCADES: list[dict[str, Any]] = [
    {},
    {"metadata": {"name": "x" * 41}},
    {"metadata": {"name": "9lives"}},
    {"slo": {"latency": "500ms"}},
    {"slo": {"latency": "1h"}},
    {"slo": {"latency": "1h1s"}},
    {"profile": None},
    {"discriminator": None},
    {"discriminator": None, "stages": {"discriminator": "Disabled"}},
    {"weights": "Offline"},
    {"weights": "Offline", "discriminator": {"kind": "clip", "source": {"repository": "a/b"}}},
    {
        "weights": "Offline",
        "discriminator": {"kind": "clip", "source": {"repository": "a/b", "revision": COMMIT}},
    },
    {"models": [{"name": "a", "source": {"repository": "a/b"}, "steps": 1, "size": "64x64"}]},
    {
        "weights": "Offline",
        "models": [
            {
                "name": "a",
                "source": {"repository": "a/b", "revision": revision},
                "steps": 1,
                "size": "8192x8",
            }
            for revision in (COMMIT, "main")
        ],
    },
    {"models": [{"name": "a", "source": {}, "steps": 1, "size": "8200x8"}]},
    {
        "models": [
            {"name": "a", "source": {"path": "p", "revision": "r"}, "steps": 1, "size": "9x8"}
        ]
    },
    {"planner": {"mode": "Pinned"}},
    {"planner": {"mode": "Pinned", "pinned": PINNED}},
    {"planner": {"pinned": {**PINNED, "heavy": "huge"}}},
    {"planner": {"demandSmoothing": 0}},
    {"planner": {"interval": "999ms"}},
    {"planner": {"interval": "10m1s"}},
    {"workers": {"count": 1, "template": {"modelCache": {"claimTemplate": CLAIM}}}},
    {"workers": {"count": 2, "template": {"modelCache": {"claimTemplate": CLAIM}}}},
    {"workers": {"count": 2, "template": {"modelCache": {"claimName": "c", "emptyDir": {}}}}},
    {"workers": {"template": {"modelCache": {}, "startupTimeout": "9s"}}},
    {"workers": {"template": {"startupTimeout": "6h", "terminationGracePeriod": "7h"}}},
    {"workers": {"template": {"terminationGracePeriod": "6h"}}},
]
PROFILES: list[dict[str, Any]] = [
    {},
    {"quality": {"metric": "fid", "direction": "lower"}},
    {"models": [{"name": "small", "latencies": [{"batch": 2, "seconds": 0.1}]}]},
    {"models": [{"name": "small", "latencies": [{"batch": 1, "seconds": 0}]}]},
    {
        "models": [
            {
                "name": "small",
                "latencies": [{"batch": 1, "seconds": 2}, {"batch": 2, "seconds": 1}],
            }
        ]
    },
]
ENVIRONMENT = celpy.Environment()


def a_document(good: dict[str, Any], changes: dict[str, Any], plural: str) -> dict[str, Any]:
    """A manifest with top fields of its spec replaced, as the API server would default it."""
    spec = {**good["spec"], **{key: v for key, v in changes.items() if key != "metadata"}}
    spec = {key: value for key, value in spec.items() if value is not None}
    metadata = {**good["metadata"], **changes.get("metadata", {})}
    document = {**good, "metadata": metadata, "spec": spec}
    admitted, _ = structural.admit(resources.schema(plural), document)
    return dict(admitted)


def ruled(schema: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every rule that applies somewhere in a value, with its schema and what it applies to."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"]:
            yield rule["rule"], schema, value
    if isinstance(value, dict):
        for name, below in value.items():
            inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            yield from ruled(inner or {}, below)
    elif isinstance(value, list):
        for below in value:
            yield from ruled(schema["items"], below)


def as_cel(schema: Any, value: Any) -> Any:
    """A value typed by its schema, as the API server does it: `1` in a number field is a double."""
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        other = schema.get("additionalProperties") or {}
        return celtypes.MapType(
            {celtypes.StringType(k): as_cel(inner.get(k, other), v) for k, v in value.items()}
        )
    if isinstance(value, list):
        return celtypes.ListType([as_cel(schema.get("items", {}), v) for v in value])
    if schema.get("type") == "number":
        return celtypes.DoubleType(value)
    return celpy.json_to_cel(value)


def split(text: str, separator: str) -> Any:
    """Kubernetes' own addition to CEL."""
    return celpy.json_to_cel(text.split(separator))


def holds_in_cel(rule: str, schema: Any, value: Any) -> bool:
    program = ENVIRONMENT.program(ENVIRONMENT.compile(rule), functions={"split": split})
    return bool(program.evaluate({"self": as_cel(schema, value)}))


DOCUMENTS = [
    *(("hadiscascades", GOOD_CASCADE, changes) for changes in CASCADES),
    *(("hadisprofiles", GOOD_PROFILE, changes) for changes in PROFILES),
]


@pytest.mark.parametrize(("plural", "good", "changes"), DOCUMENTS)
def test_the_counterparts_agree_with_the_rules(
    plural: str, good: dict[str, Any], changes: dict[str, Any]
) -> None:
    document = a_document(good, changes, plural)
    for rule, schema, value in ruled(resources.schema(plural), document):
        assert rules.holds(rule, value) is holds_in_cel(rule, schema, value), (rule, value)


def test_the_documents_keep_and_break_every_rule() -> None:
    seen: dict[str, set[bool]] = {}
    for plural, good, changes in DOCUMENTS:
        for rule, _, value in ruled(resources.schema(plural), a_document(good, changes, plural)):
            seen.setdefault(" ".join(rule.split()), set()).add(rules.holds(rule, value))
    assert {rule for rule, ends in seen.items() if ends == {True, False}} == set(rules.PREDICATES)

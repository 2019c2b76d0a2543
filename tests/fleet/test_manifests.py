"""Manifests are read by the CRDs' own schema: every fault is told with its field and the fix."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hadis import resources
from hadis.errors import InvalidManifest
from hadis.terms.cascades import OnOverload, PlannerMode
from hadis.terms.profiles import Deliver
from hadis.wire import documents, durations, manifests, rules, structural
from support import cascade_folders

GOOD = cascade_folders.manifest(workers=2)


def a_manifest(*changes: tuple[str, Any], drop: str | None = None) -> str:
    """GOOD with fields set by path (list members by index) and one removed, as YAML."""
    parsed = list(yaml.safe_load_all(GOOD))
    for path, value in changes:
        node, *keys = parsed[0], *path.split(".")
        for key in keys[:-1]:
            node = node[int(key)] if key.isdigit() else node.setdefault(key, {})
        node[int(keys[-1]) if keys[-1].isdigit() else keys[-1]] = value
    if drop is not None:
        node, *keys = parsed[0], *drop.split(".")
        for key in keys[:-1]:
            node = node[int(key)] if key.isdigit() else node[key]
        del node[keys[-1]]
    return yaml.safe_dump_all(parsed)


TEMPLATE = "spec.workers.template"
CACHE = f"{TEMPLATE}.modelCache"
INVALID = [
    # (what is changed, what is dropped, the field that is named, a part of what is said)
    ([("spec.slo.latency", "10")], None, "spec.slo.latency", "e.g. 10s"),
    ([("spec.slo.latency", 10)], None, "spec.slo.latency", "must be of type string"),
    ([("spec.slo.latency", "2h")], None, "spec.slo.latency", "from 1s to 1h"),
    ([], "spec.slo", "spec.slo", "Required value"),
    ([], "spec.models", "spec.models", "Required value"),
    ([("spec.models", [])], None, "spec.models", "should have at least 1 items"),
    ([("spec.models", {})], None, "spec.models", 'must be of type array: "object"'),
    ([("spec.models.0.steps", 0)], None, "spec.models[0].steps", "greater than or equal to 1"),
    ([("spec.models.0.steps", 2.5)], None, "spec.models[0].steps", "must be of type int32"),
    ([("spec.models.0.steps", "4")], None, "spec.models[0].steps", "must be of type integer"),
    ([("spec.models.1.steps", 1001)], None, "spec.models[1].steps", "less than or equal to 1000"),
    ([("spec.models.1.stpes", 4)], None, "spec.models[1].stpes", "unknown field"),
    (
        [("spec.models.1.name", "small")],
        None,
        "spec.models[1]",
        'Duplicate value: {"name":"small"}',
    ),
    ([("spec.models.0.name", "No Spaces")], None, "spec.models[0].name", "should match"),
    ([("spec.models.0.size", "64")], None, "spec.models[0].size", "should match"),
    ([("spec.models.0.size", "65x64")], None, "spec.models[0].size", "multiples of 8"),
    (
        [("spec.models.0.guidance", -1)],
        None,
        "spec.models[0].guidance",
        "greater than or equal to 0",
    ),
    (
        [("spec.models.0.guidance", float("nan"))],
        None,
        "spec.models[0].guidance",
        "must be of type number",
    ),
    ([("spec.models.0.dtype", "int8")], None, "spec.models[0].dtype", '"float32", "float16"'),
    (
        [("spec.models.0.source.repository", "a/b")],
        None,
        "spec.models[0].source",
        "exactly one of path and repository",
    ),
    ([("spec.models.0.source", {})], None, "spec.models[0].source", "exactly one of"),
    (
        [("spec.models.0.source.revision", "main")],
        None,
        "spec.models[0].source",
        "belongs to a repository",
    ),
    ([("spec.models.0.pipeline", "a.b")], None, "spec.models[0].pipeline", "should match"),
    ([], "spec.profile", "spec.profile", "hadis profile --cascade FILE --update"),
    ([], "spec.discriminator", "spec.discriminator", "is required while"),
    (
        [("spec.discriminator.kind", "magic")],
        None,
        "spec.discriminator.kind",
        'supported values: "matching"',
    ),
    ([("spec.stages.router", True)], None, "spec.stages.router", "must be of type string"),
    ([("spec.escalation.deliver", "Best")], None, "spec.escalation.deliver", '"Heavy", "Better"'),
    ([("spec.hardness.weights.charm", 1)], None, "spec.hardness.weights.charm", "unknown field"),
    ([("spec.workers.count", 513)], None, "spec.workers.count", "less than or equal to 512"),
    ([("spec.workers.count", -1)], None, "spec.workers.count", "greater than or equal to 0"),
    ([("spec.planner.mode", "Pinned")], None, "spec.planner.pinned", "is required while"),
    ([("spec.planner.interval", "0s")], None, "spec.planner.interval", "from 1s to 10m"),
    ([("spec.planner.demandSmoothing", 0)], None, "spec.planner.demandSmoothing", "at least 0.01"),
    ([("spec.planner.maxLanes", 3)], None, "spec.planner.maxLanes", "less than or equal to 2"),
    ([("spec.planner.onOverload", "Panic")], None, "spec.planner.onOverload", '"Degrade", "Shed"'),
    (
        [("spec.router.limits.maxInFlight", 0)],
        None,
        "spec.router.limits.maxInFlight",
        "greater than or equal",
    ),
    ([(CACHE, {})], None, CACHE, "exactly one of claimName, claimTemplate and emptyDir"),
    (
        [(CACHE, {"claimTemplate": {"storage": "1Gi", "accessModes": ["ReadWriteOnce"]}})],
        None,
        f"{CACHE}.claimTemplate.accessModes",
        "needs accessModes with ReadWriteMany",
    ),
    (
        [(f"{TEMPLATE}.resources", {"limits": {"memory": "48GB"}})],
        None,
        f"{TEMPLATE}.resources.limits.memory",
        "(A quantity, e.g. 4 or 16Gi)",
    ),
    ([(f"{TEMPLATE}.sharedMemory", "8 Gi")], None, f"{TEMPLATE}.sharedMemory", "e.g. 8Gi"),
    (
        [(CACHE, {"emptyDir": {"sizeLimit": "1" * 65}})],
        None,
        f"{CACHE}.emptyDir.sizeLimit",
        "may not be more than 64 bytes",
    ),
    ([("metadata.name", "Scenes")], None, "", "metadata.name must be at most 40 characters"),
    ([("metadata.name", 7)], None, "metadata.name", "must be text"),
    ([("kind", "Cascade")], None, "kind", "HadisCascade or HadisProfile"),
    ([("apiVersion", "hadis.dev/v9")], None, "apiVersion", "must be hadis.dev/v1alpha1"),
    ([("spec.profile.name", "other")], None, "spec.profile.name", "is 'other'"),
    ([("spec.models.1.name", "huge")], None, "spec.models[1].name", "is not in the HadisProfile"),
]


@pytest.mark.parametrize(("changes", "drop", "want_field", "want_words"), INVALID)
def test_an_invalid_manifest_is_refused_naming_the_field_and_the_fix(
    changes: list[tuple[str, Any]], drop: str | None, want_field: str, want_words: str
) -> None:
    with pytest.raises(InvalidManifest) as caught:
        manifests.read_manifests(a_manifest(*changes, drop=drop), source="cascade.yaml")
    message = str(caught.value)
    assert message.startswith("cascade.yaml: ")
    assert want_field in message
    assert want_words in message
    assert (caught.value.field or "") == want_field


def test_all_faults_are_told_at_once() -> None:
    text = a_manifest(("spec.models.0.steps", 0), ("spec.models.1.size", "1"), ("spec.slo", {}))
    with pytest.raises(InvalidManifest, match="3 faults") as caught:
        manifests.read_manifests(text, source="f")
    for want_field in ("spec.models[0].steps", "spec.models[1].size", "spec.slo.latency"):
        assert want_field in str(caught.value)


def test_a_manifest_becomes_terms_with_the_schemas_defaults() -> None:
    read = manifests.read_manifests(GOOD, source="f")
    cascade = read.cascade
    assert (cascade.name, cascade.slo_s, cascade.workers) == ("tiny", 20.0, 2)
    assert cascade.deliver is Deliver.BETTER
    assert cascade.planner.mode is PlannerMode.AUTO
    assert cascade.planner.on_overload is OnOverload.DEGRADE
    assert (cascade.planner.interval_s, cascade.planner.max_lanes) == (5.0, 2)
    assert (cascade.limits.max_in_flight, cascade.limits.max_images_per_request) == (512, 10)
    assert cascade.models[0].guidance == 0.0
    assert read.profile is not None
    assert read.profile.latency_of(cascade.models[1].name) == {1: 0.2, 4: 0.4}


def test_what_is_written_reads_back_equal() -> None:
    read = manifests.read_manifests(GOOD, source="f")
    cascade = replace(read.cascade, slo_s=1.5, hardness_weights={"object_count": -0.25})
    again = manifests.read_manifests(manifests.dump_manifests(cascade, read.profile), source="g")
    assert (again.cascade, again.profile) == (cascade, read.profile)


def of_a_later_version() -> dict[str, Any]:
    """What a controller tells that knows more fields than this version."""
    read = manifests.read_manifests(GOOD, source="f")
    told = manifests.dump_objects(read.cascade, read.profile)
    told["cascade"]["spec"]["novelty"] = {"depth": 3}
    told["cascade"]["spec"]["models"][1]["quantization"] = "int8"
    told["profile"]["spec"]["rows"][0]["doubt"] = 0.1
    told["signature"] = "x"
    return told


def test_what_a_later_controller_tells_is_read_without_what_is_not_known() -> None:
    read = manifests.read_manifests(GOOD, source="f")
    told = manifests.read_told(json.dumps(of_a_later_version()), source="g")
    assert (told.cascade, told.profile) == (read.cascade, read.profile)
    assert told.unknown == (
        "signature",
        "cascade.spec.models[1].quantization",
        "cascade.spec.novelty",
        "profile.spec.rows[0].doubt",
    )
    same = manifests.read_told(manifests.dump_manifests(read.cascade, read.profile), source="g")
    assert (same.cascade, same.unknown) == (read.cascade, ())


def test_what_is_told_is_refused_for_anything_but_unknown_fields() -> None:
    told = of_a_later_version()
    told["cascade"]["spec"]["models"][0]["steps"] = 0
    with pytest.raises(
        InvalidManifest, match=r"steps in body should be greater than or equal to 1"
    ):
        manifests.read_told(json.dumps(told), source="g")
    for text in ("[]", "{", '{"cascade": 1}', '{"cascade": null}'):
        with pytest.raises(InvalidManifest):
            manifests.read_told(text, source="g")


def test_an_authors_manifests_are_read_strictly_by_everyone() -> None:
    typo = a_manifest(("spec.models.1.stpes", 4))
    told = json.dumps(of_a_later_version()["cascade"])
    for read in (manifests.read_manifests, manifests.read_told):
        for text in (typo, told):
            with pytest.raises(InvalidManifest, match="unknown field"):
                read(text, source="f")
    later = of_a_later_version()
    del later["signature"]
    with pytest.raises(InvalidManifest, match="unknown field"):
        manifests.read_manifests(json.dumps(later), source="f")


def test_relative_folders_start_at_the_manifest() -> None:
    cascade = manifests.read_manifests(GOOD, source="f").cascade
    resolved = manifests.resolve_paths(cascade, Path("/srv/cascade"))
    assert resolved.models[0].source.path == "/srv/cascade/weights"
    assert resolved.discriminator is not None
    assert resolved.discriminator.source.path == "/srv/cascade/clip"
    assert manifests.resolve_paths(resolved, Path("/elsewhere")) == resolved


def test_fields_for_clusters_are_told_apart() -> None:
    text = a_manifest(("spec.workers.maxUnavailable", 2), ("spec.metrics.source", "Direct"))
    read = manifests.read_manifests(text, source="f")
    assert read.cluster_only == ("spec.workers.maxUnavailable", "spec.metrics")


@pytest.mark.parametrize(
    ("text", "want_words"),
    [
        ("a: [", "f:2:1: not valid YAML"),
        ("kind: A\nkind: B", "f:2:1: not valid YAML: the key 'kind' is given twice"),
        ("", "a HadisCascade is required"),
        ("[]", "a manifest is an object"),
        ("a: &x [*x]", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("{", "not valid YAML"),
        (GOOD + "---\n" + GOOD, "a second HadisCascade"),
    ],
)
def test_text_that_is_no_manifest_is_refused(text: str, want_words: str) -> None:
    with pytest.raises(InvalidManifest) as caught:
        manifests.read_manifests(text, source="f")
    assert want_words in str(caught.value)


def test_yaml_is_read_as_the_api_server_reads_it() -> None:
    text = "a: 1e-3\nb: 2024-01-01\nc: 12:30\nd: 1_000"
    want_document = {"a": 0.001, "b": "2024-01-01", "c": "12:30", "d": "1_000"}
    assert documents.parse(text, source="f") == [want_document]


@pytest.mark.parametrize(
    ("text", "want_s"), [("10s", 10.0), ("1m30s", 90.0), ("500ms", 0.5), ("1.5h", 5400.0)]
)
def test_durations_are_read_and_written(text: str, want_s: float) -> None:
    assert durations.seconds(text) == want_s
    assert durations.seconds(durations.text(want_s)) == want_s


PLURALS = ["hadiscascades", "hadisprofiles"]
KNOWN_KEYWORDS = {
    "additionalProperties", "default", "description", "enum", "format", "items", "maxItems",
    "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum",
    "nullable", "pattern", "properties", "required", "type", "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys", "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
}  # fmt: skip


def schemas_below(schema: Any, path: str) -> list[tuple[str, Any]]:
    found = [(path, schema)]
    for name, below in schema.get("properties", {}).items():
        found += schemas_below(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            found += schemas_below(schema[key], f"{path}[]")
    return found


@pytest.mark.parametrize("plural", PLURALS)
def test_every_property_of_the_crds_says_what_it_means(plural: str) -> None:
    for path, schema in schemas_below(resources.schema(plural), ""):
        assert path == ".metadata" or len(schema["description"]) > 8, path
        assert set(schema) <= KNOWN_KEYWORDS, path


@pytest.mark.parametrize("plural", PLURALS)
def test_lists_strings_and_maps_of_the_specs_are_bounded(plural: str) -> None:
    spec = resources.schema(plural)["properties"]["spec"]
    for path, schema in schemas_below(spec, "spec"):
        if schema.get("type") == "array":
            assert "maxItems" in schema, path
        if schema.get("type") == "string":
            assert "maxLength" in schema or "enum" in schema, path
        if schema.get("x-kubernetes-int-or-string"):
            assert {"maxLength", "pattern"} <= schema.keys(), path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path


def test_every_rule_of_the_crds_has_its_counterpart_and_none_is_left_over() -> None:
    found = {
        " ".join(rule["rule"].split())
        for plural in PLURALS
        for _, schema in schemas_below(resources.schema(plural), "")
        for rule in schema.get("x-kubernetes-validations", ())
        if "oldSelf" not in rule["rule"]
    }
    assert found == set(rules.PREDICATES)


@pytest.mark.parametrize(("changes", "drop"), [(case[0], case[1]) for case in INVALID])
def test_the_schema_walk_refuses_whatever_jsonschema_refuses(
    changes: list[tuple[str, Any]], drop: str | None
) -> None:
    document = next(iter(yaml.safe_load_all(a_manifest(*changes, drop=drop))))
    schema = resources.schema("hadiscascades")
    refused = list(jsonschema.Draft7Validator(closed(schema)).iter_errors(document))
    _, problems = structural.admit(schema, document)
    if refused:
        assert problems


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as plain JSON Schema, with unknown fields refused."""
    below = dict(schema)
    if "properties" in below:
        below["properties"] = {name: closed(s) for name, s in below["properties"].items()}
        below.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(below.get(key), dict):
            below[key] = closed(below[key])
    return below

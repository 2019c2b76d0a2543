"""Profile files and HadisProfile resources: read, written, refused."""

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest
import yaml

from hadis.errors import InvalidProfile
from hadis.profiling import files
from hadis.terms.profiles import Deliver
from support.profiles import a_scenes_profile

PROFILE = a_scenes_profile()


def a_document() -> dict[str, Any]:
    return {
        "name": "x",
        "quality": {"metric": "fid", "direction": "lower"},
        "models": [
            {"name": "small", "latency_s": {"1": 0.5, "2": 0.7}},
            {"name": "large", "latency_s": {"1": 2.0}},
        ],
        "rows": [
            {
                "light": "small",
                "heavy": "large",
                "hardness_threshold": 0.5,
                "quality_threshold": 0.4,
                "direct_ratio": 0.2,
                "route_ratio": {"light": 0.8, "heavy": 0.5},
                "fid": 21.5,
            }
        ],
    }


def the_schema() -> dict[str, Any]:
    text = resources.files("hadis.profiling").joinpath(files.SCHEMA_FILE).read_text()
    schema: dict[str, Any] = json.loads(text)
    return schema


def test_a_profile_reads_back_equal_from_json_yaml_and_a_resource() -> None:
    text = files.write_profile(PROFILE)
    assert files.read_profile(text, "p.json") == PROFILE
    assert files.read_profile(yaml.safe_dump(json.loads(text)), "p.yaml") == PROFILE
    manifest = files.write_manifest(PROFILE)
    assert files.read_profile(manifest, "p.yaml") == PROFILE
    assert files.read_profile(f"kind: HadisCascade\n---\n{manifest}", "c.yaml") == PROFILE


def test_written_files_follow_the_schema_that_ships() -> None:
    validator = jsonschema.Draft202012Validator(the_schema())
    validator.validate(json.loads(files.write_profile(PROFILE)))
    validator.validate(a_document())
    broken = a_document()
    broken["rows"][0]["route_ratio"]["light"] = 1.2
    assert not validator.is_valid(broken)


def test_what_is_left_out_has_a_meaning() -> None:
    document = a_document()
    row = document["rows"][0]
    del row["hardness_threshold"], row["quality_threshold"], row["direct_ratio"]
    profile = files.read_profile(json.dumps(document), "p.json")
    assert profile.rows[0].hardness_threshold == float("inf")
    assert profile.rows[0].quality_threshold == float("-inf")
    assert profile.rows[0].direct_ratio == pytest.approx(0.2)
    assert profile.deliver is Deliver.HEAVY
    assert profile.scoring_latency_s == {}


def changed(path: str, value: Any) -> str:
    """The document with one field replaced, or removed for a value of `...`."""
    document = a_document()
    keys = [int(key) if key.isdigit() else key for key in path.split(".")]
    place: Any = document
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "want"),
    [
        ("rows.0.heavy", "medium", r"p\.json: rows\[0\]\.heavy: medium has no latencies"),
        ("models.0.latency_s", {"1": 0.5, "2": 0.4}, r"models\[0\]\.latency_s\.2: a batch of 2"),
        ("rows.0.route_ratio.heavy", 1.5, r"rows\[0\]\.route_ratio\.heavy: 1\.5 is outside"),
        ("rows.0.route_ratio.heavy", 0.1, r"route_ratio\.heavy: 0\.1 is below direct_ratio"),
        ("rows.0.direct_ratio", 0.9, r"direct_ratio: 0\.9 and route_ratio\.light"),
        ("rows.0.fid", float("nan"), r"rows\[0\]\.fid: nan is not finite"),
        ("rows.0.fid", ..., r"rows\[0\]\.fid: is missing"),
        ("rows.0.hardness_threshold", "high", r"hardness_threshold: 'high' is no number"),
        ("rows.0.quality_threshold", float("inf"), r"quality_threshold: inf is not finite"),
        ("rows", [], r"rows: is empty"),
        ("models", {}, r"models: is no list"),
        ("models.1.name", "small", r"models\[1\]\.name: small is listed twice"),
        ("models.0.latency_s", {"0": 1.0}, r"latency_s\.0: is no batch size"),
        ("models.0.latency_s", {"1": -1.0}, r"latency_s\.1: -1 s is no latency"),
        ("quality.direction", "up", r"quality\.direction: up is unknown; use lower or higher"),
        ("name", ..., r"name: is missing"),
        ("notes", "text", r"notes: is no object"),
    ],
)
def test_a_wrong_field_is_named(path: str, value: Any, want: str) -> None:
    with pytest.raises(InvalidProfile, match=want):
        files.read_profile(changed(path, value), "p.json")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ('{"name": ', r"p: line 1, column \d+"),
        ("a: [1, 2", r"p: line \d+"),
        ("", "the file is empty"),
        ("[1, 2]", "is no object"),
        ("kind: HadisCascade", "HadisCascade is no profile"),
        ("kind: HadisProfile\nmetadata: [name]", "metadata: is no mapping"),
    ],
)
def test_a_text_that_is_no_profile_is_refused_in_one_line(text: str, want: str) -> None:
    with pytest.raises(InvalidProfile, match=want) as caught:
        files.read_profile(text, "p")
    assert "\n" not in str(caught.value)

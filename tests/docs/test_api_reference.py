"""The API reference is what the definitions say, and they say what every field means."""

import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GENERATOR = runpy.run_path(str(ROOT / "scripts" / "api_reference.py"))
PAGE = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
CRDS = sorted((ROOT / "crds").glob("*.yaml"))


def _schema(file: Path) -> tuple[str, Mapping[str, Any]]:
    definition = yaml.safe_load(file.read_text(encoding="utf-8"))
    (version,) = definition["spec"]["versions"]
    return definition["spec"]["names"]["kind"], version["schema"]["openAPIV3Schema"]


def _nodes(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(f"{path}.{name}", child)
    if "items" in schema:
        yield from _nodes(f"{path}[]", schema["items"])
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _nodes(f"{path}.*", schema["additionalProperties"])


def _all() -> list[tuple[str, Mapping[str, Any]]]:
    return [node for file in CRDS for node in _nodes(*_schema(file))]


def test_the_committed_page_is_the_generated_one() -> None:
    assert GENERATOR["page"](GENERATOR["definitions"]()) == PAGE, "run make docs"


@pytest.mark.parametrize("file", CRDS, ids=lambda file: file.stem)
def test_every_field_has_a_description(file: Path) -> None:
    kind, schema = _schema(file)
    # The API server lets nobody say anything about metadata: it has its own words.
    nodes = [(path, node) for path, node in _nodes(kind, schema) if path != f"{kind}.metadata"]
    assert len(nodes) > 20
    assert [path for path, node in nodes if not node.get("description", "").endswith(".")] == []


@pytest.mark.parametrize("file", CRDS, ids=lambda file: file.stem)
def test_every_column_has_a_description(file: Path) -> None:
    (version,) = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["versions"]
    columns = version["additionalPrinterColumns"]
    assert [one["name"] for one in columns if not one.get("description", "").endswith(".")] == []


def test_every_object_has_a_section_with_a_row_for_each_field() -> None:
    parts = [part.partition("\n") for part in PAGE.split("\n### ")[1:]]
    sections = {heading: body for heading, _, body in parts}
    objects = {
        path: node
        for path, node in _all()
        if "properties" in node and "." in path  # what is above them is in every object alike
    }
    assert set(sections) == set(objects)
    for path, node in objects.items():
        for name in node["properties"]:
            assert f"`{name}`" in sections[path], f"{path}.{name}"


def test_every_rule_is_told_in_words() -> None:
    rules = [rule for _, node in _all() for rule in node.get("x-kubernetes-validations", ())]
    assert len(rules) > 15
    assert [rule["message"] for rule in rules if rule["message"] not in PAGE] == []


def test_every_default_and_bound_is_on_the_page() -> None:
    """Of a few fields, so that the generator cannot leave a kind of bound out unseen."""
    for row in (
        "| **`steps`** | integer |  | 1 to 1000 |",
        "| `dtype` | text | `float32` | `float32`, `float16`, `bfloat16` |",
        "| `guidance` | number | `0` | 0 to 100 |",
        "| `count` | integer | `1` | 0 to 512 |",
        "| `accessModes` | list of text | `[ReadWriteMany]` | 1 to 4 entries; no two alike; each `",
        "| **`storage`** | quantity |",
        "| `affinity` | any object |",
        "`^([0-9]+(\\.[0-9]+)?(ms\\|s\\|m\\|h))+$`; must be from 1s to 1h |",
        "one an entry's `name`",
        "may be null",
    ):
        assert row in PAGE

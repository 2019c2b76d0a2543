"""Write docs/reference/api.md from crds/: `python scripts/api_reference.py [--check]`.

One table an object, with the rules that cross its fields in the words that the API server answers
with. Pure but for `main`: a change of the definitions is the only thing that changes the page.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"

Schema = Mapping[str, Any]

HEAD = """# API reference

<!-- Written by scripts/api_reference.py from crds/. Change the definitions, then run it again. -->

What `kubectl apply` and `hadis up` take and what the status tells, field by field; `kubectl
explain` has the same words. A field in bold is required. What breaks a bound or a rule is refused,
with the field's name. Quantities and durations are written as elsewhere in Kubernetes: 16Gi, 500m,
1m30s.
"""


def page(definitions: Sequence[Schema]) -> str:
    """Return the whole page."""
    sections = [section for definition in definitions for section in _kind(definition)]
    return "\n".join([HEAD, *sections])


def definitions() -> list[Schema]:
    """Return the definitions in the order of their files."""
    files = sorted((ROOT / "crds").glob("*.yaml"))
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]


def _kind(definition: Schema) -> Iterator[str]:
    names = definition["spec"]["names"]
    for version in definition["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        kind = names["kind"]
        group = f"{definition['spec']['group']}/{version['name']}"
        short = ", ".join(f"`{name}`" for name in names.get("shortNames", ()))
        yield f"## {kind}\n\n`{group}`, short name {short}. {_words(schema)}\n"
        yield from _rules(schema)
        yield _columns(version)
        for name in ("spec", "status"):
            if name in schema["properties"]:
                yield from _object(f"{kind}.{name}", schema["properties"][name])


def _columns(version: Schema) -> str:
    rows = [
        f"| {column['name']} | `{column['jsonPath'].removeprefix('.')}` | {_words(column)} |"
        for column in version["additionalPrinterColumns"]
    ]
    head = "`kubectl get` shows:\n\n| column | from | meaning |\n|---|---|---|"
    return "\n".join([head, *rows]) + "\n"


def _object(path: str, schema: Schema) -> Iterator[str]:
    """Yield the section of an object, then those of the objects inside it."""
    required = schema.get("required", ())
    rows = [
        _row(path, name, child, required=name in required)
        for name, child in schema["properties"].items()
    ]
    yield f"### {path}\n\n{_words(schema)}\n"
    head = "| field | type | default | bounds | meaning |\n|---|---|---|---|---|"
    yield "\n".join([head, *rows]) + "\n"
    yield from _rules(schema)
    for name, child in schema["properties"].items():
        for below, inner in _inside(f"{path}.{name}", child):
            yield from _object(below, inner)


def _inside(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the object that a field is or holds, with its path."""
    if "properties" in schema:
        yield path, schema
    elif "items" in schema:
        yield from _inside(f"{path}[]", schema["items"])
    elif isinstance(schema.get("additionalProperties"), Mapping):
        yield from _inside(f"{path}.*", schema["additionalProperties"])


def _row(path: str, name: str, schema: Schema, *, required: bool) -> str:
    shown = f"**`{name}`**" if required else f"`{name}`"
    cells = (
        shown,
        _type(f"{path}.{name}", schema),
        _default(schema),
        "; ".join(_bounds(schema)),
        _meaning(schema),
    )
    return f"| {' | '.join(cells)} |"


def _type(path: str, schema: Schema) -> str:
    if "properties" in schema:
        return f"[object](#{anchor(path)})"
    if "items" in schema:
        return f"list of {_type(f'{path}[]', schema['items'])}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"map to {_type(f'{path}.*', schema['additionalProperties'])}"
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return "any object"
    known = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
    return known[schema["type"]]


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets on the page."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return ""
    text: str = yaml.safe_dump(schema["default"], default_flow_style=True, width=10_000)
    return f"`{text.strip().removesuffix('...').strip()}`"


def _bounds(schema: Schema) -> Iterator[str]:
    if "enum" in schema:
        yield ", ".join(f"`{value}`" for value in schema["enum"])
    yield from _range(schema, "minimum", "maximum", "")
    if not schema.get("x-kubernetes-int-or-string"):  # how a quantity is written is said once
        yield from _text_bounds(schema)
    yield from _range(schema, "minItems", "maxItems", " entries")
    yield from _range(schema, "minProperties", "maxProperties", " keys")
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        yield f"one an entry's `{key}`"
    if schema.get("x-kubernetes-list-type") == "set":
        yield "no two alike"
    if schema.get("nullable"):
        yield "may be null"
    if "properties" not in schema:
        yield from (_told(rule) for rule in schema.get("x-kubernetes-validations", ()))
    for inner in ("items", "additionalProperties"):
        child = schema.get(inner)
        if isinstance(child, Mapping) and "properties" not in child:
            yield from (f"each {bound}" for bound in _bounds(child))


def _text_bounds(schema: Schema) -> Iterator[str]:
    yield from _range(schema, "minLength", "maxLength", " characters")
    if "pattern" in schema:
        yield _code(schema["pattern"])


def _range(schema: Schema, least: str, most: str, unit: str) -> Iterator[str]:
    match schema.get(least), schema.get(most):
        case None, None:
            return
        case low, None:
            yield f"at least {low}{unit}"
        case None, high:
            yield f"at most {high}{unit}"
        case low, high:
            yield f"{low} to {high}{unit}"


def _meaning(schema: Schema) -> str:
    """Return what a field means, and what the values of a list or map of plain ones do."""
    told = [_words(schema)]
    for inner in ("items", "additionalProperties"):
        child = schema.get(inner)
        if isinstance(child, Mapping) and "properties" not in child:
            words = _words(child)
            told.append(f"Each: {words[0].lower()}{words[1:]}")
    return _cell(" ".join(told))


def _rules(schema: Schema) -> Iterator[str]:
    rules = [_told(rule) for rule in schema.get("x-kubernetes-validations", ())]
    if rules:
        yield "Rules:\n\n" + "\n".join(f"- {rule}" for rule in rules) + "\n"


def _told(rule: Schema) -> str:
    """Return a rule in the words of its refusal, with the field that these are told of."""
    where = rule.get("fieldPath", "").removeprefix(".")
    return _cell(f"`{where}`: {rule['message']}" if where else str(rule["message"]))


def _words(schema: Schema) -> str:
    return " ".join(str(schema["description"]).split())


def _code(text: str) -> str:
    return _cell(f"`{text}`")


def _cell(text: str) -> str:
    """Return text that ends no cell: tables take the backslash away again, also inside code."""
    return text.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with --check say whether it is the one that would be written."""
    text = page(definitions())
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{PAGE.relative_to(ROOT)} is not what crds/ say: run make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""An object against a CRD's structural schema, the way the API server admits it.

One walk fills defaults, refuses unknown fields, checks types and bounds, and then runs the rules of
`x-kubernetes-validations` through their counterparts in `hadis.wire.rules`, so that one machine and
a cluster refuse the same manifests with the same words.
"""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hadis.wire import rules

Schema = Mapping[str, Any]
_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: the field's path as its author wrote it, and what it must be instead."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def admit(schema: Schema, value: object) -> tuple[Any, list[Problem]]:
    """Return a copy of `value` with defaults filled in, and everything that is wrong with it."""
    admitted = copy.deepcopy(value)
    problems = list(_check(schema, admitted, ""))
    return admitted, problems


def _check(schema: Schema, value: Any, path: str) -> Iterator[Problem]:
    problems = list(_shape(schema, value, path))
    yield from problems
    if not problems and value is not None:
        # Rules may read any field below, so they wait until everything below is sound.
        for rule in schema.get("x-kubernetes-validations", ()):
            if "oldSelf" not in rule["rule"] and not rules.holds(rule["rule"], value):
                yield Problem(path + rule.get("fieldPath", ""), rule["message"])


def _shape(schema: Schema, value: Any, path: str) -> Iterator[Problem]:
    if value is None:
        if not schema.get("nullable", False):
            yield Problem(path, f"must be {_wanted(schema)}, is empty; give a value or remove it")
        return
    if not _has_type(schema, value):
        yield Problem(path, f"must be {_wanted(schema)}, is {_shown(value)}")
        return
    if "enum" in schema and value not in schema["enum"]:
        known = ", ".join(str(choice) for choice in schema["enum"])
        yield Problem(path, f"must be one of {known}; is {_shown(value)}")
        return
    if isinstance(value, dict):
        yield from _object(schema, value, path)
    elif isinstance(value, list):
        yield from _array(schema, value, path)
    elif isinstance(value, str):
        yield from _text(schema, value, path)
    elif isinstance(value, int | float):
        yield from _number(schema, value, path)


def _object(schema: Schema, value: dict[str, Any], path: str) -> Iterator[Problem]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties")
    for name in [name for name, member in value.items() if member is None]:
        # The API server drops a null before it looks at defaults and required fields.
        below = properties.get(name, others)
        if below is not None and not below.get("nullable", False):
            del value[name]
    for name, below in properties.items():
        if name not in value and "default" in below:
            value[name] = copy.deepcopy(below["default"])
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(_field(path, name), "is required")
    yield from _size(schema, value, path, "Properties", "entries")
    is_open = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or not (properties or others)
    for name, member in value.items():
        if name in properties:
            yield from _check(properties[name], member, _field(path, name))
        elif others:
            yield from _check(others, member, f"{path}[{name}]")
        elif not is_open:
            known = ", ".join(sorted(properties))
            yield Problem(_field(path, name), f"is not a known field; known here: {known}")


def _array(schema: Schema, value: list[Any], path: str) -> Iterator[Problem]:
    yield from _size(schema, value, path, "Items", "entries")
    keys = schema.get("x-kubernetes-list-map-keys", ())
    is_set = schema.get("x-kubernetes-list-type") == "set"
    seen: set[str] = set()
    for index, member in enumerate(value):
        yield from _check(schema["items"], member, f"{path}[{index}]")
        if keys and isinstance(member, dict):
            key = ", ".join(f"{name} {member.get(name)!r}" for name in keys)
        elif is_set:
            key = repr(member)
        else:
            continue
        if key in seen:
            yield Problem(f"{path}[{index}]", f"{key} is given twice; each must be unique")
        seen.add(key)


def _text(schema: Schema, value: str, path: str) -> Iterator[Problem]:
    yield from _size(schema, value, path, "Length", "characters")
    # fullmatch, because Python's $ also matches before a final line break and Go's does not.
    if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        meaning = re.split(r"(?<!e\.g)\. ", schema["description"])[0].rstrip(".")
        yield Problem(path, f"{_shown(value)} does not match {schema['pattern']} ({meaning})")


def _number(schema: Schema, value: float, path: str) -> Iterator[Problem]:
    if not math.isfinite(value):
        yield Problem(path, "must be a finite number")
    elif "minimum" in schema and value < schema["minimum"]:
        yield Problem(path, f"must be at least {schema['minimum']}, is {value}")
    elif "maximum" in schema and value > schema["maximum"]:
        yield Problem(path, f"must be at most {schema['maximum']}, is {value}")


def _size(
    schema: Schema, value: str | list[Any] | dict[str, Any], path: str, kind: str, unit: str
) -> Iterator[Problem]:
    least, most = schema.get(f"min{kind}", 0), schema.get(f"max{kind}", math.inf)
    if len(value) < least:
        yield Problem(path, f"must have at least {least} {unit}, has {len(value)}")
    elif len(value) > most:
        yield Problem(path, f"must have at most {most} {unit}, has {len(value)}")


def _has_type(schema: Schema, value: object) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, int | str) and not isinstance(value, bool)
    match schema["type"]:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool)


def _wanted(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "a quantity such as 4 or 16Gi"
    return _TYPES[schema["type"]]


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return _TYPES["object" if isinstance(value, dict) else "array"]
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _field(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

"""An object against a CRD's structural schema, the way the API server admits it.

One walk fills defaults, refuses unknown fields, checks types and bounds, and then runs the rules of
`x-kubernetes-validations` through their counterparts in `hadis.wire.rules`, so that one machine and
a cluster refuse the same manifests with the same words (`tests/cluster/test_manifests.py` compares
them). What the API server does not say and helps, such as what a pattern means, follows in
brackets.
"""

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hadis.wire import rules

Schema = Mapping[str, Any]
_KINDS: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: the field's path as its author wrote it, and what the API server says of it.

    `hint` is what helps beside that.
    """

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        told = f"{self.message} ({self.hint})" if self.hint else self.message
        return f"{self.path}: {told}" if self.path else told


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
                given = "" if isinstance(value, dict | list) else f"{_shown(value)}: "
                message = f"Invalid value: {given}{rule['message']}"
                yield Problem(path + rule.get("fieldPath", ""), message)


def _shape(schema: Schema, value: Any, path: str) -> Iterator[Problem]:
    if value is None and schema.get("nullable", False):
        return
    if not _has_type(schema, value):
        yield _wrong_type(schema, value, path)
    elif "enum" in schema and value not in schema["enum"]:
        known = ", ".join(_shown(choice) for choice in schema["enum"])
        yield Problem(path, f"Unsupported value: {_shown(value)}: supported values: {known}")
    elif isinstance(value, dict):
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
            yield Problem(_field(path, name), "Required value")
    if len(value) < (least := schema.get("minProperties", 0)):
        yield _invalid(path, len(value), f"should have at least {least} properties")
    yield from _most(schema, "maxProperties", len(value), path)
    is_open = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or not (properties or others)
    for name, member in value.items():
        if name in properties:
            yield from _check(properties[name], member, _field(path, name))
        elif others:
            yield from _check(others, member, _field(path, name))
        elif not is_open:
            field, known = _field(path, name), ", ".join(sorted(properties))
            yield Problem(field, f'unknown field "{field}"', f"known here: {known}")


def _array(schema: Schema, value: list[Any], path: str) -> Iterator[Problem]:
    if len(value) < (least := schema.get("minItems", 0)):
        yield _invalid(path, len(value), f"should have at least {least} items")
    yield from _most(schema, "maxItems", len(value), path)
    keys = schema.get("x-kubernetes-list-map-keys", ())
    is_set = schema.get("x-kubernetes-list-type") == "set"
    seen: set[str] = set()
    for index, member in enumerate(value):
        yield from _check(schema["items"], member, f"{path}[{index}]")
        if keys and isinstance(member, dict):
            key = _shown({name: member.get(name) for name in keys})
        elif is_set:
            key = _shown(member)
        else:
            continue
        if key in seen:
            yield Problem(f"{path}[{index}]", f"Duplicate value: {key}")
        seen.add(key)


def _most(schema: Schema, bound: str, count: int, path: str) -> Iterator[Problem]:
    if count > (most := schema.get(bound, math.inf)):
        yield Problem(path, f"Too many: {count}: must have at most {most} items")


def _text(schema: Schema, value: str, path: str) -> Iterator[Problem]:
    if len(value) < (least := schema.get("minLength", 0)):
        yield _invalid(path, value, f"should be at least {least} chars long")
    if len(value) > (most := schema.get("maxLength", math.inf)):
        yield Problem(path, f"Too long: may not be more than {most} bytes")
    # fullmatch, because Python's $ also matches before a final line break and Go's does not.
    if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        meaning = re.split(r"(?<!e\.g)\. ", schema["description"])[0].rstrip(".")
        yield _invalid(path, value, f"should match '{schema['pattern']}'", meaning)


def _number(schema: Schema, value: float, path: str) -> Iterator[Problem]:
    if not math.isfinite(value):
        yield Problem(path, "must be a finite number")  # JSON has no other: never sent anywhere
    elif "minimum" in schema and value < schema["minimum"]:
        yield _invalid(path, value, f"should be greater than or equal to {schema['minimum']}")
    elif "maximum" in schema and value > schema["maximum"]:
        yield _invalid(path, value, f"should be less than or equal to {schema['maximum']}")


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


def _wrong_type(schema: Schema, value: object, path: str) -> Problem:
    wanted = "integer,string" if schema.get("x-kubernetes-int-or-string") else schema["type"]
    kind = _KINDS[type(value)]
    if wanted == "integer" and kind == "number":
        wanted, kind = schema.get("format", wanted), "float64"
    return _invalid(path, kind, f'must be of type {wanted}: "{kind}"')


def _invalid(path: str, value: object, fault: str, hint: str = "") -> Problem:
    return Problem(path, f"Invalid value: {_shown(value)}: {path} in body {fault}", hint)


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _field(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

"""A schema of the API applied leniently: fields that it does not know, and its own defaults.

Definitions and operator are upgraded one after the other, so that what the API server returns may
hold fields of a later version, filled in by its defaults.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def pruned(schema: Schema, value: Any) -> Any:
    """Return a value without the fields that the schema does not know, as the API server does."""
    if isinstance(value, dict) and not _is_open(schema):
        return {
            name: pruned(below, member)
            for name, member in value.items()
            if (below := _below(schema, name)) is not None
        }
    if isinstance(value, list):
        return [pruned(schema.get("items", {}), member) for member in value]
    return value


def without_defaults(schema: Schema, value: Any) -> Any:
    """Return a value without the fields that say what the schema's defaults say anyway.

    So a field that a later version brings, with its default, makes no difference.
    """
    if isinstance(value, dict):
        bare: dict[str, Any] = {}
        for name, member in value.items():
            below = _below(schema, name) or {}
            said = without_defaults(below, member)
            if "default" not in below or said != without_defaults(below, below["default"]):
                bare[name] = said
        return bare
    if isinstance(value, list):
        return [without_defaults(schema.get("items", {}), member) for member in value]
    return value


def _below(schema: Schema, name: str) -> Schema | None:
    found: Schema | None = schema.get("properties", {}).get(name)
    return schema.get("additionalProperties") if found is None else found


def _is_open(schema: Schema) -> bool:
    knows = schema.get("properties") or schema.get("additionalProperties")
    return bool(schema.get("x-kubernetes-preserve-unknown-fields")) or not knows

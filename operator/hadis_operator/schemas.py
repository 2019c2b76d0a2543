"""A schema of the API applied leniently: what only says its own defaults says nothing.

Definitions and operator are upgraded one after the other, so that what the API server returns may
hold fields of a later version, filled in by its defaults.
"""

from typing import Any

from hadis.wire import pruning
from hadis.wire.pruning import Schema


def without_defaults(schema: Schema, value: Any) -> Any:
    """Return a value without the fields that say what the schema's defaults say anyway.

    So a field that a later version brings, with its default, makes no difference.
    """
    if isinstance(value, dict):
        bare: dict[str, Any] = {}
        for name, member in value.items():
            below = pruning.below(schema, name) or {}
            said = without_defaults(below, member)
            if "default" not in below or said != without_defaults(below, below["default"]):
                bare[name] = said
        return bare
    if isinstance(value, list):
        return [without_defaults(schema.get("items", {}), member) for member in value]
    return value

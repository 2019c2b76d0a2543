"""Fields that a schema does not know, dropped and named, the way the API server drops them.

Operator, routers, workers and definitions are upgraded one after the other, so that each of them
may be handed fields of a later version. What an author writes is refused instead: see
`hadis.wire.structural`.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def prune(schema: Schema, value: Any, path: str = "") -> tuple[Any, list[str]]:
    """Return a value without the fields that the schema does not know, and their paths."""
    if isinstance(value, dict) and not _is_open(schema):
        kept: dict[str, Any] = {}
        unknown: list[str] = []
        for name, member in value.items():
            where = f"{path}.{name}" if path else str(name)
            known = below(schema, name)
            if known is None:
                unknown.append(where)
                continue
            kept[name], more = prune(known, member, where)
            unknown += more
        return kept, unknown
    if isinstance(value, list):
        pairs = [
            prune(schema.get("items", {}), member, f"{path}[{index}]")
            for index, member in enumerate(value)
        ]
        return [member for member, _ in pairs], [name for _, more in pairs for name in more]
    return value, []


def below(schema: Schema, name: str) -> Schema | None:
    """Return the schema of a field; None when there is none of that name."""
    found: Schema | None = schema.get("properties", {}).get(name)
    return schema.get("additionalProperties") if found is None else found


def _is_open(schema: Schema) -> bool:
    knows = schema.get("properties") or schema.get("additionalProperties")
    return bool(schema.get("x-kubernetes-preserve-unknown-fields")) or not knows

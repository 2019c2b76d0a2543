"""What somebody has changed of an object that we applied, by the API server's own books.

For every manager the API server keeps the fields that it set last (`managedFields`). Whoever
changes or removes a field of ours takes it away from us there; defaults that are filled in, what
others add beside it and what controllers report do not. So a change by hand shows without any
comparison of values, which the API server writes in its own way and webhooks in theirs, and it
shows to an operator that has only just begun.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hadis_operator.objects import OPERATOR_MANAGER, Manifest

BOOKS = "managedFields"
IDENTITY = ("name", "namespace", "uid")
"""Of the metadata: fields that nobody owns, because they cannot be changed."""
_ITEM, _KEYED, _VALUE = "f:", "k:", "v:"


def condensed(live: Manifest) -> list[str]:
    """Return our part of an object's books as text; as objects they would take ten times the room.

    What is condensed already is returned as it is.
    """
    return [
        entry if isinstance(entry, str) else json.dumps(entry.get("fieldsV1") or {}, sort_keys=True)
        for entry in live["metadata"].get(BOOKS) or ()
        if isinstance(entry, str) or _is_ours(entry)
    ]


def lost(live: Manifest, applied: Manifest) -> list[str]:
    """Return the fields of `applied` that a live object of this name does not have from us."""
    books = [json.loads(text) for text in condensed(live)]
    return [
        path
        for name, value in applied.items()
        if name not in ("apiVersion", "kind")
        for path in _lost(_changeable(name, value), _below(books, f"{_ITEM}{name}"), name)
    ]


def _is_ours(entry: Mapping[str, Any]) -> bool:
    # Entries of a subresource are about the status, which is not applied with the object.
    return entry.get("manager") == OPERATOR_MANAGER and not entry.get("subresource")


def _changeable(name: str, value: Any) -> Any:
    if name != "metadata":
        return value
    return {key: member for key, member in value.items() if key not in IDENTITY}


def _lost(value: Any, books: Sequence[Mapping[str, Any]], path: str) -> Iterator[str]:
    """Yield what of a value is in no book; `books` are their parts about this very value."""
    if not books:
        yield path
    elif all(books) and isinstance(value, dict):  # an empty part is about the value as a whole
        for name, member in value.items():
            yield from _lost(member, _below(books, f"{_ITEM}{name}"), f"{path}.{name}")
    elif all(books) and isinstance(value, list):
        for index, member in enumerate(value):
            yield from _lost(member, _of_member(books, member), f"{path}[{index}]")


def _below(books: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    return [book[key] for book in books if key in book]


def _of_member(books: Sequence[Mapping[str, Any]], member: Any) -> list[Mapping[str, Any]]:
    return [part for book in books for key, part in book.items() if _names(key, member)]


def _names(key: str, member: Any) -> bool:
    """Return whether a key of the books names a member of a list: by some fields, or its value."""
    if key.startswith(_VALUE):
        return bool(json.loads(key.removeprefix(_VALUE)) == member)
    if not key.startswith(_KEYED) or not isinstance(member, dict):
        return False
    named = json.loads(key.removeprefix(_KEYED))
    # A field that the member leaves out has its default in the key.
    return all(member.get(name, value) == value for name, value in named.items())

"""YAML text to plain objects, as strictly as `kubectl apply` reads it.

A key given twice is an error, numbers follow YAML 1.2 (`1e-3` is one) and a date stays a string,
because that is what the API server sees of the same file.
"""

import json
import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import yaml

from hadis.errors import InvalidManifest

if TYPE_CHECKING:
    from yaml import SafeLoader
else:
    # The C parser takes a fraction of the time, and a profile may have thousands of rows.
    SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(SafeLoader):
    """The safe loader without dates and base-60 numbers, and with unique keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping, refusing a key that was already there."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.tag != "tag:yaml.org,2002:str":
                key = self.construct_object(key_node, deep=True)
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not text; quote it", key_node.start_mark
                )
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_RETYPED = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _RETYPED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


def parse(text: str, *, source: str) -> list[object]:
    """Return the non-empty documents of `text`; InvalidManifest tells the line of a mistake."""
    if text.lstrip().startswith("{"):
        parsed = _parse_json(text)
        if parsed is not None:
            return [parsed]
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
        json.dumps(documents)  # an alias to itself has no end
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise InvalidManifest(f"{where}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise InvalidManifest(f"{source}: not valid YAML: {error}") from error
    return [document for document in documents if document is not None]


def _parse_json(text: str) -> object | None:
    """Return the object of a JSON text, None when the YAML reader has to tell what is wrong.

    JSON is YAML, but reading it as such takes fifty times as long.
    """
    try:
        parsed: object = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        return None
    return parsed


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is given twice")
    return fields


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")

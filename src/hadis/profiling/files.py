"""Profile files, JSON or YAML, and HadisProfile resources: text in, `Profile` out, and back.

Callers read and write the files; this module only knows their text. `SCHEMA_FILE` names the JSON
Schema that ships beside it, for editors; the rules that a schema cannot say are checked here.
"""

import json
import math
from typing import Any

import yaml

from hadis.errors import InvalidProfile
from hadis.terms.profiles import Profile
from hadis.wire import profiles

SCHEMA_FILE = "profile.schema.json"


def read_profile(text: str, source: str) -> Profile:
    """Return the profile in `text`; `source` names it in every `InvalidProfile`.

    Of several YAML documents the first HadisProfile counts, so that a cascade file that holds its
    profile can be given as it is.
    """
    documents = _parse(text, source)
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == profiles.KIND:
            metadata = document.get("metadata") or {}
            if not isinstance(metadata, dict):
                raise InvalidProfile(
                    f"{source}: metadata: is no mapping; write the profile's name below it",
                    field="metadata",
                )
            name = metadata.get("name")
            return profiles.read_spec(document.get("spec"), name=name or "unnamed", source=source)
    if not documents:
        raise InvalidProfile(f"{source}: the file is empty; write a profile", field=None)
    first = documents[0]
    if isinstance(first, dict) and "kind" in first:
        raise InvalidProfile(
            f"{source}: kind: {first['kind']} is no profile; add a {profiles.KIND} to the file",
            field="kind",
        )
    return profiles.read_document(first, source=source)


def write_profile(profile: Profile) -> str:
    """Return the profile file: JSON, one row a line, so that a change shows as a change of rows."""
    document = profiles.to_document(profile)
    parts = [f"  {json.dumps(key)}: {_indented(key, value)}" for key, value in document.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write_manifest(profile: Profile) -> str:
    """Return the HadisProfile resource as YAML, one row a line."""
    return flow_yaml(profiles.to_manifest(profile))


def flow_yaml(document: Any) -> str:
    """Return YAML in the given order, with the small mappings of a manifest on one line each."""
    return yaml.dump(
        document, Dumper=_RowsOnOneLine, sort_keys=False, width=math.inf, allow_unicode=True
    )


def _indented(key: str, value: Any) -> str:
    if key in ("rows", "grid", "models") and value:
        return "[\n" + ",\n".join(f"    {json.dumps(entry)}" for entry in value) + "\n  ]"
    return json.dumps(value, ensure_ascii=False)


def _parse(text: str, source: str) -> list[Any]:
    """Return the documents of `text`; JSON skips the YAML parser, which takes 50 times as long."""
    try:
        if text.lstrip().startswith("{"):
            return [json.loads(text)]
    except json.JSONDecodeError as error:
        raise InvalidProfile(
            f"{source}: line {error.lineno}, column {error.colno}: {error.msg}; correct the JSON"
        ) from error
    except RecursionError as error:
        raise InvalidProfile(f"{source}: nested too deeply to be a profile") from error
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return [document for document in yaml.load_all(text, Loader=loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        raise InvalidProfile(f"{source}: line {line}: {error.problem}; correct the YAML") from error
    except yaml.YAMLError as error:
        raise InvalidProfile(f"{source}: is no YAML text: {error}") from error


class _RowsOnOneLine(yaml.SafeDumper):
    """Writes rows and latencies in flow style: hundreds of rows stay readable and comparable."""

    def represent_mapping(
        self, tag: str, mapping: Any, flow_style: bool | None = None
    ) -> yaml.MappingNode:
        """Represent a row, a latency, a model or a mapping of plain values on one line."""
        flat = bool({"routeRatio", "seconds", "steps"} & set(mapping))
        return super().represent_mapping(tag, mapping, True if flat else flow_style)

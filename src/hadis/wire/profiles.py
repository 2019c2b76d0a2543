"""A lookup table as a document: the profile file in snake_case, a HadisProfile in camelCase.

Both say the same things. Reading checks every rule and raises `InvalidProfile` with the source, the
row and the field; writing gives documents that read back equal. A threshold of null (or none at
all) is a stage that never diverts a prompt; JSON has no infinity.
"""

import math
from collections.abc import Mapping
from typing import Any

from hadis.errors import InvalidProfile
from hadis.terms.profiles import ModelLatency, Profile, ProfileRow
from hadis.wire import profile_reading

API_VERSION = "hadis.dev/v1alpha1"
KIND = "HadisProfile"
MAX_ROWS_IN_MANIFEST = 4096


def read_document(document: object, *, source: str) -> Profile:
    """Read the content of a profile file."""
    return profile_reading.read(document, source)


def read_spec(spec: object, *, name: str, source: str) -> Profile:
    """Read a HadisProfile's spec; `name` is its `metadata.name`."""
    document = _snake(profile_reading.as_node(spec, source, "spec").value)
    document["name"] = name
    for model in document.get("models") or ():
        if isinstance(model, dict) and "latencies" in model:
            model["latency_s"] = _by_batch(model.pop("latencies"))
    if "scoring_latencies" in document:
        document["scoring_latency_s"] = _by_batch(document.pop("scoring_latencies"))
    if isinstance(document.get("hardware"), dict):
        document["hardware"] = document["hardware"].get("product")
    return read_document(document, source=source)


def to_document(profile: Profile) -> dict[str, Any]:
    """Return the content of a profile file."""
    document: dict[str, Any] = {
        "name": profile.name,
        "quality": {
            "metric": profile.quality.metric,
            "direction": profile.quality.direction.value,
        },
        "deliver": profile.deliver.value,
        "hardware": profile.hardware,
        "overhead_s": profile.overhead_s,
        "models": [
            {**_identity(model), "latency_s": _batches_out(model.latency_s)}
            for model in profile.models
        ],
        "scoring_latency_s": _batches_out(profile.scoring_latency_s),
        "notes": dict(profile.notes),
        "rows": [_row_out(row) for row in profile.rows],
    }
    if profile.grid:
        document["grid"] = [
            {**_row_out(row), "rejected_ratio": round(row.rejected_ratio, 9)}
            for row in profile.grid
        ]
    return document


def to_manifest(profile: Profile) -> dict[str, Any]:
    """Return the HadisProfile resource; the grid stays in the file, it is too large for one."""
    if len(profile.rows) > MAX_ROWS_IN_MANIFEST:
        raise InvalidProfile(
            f"profile {profile.name} has {len(profile.rows)} rows, a HadisProfile holds at most "
            f"{MAX_ROWS_IN_MANIFEST}: sweep fewer thresholds",
            field="rows",
        )
    spec: dict[str, Any] = {
        "quality": {
            "metric": profile.quality.metric,
            "direction": profile.quality.direction.value,
        },
        "deliver": profile.deliver.value,
        "overheadSeconds": profile.overhead_s,
        "models": [
            {**_identity(model), "latencies": _latencies_out(model.latency_s)}
            for model in profile.models
        ],
        "scoringLatencies": _latencies_out(profile.scoring_latency_s),
        "notes": dict(profile.notes),
        "rows": [_camel_row(row) for row in profile.rows],
    }
    if profile.hardware is not None:
        spec["hardware"] = {"product": profile.hardware}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": profile.name},
        "spec": spec,
    }


def _snake(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with snake_case keys; below `measured` and `notes` are names, not fields."""
    return {
        _snake_word(str(key)): item if key in ("measured", "notes") else _snake_any(item)
        for key, item in value.items()
    }


def _snake_any(value: object) -> Any:
    if isinstance(value, Mapping):
        return _snake(value)
    if isinstance(value, (list, tuple)):
        return [_snake_any(item) for item in value]
    return value


def _snake_word(word: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in word)


def _by_batch(latencies: object) -> object:
    if not isinstance(latencies, (list, tuple)):
        return latencies
    return {
        str(entry.get("batch")) if isinstance(entry, Mapping) else str(entry): (
            entry.get("seconds") if isinstance(entry, Mapping) else None
        )
        for entry in latencies
    }


def _identity(model: ModelLatency) -> dict[str, str]:
    known = {} if model.fingerprint is None else {"fingerprint": model.fingerprint}
    return {"name": model.name, **known}


def _batches_out(latency_s: Mapping[int, float]) -> dict[str, float]:
    return {str(batch): seconds for batch, seconds in latency_s.items()}


def _latencies_out(latency_s: Mapping[int, float]) -> list[dict[str, float]]:
    return [{"batch": batch, "seconds": seconds} for batch, seconds in latency_s.items()]


def _row_out(row: ProfileRow) -> dict[str, Any]:
    return {
        "light": row.light,
        "heavy": row.heavy,
        "hardness_threshold": _finite_or_none(row.hardness_threshold),
        "quality_threshold": _finite_or_none(row.quality_threshold),
        "direct_ratio": row.direct_ratio,
        "route_ratio": {"light": row.light_ratio, "heavy": row.heavy_ratio},
        **row.measured,
    }


def _camel_row(row: ProfileRow) -> dict[str, Any]:
    """Return the row of a resource: a stage that never diverts has no threshold at all."""
    document: dict[str, Any] = {
        "light": row.light,
        "heavy": row.heavy,
        "directRatio": row.direct_ratio,
        "routeRatio": {"light": row.light_ratio, "heavy": row.heavy_ratio},
        "measured": dict(row.measured),
    }
    if math.isfinite(row.hardness_threshold):
        document["hardnessThreshold"] = row.hardness_threshold
    if math.isfinite(row.quality_threshold):
        document["qualityThreshold"] = row.quality_threshold
    return document


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None

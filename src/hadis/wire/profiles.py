"""A lookup table as a document: the profile file in snake_case, a HadisProfile in camelCase.

Both say the same things. Reading checks every rule and raises `InvalidProfile` with the source, the
row and the field; writing gives documents that read back equal. A threshold of null (or none at
all) is a stage that never diverts a prompt; JSON has no infinity.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hadis.errors import InvalidProfile
from hadis.terms.ids import ModelName
from hadis.terms.profiles import (
    Deliver,
    Direction,
    ModelLatency,
    Profile,
    ProfileRow,
    QualityMetric,
)

API_VERSION = "hadis.dev/v1alpha1"
KIND = "HadisProfile"
MAX_ROWS_IN_MANIFEST = 4096
RATIO_TOLERANCE = 5e-3
"""How far a row's ratios may disagree with one another: measured tables are rounded."""

_ROW_FIELDS = frozenset(
    {
        "light",
        "heavy",
        "hardness_threshold",
        "quality_threshold",
        "direct_ratio",
        "route_ratio",
        "measured",
    }
)


def read_document(document: object, *, source: str) -> Profile:
    """Read the content of a profile file."""
    return _Reader(source).profile(_node(document, source, ""))


def read_spec(spec: object, *, name: str, source: str) -> Profile:
    """Read a HadisProfile's spec; `name` is its `metadata.name`."""
    document = _snake(_node(spec, source, "spec").value)
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
            {"name": model.name, "latency_s": _batches_out(model.latency_s)}
            for model in profile.models
        ],
        "scoring_latency_s": _batches_out(profile.scoring_latency_s),
        "notes": dict(profile.notes),
        "rows": [_row_out(row) for row in profile.rows],
    }
    if profile.grid:
        document["grid"] = [_row_out(row) for row in profile.grid]
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
            {"name": model.name, "latencies": _latencies_out(model.latency_s)}
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


@dataclass(frozen=True, slots=True)
class _Node:
    """An object of the document and the path to it, for error messages."""

    value: Mapping[str, Any]
    path: str

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _node(value: object, source: str, path: str) -> _Node:
    if not isinstance(value, Mapping):
        raise _error(source, path or "the document", "is no object", "write a mapping of fields")
    return _Node(value, path)


def _error(source: str, field: str, what: str, fix: str) -> InvalidProfile:
    return InvalidProfile(f"{source}: {field}: {what}; {fix}", field=field)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one snake_case document; every complaint names `source`."""

    source: str

    def profile(self, node: _Node) -> Profile:
        quality = _node(node.value.get("quality"), self.source, "quality")
        metric = QualityMetric(
            self.text(quality, "metric"),
            Direction(self.word(quality, "direction", Direction)),
        )
        deliver = (
            Deliver(self.word(node, "deliver", Deliver))
            if "deliver" in node.value
            else Deliver.HEAVY
        )
        models = tuple(self.models(node))
        names = frozenset(model.name for model in models)
        rows = tuple(self.rows(node, "rows", names, metric.metric))
        if not rows:
            raise _error(self.source, "rows", "is empty", "a profile needs at least one row")
        grid = tuple(self.rows(node, "grid", names, None)) if node.value.get("grid") else ()
        scoring = node.value.get("scoring_latency_s") or {}
        hardware = node.value.get("hardware")
        notes = node.value.get("notes") or {}
        return Profile(
            name=self.text(node, "name"),
            quality=metric,
            models=models,
            rows=rows,
            deliver=deliver,
            grid=grid,
            hardware=None if hardware is None else str(hardware),
            scoring_latency_s=self.batches(scoring, "scoring_latency_s") if scoring else {},
            overhead_s=self.overhead(node),
            notes={str(key): str(value) for key, value in notes.items()},
        )

    def overhead(self, node: _Node) -> float:
        value = node.value.get("overhead_s", node.value.get("overhead_seconds"))
        if value is None:
            return 0.0
        number = self.number(value, "overhead_s")
        if number < 0:
            raise _error(self.source, "overhead_s", f"{number:g} is negative", "give seconds >= 0")
        return number

    def models(self, node: _Node) -> Iterator[ModelLatency]:
        entries = self.entries(node, "models")
        if not entries:
            raise _error(self.source, "models", "is empty", "list every model with its latencies")
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            model = _node(entry, self.source, f"models[{index}]")
            name = self.text(model, "name")
            if name in seen:
                raise _error(
                    self.source, model.at("name"), f"{name} is listed twice", "name each once"
                )
            seen.add(name)
            yield ModelLatency(
                ModelName(name), self.batches(model.value.get("latency_s"), model.at("latency_s"))
            )

    def batches(self, value: object, path: str) -> dict[int, float]:
        node = _node(value, self.source, path)
        if not node.value:
            raise _error(self.source, path, "is empty", "give seconds a batch for batch size 1")
        batches: dict[int, float] = {}
        for key, seconds in node.value.items():
            field = node.at(str(key))
            if not str(key).isdigit() or int(key) < 1:
                raise _error(self.source, field, "is no batch size", "use whole numbers from 1 on")
            number = self.number(seconds, field)
            if number <= 0:
                raise _error(self.source, field, f"{number:g} s is no latency", "give seconds > 0")
            batches[int(key)] = number
        ordered = dict(sorted(batches.items()))
        for (small, before), (large, after) in zip(
            ordered.items(), list(ordered.items())[1:], strict=False
        ):
            if after < before:
                raise _error(
                    self.source,
                    f"{path}.{large}",
                    f"a batch of {large} takes {after:g} s, less than {before:g} s for {small}",
                    "a larger batch is never faster; measure again",
                )
        return ordered

    def rows(
        self, node: _Node, key: str, models: frozenset[ModelName], metric: str | None
    ) -> Iterator[ProfileRow]:
        for index, entry in enumerate(self.entries(node, key)):
            yield self.row(_node(entry, self.source, f"{key}[{index}]"), models, metric)

    def row(self, node: _Node, models: frozenset[ModelName], metric: str | None) -> ProfileRow:
        light, heavy = (self.model(node, key, models) for key in ("light", "heavy"))
        ratios = _node(node.value.get("route_ratio"), self.source, node.at("route_ratio"))
        light_ratio, heavy_ratio = (self.ratio(ratios, key) for key in ("light", "heavy"))
        direct = self.ratio(node, "direct_ratio") if "direct_ratio" in node.value else None
        if direct is None:
            direct = 1.0 - light_ratio
        elif abs(direct + light_ratio - 1.0) > RATIO_TOLERANCE:
            raise _error(
                self.source,
                node.at("direct_ratio"),
                f"{direct:g} and route_ratio.light {light_ratio:g} do not add up to 1",
                "what is not sent straight to heavy is processed by light",
            )
        if heavy_ratio < direct - RATIO_TOLERANCE:
            raise _error(
                self.source,
                ratios.at("heavy"),
                f"{heavy_ratio:g} is below direct_ratio {direct:g}",
                "the heavy model processes at least what is sent straight to it",
            )
        measured = self.measured(node)
        if metric is not None and metric not in measured:
            raise _error(
                self.source, node.at(metric), "is missing", "quality.metric is measured in each row"
            )
        return ProfileRow(
            light=light,
            heavy=heavy,
            hardness_threshold=self.threshold(node, "hardness_threshold", math.inf),
            quality_threshold=self.threshold(node, "quality_threshold", -math.inf),
            direct_ratio=direct,
            light_ratio=light_ratio,
            heavy_ratio=heavy_ratio,
            measured=measured,
        )

    def measured(self, node: _Node) -> dict[str, float]:
        explicit = node.value.get("measured") or {}
        own = {key: value for key, value in node.value.items() if key not in _ROW_FIELDS}
        return {
            str(key): self.number(value, node.at(str(key)))
            for key, value in {
                **own,
                **_node(explicit, self.source, node.at("measured")).value,
            }.items()
        }

    def model(self, node: _Node, key: str, models: frozenset[ModelName]) -> ModelName:
        name = ModelName(self.text(node, key))
        if name not in models:
            raise _error(
                self.source,
                node.at(key),
                f"{name} has no latencies",
                f"use one of models: {', '.join(sorted(models))}",
            )
        return name

    def ratio(self, node: _Node, key: str) -> float:
        value = self.number(node.value.get(key), node.at(key))
        if not 0.0 <= value <= 1.0:
            raise _error(
                self.source, node.at(key), f"{value:g} is outside [0, 1]", "give a fraction"
            )
        return value

    def threshold(self, node: _Node, key: str, off: float) -> float:
        value = node.value.get(key)
        return off if value is None else self.number(value, node.at(key))

    def number(self, value: object, field: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            what = "is missing" if value is None else f"{value!r} is no number"
            raise _error(self.source, field, what, "give a number")
        if not math.isfinite(value):
            raise _error(self.source, field, f"{value} is not finite", "give a finite number")
        return float(value)

    def text(self, node: _Node, key: str) -> str:
        value = node.value.get(key)
        if not isinstance(value, str) or not value:
            what = "is missing" if value is None else f"{value!r} is no name"
            raise _error(self.source, node.at(key), what, "give a text")
        return value

    def word(self, node: _Node, key: str, choices: type[Direction] | type[Deliver]) -> str:
        value = self.text(node, key)
        allowed = [choice.value for choice in choices]
        if value not in allowed:
            raise _error(
                self.source, node.at(key), f"{value} is unknown", f"use {' or '.join(allowed)}"
            )
        return value

    def entries(self, node: _Node, key: str) -> list[object]:
        value = node.value.get(key)
        if not isinstance(value, (list, tuple)):
            what = "is missing" if value is None else "is no list"
            raise _error(self.source, node.at(key), what, "give a list")
        return list(value)


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

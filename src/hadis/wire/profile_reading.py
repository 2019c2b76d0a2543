"""Read the snake_case document of a profile and check every rule of it.

`hadis.wire.profiles` is the way in; it turns a HadisProfile's spec into such a document first.
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

RATIO_TOLERANCE = 5e-3
"""How far a row's ratios may disagree with one another: measured tables are rounded."""

_ROW_FIELDS = frozenset(
    {
        "light",
        "heavy",
        "hardness_threshold",
        "quality_threshold",
        "direct_ratio",
        "rejected_ratio",
        "route_ratio",
        "measured",
    }
)


def read(document: object, source: str) -> Profile:
    """Return the profile of a document; InvalidProfile names `source`, row and field."""
    return _Reader(source).profile(as_node(document, source, ""))


@dataclass(frozen=True, slots=True)
class Node:
    """An object of the document and the path to it, for error messages."""

    value: Mapping[str, Any]
    path: str

    def at(self, key: str) -> str:
        """Return the path of one of its fields."""
        return f"{self.path}.{key}" if self.path else key


def as_node(value: object, source: str, path: str) -> Node:
    """Return `value` as an object of the document; InvalidProfile when it is none."""
    if not isinstance(value, Mapping):
        raise _error(source, path or "the document", "is no object", "write a mapping of fields")
    return Node(value, path)


def _error(source: str, field: str, what: str, fix: str) -> InvalidProfile:
    return InvalidProfile(f"{source}: {field}: {what}; {fix}", field=field)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one snake_case document; every complaint names `source`."""

    source: str

    def profile(self, node: Node) -> Profile:
        quality = as_node(node.value.get("quality"), self.source, "quality")
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
        notes = as_node(node.value.get("notes") or {}, self.source, "notes").value
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

    def overhead(self, node: Node) -> float:
        value = node.value.get("overhead_s", node.value.get("overhead_seconds"))
        if value is None:
            return 0.0
        number = self.number(value, "overhead_s")
        if number < 0:
            raise _error(self.source, "overhead_s", f"{number:g} is negative", "give seconds >= 0")
        return number

    def models(self, node: Node) -> Iterator[ModelLatency]:
        entries = self.entries(node, "models")
        if not entries:
            raise _error(self.source, "models", "is empty", "list every model with its latencies")
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            model = as_node(entry, self.source, f"models[{index}]")
            name = self.text(model, "name")
            if name in seen:
                raise _error(
                    self.source, model.at("name"), f"{name} is listed twice", "name each once"
                )
            seen.add(name)
            batches = self.batches(model.value.get("latency_s"), model.at("latency_s"))
            is_known = model.value.get("fingerprint") is not None
            fingerprint = self.text(model, "fingerprint") if is_known else None
            yield ModelLatency(ModelName(name), batches, fingerprint)

    def batches(self, value: object, path: str) -> dict[int, float]:
        node = as_node(value, self.source, path)
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
        self, node: Node, key: str, models: frozenset[ModelName], metric: str | None
    ) -> Iterator[ProfileRow]:
        for index, entry in enumerate(self.entries(node, key)):
            yield self.row(as_node(entry, self.source, f"{key}[{index}]"), models, metric)

    def row(self, node: Node, models: frozenset[ModelName], metric: str | None) -> ProfileRow:
        light, heavy = (self.model(node, key, models) for key in ("light", "heavy"))
        ratios = as_node(node.value.get("route_ratio"), self.source, node.at("route_ratio"))
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
        if "rejected_ratio" in node.value:
            self.check_rejected(node, direct, heavy_ratio)
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

    def check_rejected(self, node: Node, direct: float, heavy_ratio: float) -> None:
        rejected = self.ratio(node, "rejected_ratio")
        if abs(direct + (1.0 - direct) * rejected - heavy_ratio) > RATIO_TOLERANCE:
            raise _error(
                self.source,
                node.at("rejected_ratio"),
                f"{rejected:g} does not go with direct_ratio {direct:g} and a heavy share of "
                f"{heavy_ratio:g}",
                "heavy processes what is sent to it and the rejected share of the light images",
            )

    def measured(self, node: Node) -> dict[str, float]:
        explicit = node.value.get("measured") or {}
        own = {key: value for key, value in node.value.items() if key not in _ROW_FIELDS}
        return {
            str(key): self.number(value, node.at(str(key)))
            for key, value in {
                **own,
                **as_node(explicit, self.source, node.at("measured")).value,
            }.items()
        }

    def model(self, node: Node, key: str, models: frozenset[ModelName]) -> ModelName:
        name = ModelName(self.text(node, key))
        if name not in models:
            raise _error(
                self.source,
                node.at(key),
                f"{name} has no latencies",
                f"use one of models: {', '.join(sorted(models))}",
            )
        return name

    def ratio(self, node: Node, key: str) -> float:
        value = self.number(node.value.get(key), node.at(key))
        if not 0.0 <= value <= 1.0:
            raise _error(
                self.source, node.at(key), f"{value:g} is outside [0, 1]", "give a fraction"
            )
        return value

    def threshold(self, node: Node, key: str, off: float) -> float:
        value = node.value.get(key)
        return off if value is None else self.number(value, node.at(key))

    def number(self, value: object, field: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            what = "is missing" if value is None else f"{value!r} is no number"
            raise _error(self.source, field, what, "give a number")
        if not math.isfinite(value):
            raise _error(self.source, field, f"{value} is not finite", "give a finite number")
        return float(value)

    def text(self, node: Node, key: str) -> str:
        value = node.value.get(key)
        if not isinstance(value, str) or not value:
            what = "is missing" if value is None else f"{value!r} is no name"
            raise _error(self.source, node.at(key), what, "give a text")
        return value

    def word(self, node: Node, key: str, choices: type[Direction] | type[Deliver]) -> str:
        value = self.text(node, key)
        allowed = [choice.value for choice in choices]
        if value not in allowed:
            raise _error(
                self.source, node.at(key), f"{value} is unknown", f"use {' or '.join(allowed)}"
            )
        return value

    def entries(self, node: Node, key: str) -> list[object]:
        value = node.value.get(key)
        if not isinstance(value, (list, tuple)):
            what = "is missing" if value is None else "is no list"
            raise _error(self.source, node.at(key), what, "give a list")
        return list(value)

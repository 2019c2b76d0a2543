"""The CRDs' CEL rules as Python predicates, one for one.

Each predicate stands under its rule's exact text, so that a rule that is changed in `crds/` without
its counterpart is a KeyError here and not a silent gap. The messages live in the CRDs only.
"""

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

from hadis.wire import durations

Predicate = Callable[[Any], bool]
_COMMIT = re.compile(r"[0-9a-f]{40}")


def holds(rule: str, value: Any) -> bool:
    """Return whether `value` keeps `rule`, a CEL expression of the CRDs."""
    return PREDICATES[" ".join(rule.split())](value)


def _is_good_name(manifest: Mapping[str, Any]) -> bool:
    name = manifest["metadata"]["name"]
    return (
        isinstance(name, str)
        and len(name) <= 40
        and bool(re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name))
    )


def _names_a_model(spec: Mapping[str, Any], name: str) -> bool:
    return any(model["name"] == name for model in spec["models"])


def _is_exact(source: Mapping[str, Any]) -> bool:
    return "path" in source or bool(_COMMIT.fullmatch(source.get("revision", "")))


def _within(least: str, most: str) -> Predicate:
    low, high = durations.seconds(least), durations.seconds(most)
    return lambda text: low <= durations.seconds(text) <= high


def _pinned_names_models(spec: Mapping[str, Any]) -> bool:
    pinned = spec["planner"].get("pinned")
    return pinned is None or all(_names_a_model(spec, pinned[end]) for end in ("light", "heavy"))


def _claim_is_shared(workers: Mapping[str, Any]) -> bool:
    cache = workers.get("template", {}).get("modelCache", {})
    claim = cache.get("claimTemplate")
    return workers["count"] <= 1 or claim is None or "ReadWriteMany" in claim["accessModes"]


def _rows_name_models(profile: Mapping[str, Any]) -> bool:
    known = {model["name"] for model in profile["models"]}
    return all(row["light"] in known and row["heavy"] in known for row in profile["rows"])


def _rows_are_measured(profile: Mapping[str, Any]) -> bool:
    return all(profile["quality"]["metric"] in row["measured"] for row in profile["rows"])


def _larger_is_not_faster(latencies: list[Mapping[str, Any]]) -> bool:
    ordered = sorted(latencies, key=lambda entry: entry["batch"])
    return all(small["seconds"] <= large["seconds"] for small, large in itertools.pairwise(ordered))


PREDICATES: dict[str, Predicate] = {
    "self.metadata.name.size() <= 40"
    " && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')": _is_good_name,
    "self.models.size() == 1 || has(self.profile)": lambda spec: (
        len(spec["models"]) == 1 or "profile" in spec
    ),
    "self.stages.discriminator == 'Disabled' || has(self.discriminator)": lambda spec: (
        spec["stages"]["discriminator"] == "Disabled" or "discriminator" in spec
    ),
    "self.planner.mode != 'Pinned' || has(self.planner.pinned)": lambda spec: (
        spec["planner"]["mode"] != "Pinned" or "pinned" in spec["planner"]
    ),
    "!has(self.planner.pinned)"
    " || (self.models.exists(m, m.name == self.planner.pinned.light)"
    " && self.models.exists(m, m.name == self.planner.pinned.heavy))": _pinned_names_models,
    "self.weights != 'Offline' || self.models.all(m, has(m.source.path)"
    " || (has(m.source.revision) && m.source.revision.matches('^[0-9a-f]{40}$')))": lambda spec: (
        spec["weights"] != "Offline" or all(_is_exact(model["source"]) for model in spec["models"])
    ),
    "self.weights != 'Offline' || !has(self.discriminator)"
    " || has(self.discriminator.source.path)"
    " || (has(self.discriminator.source.revision)"
    " && self.discriminator.source.revision.matches('^[0-9a-f]{40}$'))": lambda spec: (
        spec["weights"] != "Offline"
        or "discriminator" not in spec
        or _is_exact(spec["discriminator"]["source"])
    ),
    "duration(self) >= duration('1s') && duration(self) <= duration('1h')": _within("1s", "1h"),
    "duration(self) >= duration('10s') && duration(self) <= duration('6h')": _within("10s", "6h"),
    "duration(self) >= duration('1s') && duration(self) <= duration('10m')": _within("1s", "10m"),
    "duration(self) <= duration('6h')": _within("0s", "6h"),
    "has(self.path) != has(self.repository)": lambda source: (
        ("path" in source) != ("repository" in source)
    ),
    "!has(self.revision) || has(self.repository)": lambda source: (
        "revision" not in source or "repository" in source
    ),
    "self.split('x').all(side, int(side) % 8 == 0 && int(side) <= 8192)": lambda size: all(
        int(side) % 8 == 0 and int(side) <= 8192 for side in size.split("x")
    ),
    "self.count <= 1 || !has(self.template) || !has(self.template.modelCache)"
    " || !has(self.template.modelCache.claimTemplate)"
    " || 'ReadWriteMany' in self.template.modelCache.claimTemplate.accessModes": _claim_is_shared,
    "[has(self.claimName), has(self.claimTemplate), has(self.emptyDir)]"
    ".filter(given, given).size() == 1": lambda cache: (
        sum(kind in cache for kind in ("claimName", "claimTemplate", "emptyDir")) == 1
    ),
    "self.rows.all(r, self.models.exists(m, m.name == r.light)"
    " && self.models.exists(m, m.name == r.heavy))": _rows_name_models,
    "self.rows.all(r, self.quality.metric in r.measured)": _rows_are_measured,
    "self.all(a, self.all(b, a.batch >= b.batch || a.seconds <= b.seconds))": _larger_is_not_faster,
    # In place of `minimum`, which the API server rounds down to 0 for a value that is written as 0.
    "self > 0.0": lambda seconds: seconds > 0.0,
    "self >= 0.01": lambda weight: weight >= 0.01,
    "self.exists(a, a.batch == 1)": lambda latencies: any(
        entry["batch"] == 1 for entry in latencies
    ),
}

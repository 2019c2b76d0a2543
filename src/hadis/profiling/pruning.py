"""Which rows and which candidate models are worth keeping.

Rows: within a pair, a row goes only when another one is no worse in both route ratios and in
quality, so that no plan of one or two lanes changes while nothing waits. Models: the three rules of
section 4.2, which save profiling time and may cost quality; they are applied before anything is
swept.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hadis.terms.ids import ModelName
from hadis.terms.profiles import Direction, ProfileRow, QualityMetric


def prune_rows(rows: Iterable[ProfileRow], quality: QualityMetric) -> tuple[ProfileRow, ...]:
    """Return the rows that no other row of the same pair replaces at no loss, in their order.

    A row that is scored costs the discriminator's time even where it escalates nothing, so that
    it never replaces one that is not scored. Nor does a row that needs the router's stage replace
    one that does not: a cascade that switches a stage off still has its best rows.
    """
    pairs: dict[tuple[ModelName, ModelName], list[ProfileRow]] = defaultdict(list)
    rows = list(rows)
    for row in rows:
        pairs[row.light, row.heavy].append(row)
    kept = {id(row) for pair in pairs.values() for row in _undominated(pair, quality)}
    return tuple(row for row in rows if id(row) in kept)


def _undominated(pair: Sequence[ProfileRow], quality: QualityMetric) -> list[ProfileRow]:
    sign = -1.0 if quality.direction is Direction.HIGHER else 1.0

    def cost(row: ProfileRow) -> tuple[float, ...]:
        scored = row.light_ratio if math.isfinite(row.quality_threshold) else 0.0
        routed = float(math.isfinite(row.hardness_threshold))
        worth = sign * row.measured[quality.metric]
        return worth, row.light_ratio, row.heavy_ratio, scored, routed

    kept: list[tuple[tuple[float, ...], ProfileRow]] = []
    # In ascending order of cost a row can only be replaced by one before it.
    for row in sorted(pair, key=cost):
        mine = cost(row)
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) for other, _ in kept):
            kept.append((mine, row))
    return [row for _, row in kept]


class Dropped(StrEnum):
    """Why a candidate model is not worth profiling."""

    SIMILAR = "similar latency and quality"  # rule 1
    DOMINATED = "slower and no better"  # rule 2
    BETWEEN = "no better than a mixture of its neighbours"  # rule 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model alone: seconds an image and quality of all its images."""

    name: ModelName
    latency_s: float
    quality: float


def prune_candidates(
    candidates: Sequence[Candidate],
    direction: Direction,
    *,
    similar: float = 0.05,
    between: float = 0.02,
) -> tuple[tuple[Candidate, ...], Mapping[ModelName, Dropped]]:
    """Return the candidates worth pairing, fastest first, and why the others are not.

    `similar` is the relative difference in latency and in quality's range below which two models
    are one; `between` the distance above the neighbours' segment, in quality's range, below which a
    model adds nothing.
    """
    sign = 1.0 if direction is Direction.HIGHER else -1.0
    worth = {c.name: sign * c.quality for c in candidates}
    span = (max(worth.values()) - min(worth.values())) or 1.0
    dropped: dict[ModelName, Dropped] = {}
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.latency_s, -worth[c.name])):
        last = kept[-1] if kept else None
        if last is not None and _similar(last, candidate, worth, span, similar):
            worse = min(last, candidate, key=lambda c: worth[c.name])
            dropped[worse.name] = Dropped.SIMILAR
            if worse is last:
                kept[-1] = candidate
        elif last is not None and worth[candidate.name] <= worth[last.name]:
            dropped[candidate.name] = Dropped.DOMINATED
        else:
            kept.append(candidate)
    index = 1
    while index < len(kept) - 1:
        before, here, after = kept[index - 1 : index + 2]
        part = (here.latency_s - before.latency_s) / (after.latency_s - before.latency_s)
        line = worth[before.name] + part * (worth[after.name] - worth[before.name])
        if worth[here.name] - line < between * span:
            dropped[here.name] = Dropped.BETWEEN
            del kept[index]
            index = max(index - 1, 1)
        else:
            index += 1
    return tuple(kept), dropped


def _similar(
    first: Candidate,
    second: Candidate,
    worth: Mapping[ModelName, float],
    span: float,
    similar: float,
) -> bool:
    near = abs(second.latency_s - first.latency_s) <= similar * first.latency_s
    return near and abs(worth[second.name] - worth[first.name]) <= similar * span

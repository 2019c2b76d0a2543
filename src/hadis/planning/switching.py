"""From the lanes in force to the lanes of a new plan, without a gap.

The new lanes get the share of their wanted workers that is ready; the old ones keep the rest, as
long as anybody can serve them. Where every model is resident the change is immediate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hadis.planning.snapshots import ObservedWorker
from hadis.terms.assignments import Lane
from hadis.terms.ids import ModelName, WorkerName

MOST_LANES = 4
"""Old and new lanes together; when a change overtakes a change the smallest go first."""
SHARE_STEP = 0.05
"""Shares move in steps: every one is a new version for every router."""


def lanes_of(models: Mapping[ModelName, int], lanes: Sequence[Lane]) -> frozenset[ModelName]:
    """Return the models that the lanes use and the plan has workers for."""
    named = {name for lane in lanes for name in (lane.light, lane.heavy)}
    return frozenset(named & set(models)) if models else frozenset(named)


def readiness(
    wanted: Mapping[ModelName, int],
    workers: Sequence[ObservedWorker],
    placed: Mapping[WorkerName, ModelName | None],
) -> float:
    """Return the smallest share of a wanted pool that is ready, in [0, 1].

    A model that is assigned to nobody who is ready may still be resident in a ready worker, which
    then serves it beside its own: a pool without a worker of its own counts by those.
    """
    shares = []
    for model, count in wanted.items():
        if count <= 0:
            continue
        able = [w for w in workers if w.ready and model in w.resident]
        own = sum(1 for w in able if placed.get(w.name) == model)
        shares.append(min((own or len(able)) / count, 1.0))
    return min(shares, default=1.0)


def blend(old: Sequence[Lane], new: Sequence[Lane], share_of_new: float) -> tuple[Lane, ...]:
    """Return the lanes with `share_of_new` of the demand on the new ones, the largest first."""
    share = round(share_of_new / SHARE_STEP) * SHARE_STEP
    if not old or share >= 1.0:
        return tuple(new)
    merged: dict[tuple[object, ...], Lane] = {}
    for lanes, part in ((new, share), (old, 1.0 - share)):
        for lane in lanes:
            key = (lane.light, lane.heavy, lane.hardness_threshold, lane.quality_threshold)
            before = merged[key].share if key in merged else 0.0
            merged[key] = replace(lane, share=before + part * lane.share)
    kept = sorted(
        (lane for lane in merged.values() if lane.share > 0), key=lambda lane: -lane.share
    )
    kept = kept[:MOST_LANES]
    total = sum(lane.share for lane in kept)
    return tuple(replace(lane, share=lane.share / total) for lane in kept)


def served(lanes: Sequence[Lane], workers: Sequence[ObservedWorker]) -> bool:
    """Whether every lane has a ready worker for its light model."""
    resident = {model for w in workers if w.ready for model in w.resident}
    return all(lane.light in resident for lane in lanes)

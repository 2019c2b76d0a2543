"""Which rows of a profile a cascade may use, as it is configured and as its workers are."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from hadis.errors import InvalidProfile
from hadis.planning.problems import RowShare
from hadis.terms.cascades import Cascade, PinnedPlan
from hadis.terms.ids import ModelName
from hadis.terms.profiles import (
    Direction,
    ModelLatency,
    Profile,
    ProfileRow,
    QualityMetric,
)

UNMEASURED_LATENCY_S = 1e-3
"""Stands for the latency of a lone model without a profile; nothing is decided by it."""


def usable(cascade: Cascade, profile: Profile | None, broken: Collection[ModelName]) -> Profile:
    """Return the profile with the rows that the cascade's stages and models allow.

    Models that no worker can load are left out while anything else remains. The cascade's way of
    delivering counts, not the profile's. Without a profile the only model serves everything.
    """
    if profile is None:
        return _alone(cascade)
    names = {model.name for model in cascade.models}
    rows = [row for row in profile.rows if row.light in names and row.heavy in names]
    if not rows:
        raise InvalidProfile(
            f"profile {profile.name} has no row for the models of cascade {cascade.name} "
            f"({', '.join(sorted(names))}); measure them with hadis profile",
            field="rows",
        )
    staged = [row for row in rows if _fits_stages(cascade, row)]
    if not staged:
        raise InvalidProfile(
            f"profile {profile.name} has no row without the stages that cascade {cascade.name} "
            "disables; add rows without thresholds",
            field="rows",
        )
    whole = [row for row in staged if not _used(row) & set(broken)]
    return replace(profile, rows=tuple(whole or staged), deliver=cascade.deliver)


def pinned_mix(profile: Profile, pinned: PinnedPlan) -> tuple[RowShare, ...]:
    """Return the pinned configuration with the ratios and quality of the nearest measured row."""
    same = [r for r in profile.rows if (r.light, r.heavy) == (pinned.light, pinned.heavy)]
    if not same:
        return (RowShare(1.0, _unmeasured(profile, pinned)),)
    nearest = min(same, key=lambda row: _distance(row, pinned, same))
    row = replace(
        nearest,
        hardness_threshold=pinned.hardness_threshold,
        quality_threshold=pinned.quality_threshold,
    )
    return (RowShare(1.0, row),)


def _fits_stages(cascade: Cascade, row: ProfileRow) -> bool:
    if not cascade.router_stage and math.isfinite(row.hardness_threshold):
        return False
    return cascade.discriminator_stage or not math.isfinite(row.quality_threshold)


def _used(row: ProfileRow) -> set[ModelName]:
    stages = ((row.light, row.light_ratio), (row.heavy, row.heavy_ratio))
    return {name for name, ratio in stages if ratio > 0.0}


def _alone(cascade: Cascade) -> Profile:
    model = cascade.models[0].name
    row = ProfileRow(model, model, math.inf, -math.inf, 0.0, 1.0, 0.0, {"unmeasured": 0.0})
    return Profile(
        name="unmeasured",
        quality=QualityMetric("unmeasured", Direction.HIGHER),
        models=(ModelLatency(model, {1: UNMEASURED_LATENCY_S}),),
        rows=(row,),
        deliver=cascade.deliver,
    )


def _unmeasured(profile: Profile, pinned: PinnedPlan) -> ProfileRow:
    """Return a row for a pair that was never swept: half of the light images are sent on."""
    escalates = math.isfinite(pinned.quality_threshold)
    measured = {profile.quality.metric: profile.rows[0].measured[profile.quality.metric]}
    return ProfileRow(
        pinned.light,
        pinned.heavy,
        pinned.hardness_threshold,
        pinned.quality_threshold,
        direct_ratio=0.0,
        light_ratio=1.0,
        heavy_ratio=0.5 if escalates else 0.0,
        measured=measured,
    )


def _distance(row: ProfileRow, pinned: PinnedPlan, rows: Sequence[ProfileRow]) -> float:
    """Return how far a row's thresholds are from the pinned ones, in ranks of the pair's rows."""

    def rank(value: float, values: list[float]) -> int:
        return sum(1 for other in values if other < value)

    hardness = [r.hardness_threshold for r in rows]
    quality = [r.quality_threshold for r in rows]
    return abs(
        rank(row.hardness_threshold, hardness) - rank(pinned.hardness_threshold, hardness)
    ) + abs(rank(row.quality_threshold, quality) - rank(pinned.quality_threshold, quality))

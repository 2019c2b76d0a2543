"""Builders of lookup tables."""

import math
from collections.abc import Mapping, Sequence

from hadis.terms.ids import ModelName
from hadis.terms.profiles import (
    Deliver,
    Direction,
    ModelLatency,
    Profile,
    ProfileRow,
    QualityMetric,
)

FID = QualityMetric("fid", Direction.LOWER)
FULFILMENT = QualityMetric("fulfilment", Direction.HIGHER)


def a_row(
    light: str = "small",
    heavy: str = "large",
    *,
    direct: float = 0.0,
    rejected: float = 0.0,
    quality: float = 20.0,
    metric: str = "fid",
) -> ProfileRow:
    """A row whose hardness and scores are uniform in [0, 1]: thresholds follow from the shares."""
    return ProfileRow(
        ModelName(light),
        ModelName(heavy),
        hardness_threshold=1.0 - direct if direct > 0 else math.inf,
        quality_threshold=rejected if rejected > 0 else -math.inf,
        direct_ratio=direct,
        light_ratio=1.0 - direct,
        heavy_ratio=direct + (1.0 - direct) * rejected,
        measured={metric: quality},
    )


def a_profile(
    latencies: Mapping[str, Mapping[int, float]],
    rows: Sequence[ProfileRow],
    *,
    quality: QualityMetric = FID,
    deliver: Deliver = Deliver.HEAVY,
    scoring_s: Mapping[int, float] | None = None,
) -> Profile:
    return Profile(
        name="a-profile",
        quality=quality,
        models=tuple(ModelLatency(ModelName(n), dict(t)) for n, t in latencies.items()),
        rows=tuple(rows),
        deliver=deliver,
        scoring_latency_s=dict(scoring_s or {}),
    )


SCENES_LATENCIES: Mapping[str, Mapping[int, float]] = {
    "xs": {1: 0.06, 2: 0.085, 4: 0.14, 8: 0.26},
    "s": {1: 0.17, 2: 0.27, 4: 0.48, 8: 0.9},
    "m": {1: 0.33, 2: 0.52, 4: 0.92, 8: 1.74},
    "l": {1: 0.65, 2: 1.03, 4: 1.82, 8: 3.45},
}
ALONE = {"xs": 0.34, "s": 0.55, "m": 0.64, "l": 0.69}


def a_scenes_profile() -> Profile:
    """Four variants on two cores, as the embedded cascade has them, with made-up fulfilment."""
    names = list(SCENES_LATENCIES)
    rows = []
    for i, light in enumerate(names):
        for heavy in names[i:]:
            for direct in (0.0, 0.2, 0.5) if light != heavy else (0.0,):
                for rejected in (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0):
                    sent = direct * 0.6 + (1 - direct) * (1 - (1 - rejected) ** 2)
                    retry = 0.75 * ALONE[heavy] * (1 - ALONE[light])
                    rows.append(
                        a_row(
                            light,
                            heavy,
                            direct=direct,
                            rejected=rejected,
                            quality=ALONE[light] + sent * retry,
                            metric="fulfilment",
                        )
                    )
    return a_profile(
        SCENES_LATENCIES,
        rows,
        quality=FULFILMENT,
        deliver=Deliver.BETTER,
        scoring_s={1: 0.009, 2: 0.013, 4: 0.022, 8: 0.042},
    )

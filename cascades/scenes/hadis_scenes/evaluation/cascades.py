"""What cascades of the variants are worth against the convex hull of the fixed ones.

A policy is a pair of variants, which may name one variant twice (a retry with a new seed), and a
threshold of the light image's score. Policies are chosen on the profile prompts; every number
reported comes from the test prompts. Between two chosen policies requests may be split by share.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hadis_scenes.evaluation.outcomes import Outcomes

Floats = npt.NDArray[np.float64]
_QUANTILES: Final = np.linspace(0.02, 0.98, 49)
_GRID: Final = 400
_RESAMPLES: Final = 400


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds an image of each variant, and seconds a score."""

    generate_s: Mapping[str, float]
    score_s: float


@dataclass(frozen=True, slots=True)
class Policy:
    """Escalate from light to heavy below the threshold; without heavy, a fixed variant."""

    light: str
    heavy: str | None = None
    threshold: float = 0.0
    better: bool = True
    """Deliver the higher-scored of two images, not always the heavy one."""


def per_prompt(
    policy: Policy, outcomes: Outcomes, costs: Costs, kind: str
) -> tuple[Floats, Floats]:
    """Return each prompt's mean time and fulfilment over the seeds."""
    light_s = costs.generate_s[policy.light]
    ok = outcomes.fulfilled[policy.light].astype(np.float64)
    if policy.heavy is None:
        return np.full(ok.shape[1], light_s), ok.mean(0)
    score = outcomes.scores[kind][policy.light]
    other = outcomes.fulfilled[policy.heavy].astype(np.float64)
    other_score = outcomes.scores[kind][policy.heavy]
    if policy.light == policy.heavy:  # the retry's image comes from another seed
        other, other_score = np.roll(other, 1, axis=0), np.roll(other_score, 1, axis=0)
    escalated = score < policy.threshold
    heavy_s = costs.generate_s[policy.heavy] + (costs.score_s if policy.better else 0.0)
    replaced = escalated & (other_score > score) if policy.better else escalated
    time = light_s + costs.score_s + escalated * heavy_s
    return time.mean(0), np.where(replaced, other, ok).mean(0)


def candidates(outcomes: Outcomes, kind: str, names: Sequence[str], better: bool) -> list[Policy]:
    """List every pair with thresholds at quantiles of its light variant's scores."""
    found = []
    for light, heavy in itertools.combinations_with_replacement(names, 2):
        if light == names[-1]:  # a retry of the heaviest is beyond the range compared
            continue
        for threshold in np.quantile(outcomes.scores[kind][light], _QUANTILES):
            found.append(Policy(light, heavy, float(threshold), better))
    return found


def upper_hull(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points on the rising upper convex hull, by cost."""
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    hull: list[int] = []
    for index in order:
        x, y = points[index]
        if hull and y <= points[hull[-1]][1]:
            continue
        while len(hull) > 1:
            (x1, y1), (x2, y2) = points[hull[-2]], points[hull[-1]]
            if (y2 - y1) * (x - x1) > (y - y1) * (x2 - x1):
                break
            hull.pop()
        hull.append(index)
    return hull


def _mean(pair: tuple[Floats, Floats], rows: npt.NDArray[np.int64]) -> tuple[float, float]:
    return float(pair[0][rows].mean()), float(pair[1][rows].mean())


def _hull_curve(
    measured: Sequence[tuple[Floats, Floats]], rows: npt.NDArray[np.int64], at: Floats
) -> Floats:
    """Interpolate the best mixture of fixed variants over cost."""
    points = [_mean(pair, rows) for pair in measured]
    hull = upper_hull(points)
    return np.interp(at, [points[i][0] for i in hull], [points[i][1] for i in hull])


def _chosen_curve(
    measured: Sequence[tuple[Floats, Floats]], rows: npt.NDArray[np.int64], at: Floats
) -> Floats:
    """Interpolate the chosen policies over cost, all of them: none is picked by the test."""
    points = sorted(_mean(pair, rows) for pair in measured)
    return np.interp(at, [cost for cost, _ in points], [quality for _, quality in points])


def compare(
    profile: Outcomes, test: Outcomes, costs: Costs, kind: str, names: Sequence[str], better: bool
) -> dict[str, Any]:
    """Choose policies on the profile prompts, measure them and the hull on the test prompts."""
    fixed = [Policy(name) for name in names]
    tried = fixed + candidates(profile, kind, names, better)
    everyone = np.arange(len(profile.category))
    seen = [_mean(per_prompt(policy, profile, costs, kind), everyone) for policy in tried]
    chosen = [tried[i] for i in upper_hull(seen)]
    measured = [per_prompt(policy, test, costs, kind) for policy in chosen]
    alone = [per_prompt(policy, test, costs, kind) for policy in fixed]
    low, high = costs.generate_s[names[0]], costs.generate_s[names[-1]]
    at = np.linspace(low, high, _GRID)
    everyone = np.arange(len(test.category))
    gap = _chosen_curve(measured, everyone, at) - _hull_curve(alone, everyone, at)
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(_RESAMPLES):
        rows = rng.integers(0, len(everyone), len(everyone))
        gaps.append(_chosen_curve(measured, rows, at) - _hull_curve(alone, rows, at))
    lower, upper = np.quantile(gaps, (0.025, 0.975), axis=0)
    target = _mean(alone[-1], everyone)[1]
    reached = at[_chosen_curve(measured, everyone, at) >= target]
    clear = (gap >= 0.04) & (lower > 0)
    return {
        "discriminator": kind,
        "deliver": "Better" if better else "Heavy",
        "policies": [
            {
                "light": p.light,
                "heavy": p.heavy,
                "threshold": p.threshold,
                **dict(zip(("mean_s", "fulfilment"), _mean(pair, everyone), strict=True)),
            }
            for p, pair in zip(chosen, measured, strict=True)
        ],
        "fixed": [
            {
                "variant": p.light,
                **dict(zip(("mean_s", "fulfilment"), _mean(pair, everyone), strict=True)),
            }
            for p, pair in zip(fixed, alone, strict=True)
        ],
        "share_of_range_4_points_above": float(clear.mean()),
        "largest_gap": float(gap.max()),
        "largest_gap_at_s": float(at[gap.argmax()]),
        "largest_gap_interval": [float(lower[gap.argmax()]), float(upper[gap.argmax()])],
        "mean_gap": float(gap.mean()),
        "mean_gap_interval": [float(q) for q in np.quantile(np.mean(gaps, 1), (0.025, 0.975))],
        "time_to_heaviest_quality": float(reached[0] / high) if len(reached) else None,
        "curve": {
            "mean_s": at[:: _GRID // 40].tolist(),
            "gap": gap[:: _GRID // 40].tolist(),
            "lower": lower[:: _GRID // 40].tolist(),
            "upper": upper[:: _GRID // 40].tolist(),
        },
    }

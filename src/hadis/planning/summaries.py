"""Plans as plain objects: the line of `hadis plan`, and the `plan` of `/v1/status`."""

import math
from collections.abc import Mapping, Sequence

from hadis.planning.forecasting import Forecast
from hadis.planning.problems import Alternative, Plan, Reasons
from hadis.terms.assignments import Lane
from hadis.terms.cascades import Cascade
from hadis.terms.profiles import Profile


def plan_line(plan: Plan, profile: Profile | None) -> dict[str, object]:
    """Return the JSON object of a plan. Disabled stages have null thresholds.

    Without a profile nothing was measured, and neither quality nor latency is told.
    """
    main = plan.main_lane
    measured = profile is not None
    line: dict[str, object] = {
        "status": plan.status.value,
        "pair": [main.light, main.heavy],
        "hardness_threshold": finite_or_none(main.hardness_threshold),
        "quality_threshold": finite_or_none(main.quality_threshold),
        "quality": {
            "metric": profile.quality.metric if profile else None,
            "value": plan.quality if measured else None,
        },
        "workers": dict(plan.workers),
        "batch": dict(plan.batch),
        "route_ratio": {"light": plan.light_ratio, "heavy": plan.heavy_ratio},
        "direct_ratio": plan.direct_ratio,
        "lanes": [lane_line(lane) for lane in plan.lanes],
        "latency_s": plan.latency_s if measured else None,
        "mean_latency_s": plan.mean_latency_s if measured else None,
        "solve_s": plan.solve_s,
        "reasons": reasons_line(plan.reasons),
    }
    if "fid" in plan.measured:
        line["fid"] = plan.measured["fid"]
    return line


def summarise(
    cascade: Cascade,
    profile: Profile | None,
    plan: Plan,
    forecast: Forecast,
    version: int,
    lanes: Sequence[Lane],
    because: str,
) -> dict[str, object]:
    """Return the plan in force with its version, mode and demand; `lanes` are those in force."""
    main = plan.main_lane
    return {
        "version": version,
        "mode": cascade.planner.mode.value,
        **plan_line(plan, profile),
        "light": main.light,
        "heavy": main.heavy,
        "lanes": [lane_line(lane) for lane in lanes],
        "demand": round(forecast.mean_per_s, 4),
        "planned_demand": round(forecast.planned_per_s, 4),
        "because": because,
    }


def lane_line(lane: Lane) -> dict[str, object]:
    """Return the JSON object of a lane."""
    return {
        "share": lane.share,
        "light": lane.light,
        "heavy": lane.heavy,
        "hardness_threshold": finite_or_none(lane.hardness_threshold),
        "quality_threshold": finite_or_none(lane.quality_threshold),
    }


def reasons_line(reasons: Reasons) -> dict[str, object]:
    """Return the JSON object of a plan's reasons."""
    return {
        "binding": reasons.binding.value,
        "idle_workers": reasons.idle_workers,
        "slack_latency_s": reasons.slack_latency_s,
        "slack_demand_per_s": finite_or_none(reasons.slack_demand_per_s),
        "swaps": reasons.swaps,
        "utilisation": {name: round(share, 4) for name, share in reasons.utilisation.items()},
        "predicted_violation_ratio": reasons.predicted_violation_ratio,
        "alternative": alternative_line(reasons.alternative),
        "notes": list(reasons.notes),
    }


def alternative_line(alternative: Alternative | None) -> Mapping[str, object] | None:
    """Return the JSON object of the best configuration that was out of reach."""
    if alternative is None:
        return None
    return {
        "light": alternative.light,
        "heavy": alternative.heavy,
        "hardness_threshold": finite_or_none(alternative.hardness_threshold),
        "quality_threshold": finite_or_none(alternative.quality_threshold),
        "quality": alternative.quality,
        "workers_needed": alternative.workers_needed,
        "latency_s": alternative.latency_s,
        "because": alternative.because,
    }


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None for an infinite one, which JSON cannot carry."""
    return value if math.isfinite(value) else None

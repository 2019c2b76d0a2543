"""What a plan makes of its requests on average: the expected mean from arrival to delivery."""

import math
from collections.abc import Mapping, Sequence

from hadis.planning import queueing, tables
from hadis.planning.problems import Problem, RowShare
from hadis.terms.ids import ModelName


def mean_latency_s(
    problem: Problem,
    mix: Sequence[RowShare],
    workers: Mapping[ModelName, int],
    batch: Mapping[ModelName, int],
) -> float:
    """Return the route-weighted mean of waiting, batches and overhead over all requests.

    A pool that cannot keep up has no mean; requests leave it at their deadline at the latest, so
    that the SLO bounds the result.
    """
    profile = problem.profile
    overhead_s = profile.overhead_s if problem.overhead_s is None else problem.overhead_s
    passes: dict[ModelName, float] = dict.fromkeys(workers, 0.0)
    scored: dict[ModelName, float] = dict.fromkeys(workers, 0.0)
    for part in mix:
        row = part.row
        shares = tables.scored_shares(row, profile.deliver)
        stages = ((row.light, row.light_ratio), (row.heavy, row.heavy_ratio))
        for (name, ratio), share in zip(stages, shares, strict=True):
            if ratio > 0.0:
                passes[name] += part.share * ratio
                scored[name] += part.share * ratio * share
    mean_s = overhead_s
    for name, ratio in passes.items():
        if ratio > 0.0:
            batch_s = _batch_seconds(problem, name, batch[name], scored[name] / ratio)
            mean_s += ratio * queueing.mean_response_s(
                problem.demand_per_s * ratio, workers[name], batch_s
            )
    return min(mean_s, problem.slo_s) if math.isfinite(mean_s) else problem.slo_s


def _batch_seconds(problem: Problem, name: ModelName, largest: int, scored: float) -> list[float]:
    """Return the seconds of batches of 1 to `largest`, a share of their images scored."""
    latency_s = problem.profile.latency_of(name)
    scoring_s = problem.profile.scoring_latency_s
    return [
        problem.latency_scale
        * (tables.seconds_at(latency_s, size) + scored * tables.seconds_at(scoring_s, size))
        for size in range(1, largest + 1)
    ]

"""What a plan makes of its requests on average: the expected mean from arrival to delivery."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hadis.planning import arranging, queueing, tables
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
    table = arranging.table_of(problem, mix)
    shares = np.array([part.share for part in mix])
    passes = shares @ table.spread(table.ratio)
    scored = shares @ table.spread(table.ratio * table.scored)
    mean_s = table.overhead_s
    for name, size in batch.items():
        i = table.index(name)
        if passes[i] > 0.0:
            batch_s = _batch_seconds(problem, name, size, float(scored[i] / passes[i]))
            mean_s += float(passes[i]) * queueing.mean_response_s(
                problem.demand_per_s * float(passes[i]), workers[name], batch_s
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

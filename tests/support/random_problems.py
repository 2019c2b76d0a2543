"""Random planning problems of varied size, with ties, twins, queues and deadlines that bind."""

import itertools
import random
from dataclasses import replace

from hadis.planning.problems import Problem
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Deliver
from support.profiles import FID, FULFILMENT, a_profile, a_row


def a_random_problem(
    seed: int, *, least_rows: int = 1, most_rows: int = 24, lanes: int = 1
) -> Problem:
    """A problem that is feasible in about two cases of three."""
    draw = random.Random(seed)
    quality = draw.choice((FID, FULFILMENT))
    names = [f"m{i}" for i in range(draw.randint(1, 4))]
    latencies = {}
    for place, name in enumerate(names):
        single = round(draw.uniform(0.2, 0.6) * 2.0**place, 3)
        latencies[name] = {
            size: round(single * (1 + (size - 1) * draw.uniform(0.4, 1.0)), 3)
            for size in sorted({1, *draw.sample((2, 4, 8), draw.randint(0, 2))})
        }
        ordered = sorted(latencies[name])
        for before, after in itertools.pairwise(ordered):
            latencies[name][after] = max(latencies[name][after], latencies[name][before])
    rows = []
    for _ in range(draw.randint(least_rows, most_rows)):
        light, heavy = sorted(draw.choices(names, k=2))
        rows.append(
            a_row(
                light,
                heavy,
                direct=draw.choice((0.0, 0.0, 0.25, 0.6, 1.0)) if light != heavy else 0.0,
                rejected=draw.choice((0.0, 0.1, 0.3, 0.8)),
                quality=round(draw.uniform(10, 30), draw.choice((0, 2))),
                metric=quality.metric,
            )
        )
    return Problem(
        profile=a_profile(
            latencies,
            rows,
            quality=quality,
            deliver=draw.choice(tuple(Deliver)),
            scoring_s=draw.choice(
                ({}, {1: 0.05, 2: 0.08, 4: 0.15, 8: 0.3}, {1: 0.4, 2: 0.45, 4: 0.5, 8: 0.6})
            ),
        ),
        demand_per_s=round(draw.choice((0.0, draw.uniform(0.1, 3), draw.uniform(3, 20))), 2),
        workers=draw.randint(1, 12),
        slo_s=round(draw.uniform(1.0, 12.0), 2),
        queue={ModelName(name): draw.randint(0, 3) for name in names if draw.random() < 0.2},
        max_lanes=lanes,
        utilisation_limit=draw.choice((1.0, 0.8)),
    )


def with_other_times(problem: Problem, seed: int) -> Problem:
    """The same problem with the times that a shell may state: scale, overhead, factor, arrivals."""
    draw = random.Random(seed)
    names = [model.name for model in problem.profile.models]
    return replace(
        problem,
        latency_scale=draw.choice((1.0, 0.7, 1.3)),
        overhead_s=draw.choice((None, 0.0, 0.2)),
        queue_safety_factor=draw.choice((0.0, 1.0, 2.0)),
        arrival_per_s={n: round(draw.uniform(0.1, 5), 2) for n in names if draw.random() < 0.2},
    )


def with_a_past(problem: Problem, seed: int) -> Problem:
    """The same problem in a fleet at work: models held, swaps that cost, batches that run."""
    draw = random.Random(seed)
    names = [model.name for model in problem.profile.models]
    held = [draw.choice(names) for _ in range(draw.randint(0, problem.workers))]
    return replace(
        problem,
        current_workers={name: held.count(name) for name in names},
        swap_s={name: draw.choice((0.0, 0.5, 3.0, 60.0)) for name in names}
        if draw.random() < 0.7
        else {},
        residual_s={name: round(draw.uniform(0, 1), 3) for name in names if draw.random() < 0.3},
        backlog_s={name: round(draw.uniform(0, 60), 2) for name in names if draw.random() < 0.3},
        pools={name: draw.randint(0, problem.workers) for name in names}
        if draw.random() < 0.2
        else None,
    )

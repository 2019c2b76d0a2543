"""The planner's oracle: every row, batch size and share in plain loops, straight from the paper."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from hadis.planning.problems import Problem
from hadis.terms.profiles import Deliver, Direction, ProfileRow

CLOSE = 1e-9

Mix = Sequence[tuple[float, ProfileRow]]


def best_single(problem: Problem) -> float | None:
    """The best worth of any row that is feasible alone; None when none is."""
    return _best(worth(problem, [(1.0, row)]) for row in problem.profile.rows)


def best_mixture(problem: Problem, *, parts: int = 100) -> float | None:
    """The best worth of any two rows with shares in hundredths (or `parts`), or of one row."""
    found = [best_single(problem)]
    for first, second in itertools.combinations(problem.profile.rows, 2):
        for share in range(1, parts):
            found.append(worth(problem, [(share / parts, first), (1 - share / parts, second)]))
    return _best(found)


def worth(problem: Problem, mix: Mix) -> float | None:
    """Quality (higher is better) less the cheapest swaps; None when nothing carries the mix."""
    costs = [swap_cost(problem, workers) for _, workers, _ in arrangements(problem, mix)]
    if not costs:
        return None
    sign = 1.0 if problem.profile.quality.direction is Direction.HIGHER else -1.0
    metric = problem.profile.quality.metric
    return sign * sum(share * row.measured[metric] for share, row in mix) - min(costs)


def fewest_swaps(problem: Problem, mix: Mix) -> int:
    """The fewest swaps with which a mix can be carried at the lowest cost of swaps."""
    return min(
        (swap_cost(problem, workers), swaps(problem, workers))
        for _, workers, _ in arrangements(problem, mix)
    )[1]


def swaps(problem: Problem, workers: Mapping[str, int]) -> int:
    """How many workers must load a model."""
    current = problem.current_workers
    if current is None:
        return 0
    return sum(max(count - current.get(name, 0), 0) for name, count in workers.items())  # type: ignore[call-overload]


def swap_cost(problem: Problem, workers: Mapping[str, int]) -> float:
    """What the swaps cost: their share of all workers' time, in units of the table's range."""
    current = problem.current_workers
    if current is None:
        return 0.0
    values = [row.measured[problem.profile.quality.metric] for row in problem.profile.rows]
    lost_s = sum(
        max(count - current.get(name, 0), 0) * problem.swap_s.get(name, 0.0)  # type: ignore[call-overload]
        for name, count in workers.items()
    )
    return (max(values) - min(values)) * lost_s / (problem.swap_horizon_s * problem.workers)


def arrangements(
    problem: Problem, mix: Mix
) -> Iterator[tuple[dict[str, int], dict[str, int], float]]:
    """Yield every feasible (batch sizes, fewest workers, path seconds) of a mixture."""
    models = sorted({name for _, row in mix for name, ratio, _ in stages(problem, row) if ratio})
    sizes = [sorted(problem.profile.latency_of(name)) for name in models]
    waiting = {name: problem.backlog_s.get(name, 0.0) / problem.drain_s for name in _names(problem)}
    reserved = sum(busy for name, busy in waiting.items() if name not in models)
    for chosen in itertools.product(*sizes):
        batch = dict(zip(models, chosen, strict=True))
        load = {name: waiting[name] for name in models}
        path_s = 0.0
        for share, row in mix:
            row_s = problem.overhead
            for name, ratio, scored in stages(problem, row):
                if not ratio:
                    continue
                size = batch[name]
                bare_s = problem.profile.latency_of(name)[size] * problem.latency_scale
                score_s = problem.profile.scoring_latency_s.get(size, 0.0) * problem.latency_scale
                load[name] += (
                    share * problem.demand_per_s * ratio * (bare_s + scored * score_s) / size
                )
                row_s += bare_s + (score_s if scored else 0.0)
                row_s += _wait_s(problem, mix, name) + problem.residual_s.get(name, 0.0)
            path_s = max(path_s, row_s)
        workers = {
            name: max(math.ceil(used / problem.utilisation_limit - CLOSE), 1)
            for name, used in load.items()
        }
        fits = sum(workers.values()) + reserved <= problem.workers + CLOSE
        if problem.pools is not None:
            fits = fits and all(n <= problem.pools.get(name, 0) for name, n in workers.items())
        if fits and path_s <= problem.slo_s + CLOSE:
            yield batch, workers, path_s


def stages(problem: Problem, row: ProfileRow) -> list[tuple[str, float, float]]:
    """Model, route ratio and scored share of the two stages."""
    scored = 1.0 if math.isfinite(row.quality_threshold) and row.light_ratio > 0 else 0.0
    again = 0.0
    if problem.profile.deliver is Deliver.BETTER and scored and row.heavy_ratio > 0:
        again = max(row.heavy_ratio - row.direct_ratio, 0.0) / row.heavy_ratio
    return [(row.light, row.light_ratio, scored), (row.heavy, row.heavy_ratio, again)]


def _names(problem: Problem) -> list[str]:
    return [model.name for model in problem.profile.models]


def _wait_s(problem: Problem, mix: Mix, name: str) -> float:
    queue = problem.queue.get(name, 0)  # type: ignore[call-overload]
    if not queue or not problem.queue_safety_factor:
        return 0.0
    ratio = sum(share * r for share, row in mix for n, r, _ in stages(problem, row) if n == name)
    arrival = problem.arrival_per_s.get(name, problem.demand_per_s * ratio)  # type: ignore[call-overload]
    return problem.queue_safety_factor * queue / arrival if arrival else math.inf


def _best(values: Iterator[float | None] | Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def carried(problem: Problem, row: ProfileRow) -> float:
    """The largest share of the demand that a row carries in time with any workers and batches.

    Without any path in time the shortest one counts as if it were. Queues and backlog apart.
    """
    found = [_carried(problem, row, batch) for batch in _all_batches(problem, row)]
    return max(found, default=0.0)


def _all_batches(problem: Problem, row: ProfileRow) -> list[dict[str, int]]:
    models = sorted({name for name, ratio, _ in stages(problem, row) if ratio})
    sizes = [sorted(problem.profile.latency_of(name)) for name in models]
    return [dict(zip(models, chosen, strict=True)) for chosen in itertools.product(*sizes)]


def _carried(problem: Problem, row: ProfileRow, batch: dict[str, int]) -> float:
    load, path_s = dict.fromkeys(batch, 0.0), problem.overhead
    for name, ratio, scored in stages(problem, row):
        if ratio:
            size = batch[name]
            bare_s = problem.profile.latency_of(name)[size]
            score_s = problem.profile.scoring_latency_s.get(size, 0.0)
            load[name] += problem.demand_per_s * ratio * (bare_s + scored * score_s) / size
            path_s += bare_s + (score_s if scored else 0.0)
    if path_s > problem.slo_s + CLOSE:
        return 0.0
    names = sorted(load)
    best = 0.0
    for first in range(problem.workers + 1):
        counts = [problem.workers] if len(names) == 1 else [first, problem.workers - first]
        shares = [n / load[name] for n, name in zip(counts, names, strict=True)]
        best = max(best, min(shares))
    return min(best, 1.0)

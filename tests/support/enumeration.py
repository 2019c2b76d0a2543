"""The planner's oracle: every row, batch size and share in plain loops, straight from the paper."""

import itertools
import math
from collections.abc import Iterator, Sequence

from hadis.planning.problems import Problem
from hadis.terms.profiles import Deliver, Direction, ProfileRow

CLOSE = 1e-9


def best_single(problem: Problem) -> float | None:
    """The best quality of any row that is feasible alone; None when none is."""
    values = [
        _quality(problem, [(1.0, r)]) for r in problem.profile.rows if fits(problem, [(1, r)])
    ]
    return _best(problem, values)


def best_mixture(problem: Problem) -> float | None:
    """The best quality of any two rows with shares in hundredths, or of one row."""
    values = [v for v in [best_single(problem)] if v is not None]
    for first, second in itertools.combinations(problem.profile.rows, 2):
        for share in range(1, 100):
            mix = [(share / 100, first), (1 - share / 100, second)]
            if fits(problem, mix):
                values.append(_quality(problem, mix))
    return _best(problem, values)


def fits(problem: Problem, mix: Sequence[tuple[float, ProfileRow]]) -> bool:
    """Whether some batch sizes and worker counts hold equations 3 to 5."""
    return any(True for _ in arrangements(problem, mix))


def arrangements(
    problem: Problem, mix: Sequence[tuple[float, ProfileRow]]
) -> Iterator[tuple[dict[str, int], dict[str, int], float]]:
    """Yield every feasible (batch sizes, fewest workers, path seconds) of a mixture."""
    models = sorted({name for _, row in mix for name, ratio, _ in stages(problem, row) if ratio})
    sizes = [sorted(problem.profile.latency_of(name)) for name in models]
    for chosen in itertools.product(*sizes):
        batch = dict(zip(models, chosen, strict=True))
        load = dict.fromkeys(models, 0.0)
        path_s = 0.0
        for share, row in mix:
            row_s = 0.0
            for name, ratio, scored in stages(problem, row):
                if not ratio:
                    continue
                size = batch[name]
                bare_s = problem.profile.latency_of(name)[size] * problem.latency_scale
                score_s = problem.profile.scoring_latency_s.get(size, 0.0) * problem.latency_scale
                load[name] += (
                    share * problem.demand_per_s * ratio * (bare_s + scored * score_s) / size
                )
                row_s += bare_s + (score_s if scored else 0.0) + _wait_s(problem, row, name)
            path_s = max(path_s, row_s)
        workers = {
            name: max(math.ceil(used / problem.utilisation_limit - CLOSE), 1)
            for name, used in load.items()
        }
        if sum(workers.values()) <= problem.workers and path_s <= problem.slo_s + CLOSE:
            yield batch, workers, path_s


def stages(problem: Problem, row: ProfileRow) -> list[tuple[str, float, float]]:
    """Model, route ratio and scored share of the two stages."""
    scored = 1.0 if math.isfinite(row.quality_threshold) and row.light_ratio > 0 else 0.0
    again = 0.0
    if problem.profile.deliver is Deliver.BETTER and scored and row.heavy_ratio > 0:
        again = max(row.heavy_ratio - row.direct_ratio, 0.0) / row.heavy_ratio
    return [(row.light, row.light_ratio, scored), (row.heavy, row.heavy_ratio, again)]


def _wait_s(problem: Problem, row: ProfileRow, name: str) -> float:
    queue = problem.queue.get(name, 0)
    if not queue:
        return 0.0
    ratio = sum(r for n, r, _ in stages(problem, row) if n == name)
    arrival = problem.arrival_per_s.get(name, problem.demand_per_s * ratio)
    return problem.queue_safety_factor * queue / arrival if arrival else math.inf


def _quality(problem: Problem, mix: Sequence[tuple[float, ProfileRow]]) -> float:
    metric = problem.profile.quality.metric
    return sum(share * row.measured[metric] for share, row in mix)


def _best(problem: Problem, values: Sequence[float]) -> float | None:
    higher = problem.profile.quality.direction is Direction.HIGHER
    return (max(values) if higher else min(values)) if values else None

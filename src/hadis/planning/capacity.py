"""How many workers a demand, an SLO and a quality need: the curve, from the planner itself.

More workers never cost quality, so that the fewest workers for a quality are found by halving.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hadis.planning import solving
from hadis.planning.problems import Plan, PlanStatus, Problem

SAME_QUALITY = 1e-9


@dataclass(frozen=True, slots=True)
class Point:
    """A fleet and the best plan that it allows."""

    workers: int
    plan: Plan


def curve(problem: Problem, largest: int, *, step: int = 1) -> Iterator[Point]:
    """Yield the best plan of every `step`-th fleet up to `largest` that carries the demand in time.

    The curve begins with the smallest such fleet and ends where the best row of the table runs:
    beyond it workers gain nothing. `problem.workers` is not looked at.
    """
    point = fewest(problem, largest)
    while point is not None:
        yield point
        workers = point.workers + step
        if workers > largest or _is_best(problem, point.plan):
            return
        point = _point(problem, workers)


def fewest(problem: Problem, largest: int, *, quality: float | None = None) -> Point | None:
    """Return the smallest fleet that carries the demand in time, with at least `quality`.

    "At least" is at most where a lower metric is better. None where not even `largest` workers do.
    """

    def is_enough(plan: Plan) -> bool:
        if plan.status is PlanStatus.OVERLOAD:
            return False
        if quality is None:
            return True
        return problem.sign * plan.quality >= problem.sign * quality - SAME_QUALITY

    return _bisected(problem, largest, is_enough)


def _bisected(problem: Problem, largest: int, is_enough: Callable[[Plan], bool]) -> Point | None:
    """Return the smallest fleet whose plan is enough: doubled until it is, then halved."""
    low, high = 0, 1
    while not is_enough((found := _point(problem, min(high, largest))).plan):
        if high >= largest:
            return None
        low, high = high, 2 * high
    while found.workers - low > 1:
        middle = _point(problem, (low + found.workers) // 2)
        if is_enough(middle.plan):
            found = middle
        else:
            low = middle.workers
    return found


def _point(problem: Problem, workers: int) -> Point:
    return Point(workers, solving.solve(replace(problem, workers=workers)))


def _is_best(problem: Problem, plan: Plan) -> bool:
    metric = problem.profile.quality.metric
    best = max(problem.sign * row.measured[metric] for row in problem.profile.rows)
    return problem.sign * plan.quality >= best - SAME_QUALITY

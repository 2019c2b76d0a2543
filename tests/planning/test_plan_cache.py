"""The plan cache: never further from the best than it is told to be, and quiet where it knows."""

import itertools
import random
import re
from dataclasses import replace

import pytest

from hadis.planning import arranging, caching, solving
from hadis.planning.caching import PlanCache
from hadis.planning.problems import Plan, PlanStatus, Problem
from support.profiles import a_scenes_profile
from support.random_problems import a_random_problem, with_a_past

PROFILE = a_scenes_profile()


def a_problem(demand: float, **changes: object) -> Problem:
    return replace(Problem(PROFILE, demand, workers=4, slo_s=10.0, max_lanes=2), **changes)  # type: ignore[arg-type]


def worth(problem: Problem, plan: Plan) -> float:
    needed = arranging.arrange(problem, plan.mix)
    assert needed is not None
    return problem.sign * plan.quality - arranging.cost(problem, needed.workers)


def span(problem: Problem) -> float:
    values = [row.measured[problem.profile.quality.metric] for row in problem.profile.rows]
    return max(values) - min(values)


@pytest.mark.parametrize("tolerance", [0.0, 0.005, 0.05])
def test_a_plan_is_never_worse_than_the_tolerance_allows(tolerance: float) -> None:
    for seed in range(40):
        cache, draw = PlanCache(), random.Random(seed)
        first = with_a_past(a_random_problem(seed, lanes=seed % 2 + 1), seed)
        for _ in range(12):
            demand = round(first.demand_per_s * draw.uniform(0.8, 1.2), 2)
            problem = replace(first, demand_per_s=demand)
            plan, cache = caching.solve(cache, problem, tolerance=tolerance)
            want = solving.solve(problem)
            assert (plan.status is PlanStatus.OVERLOAD) == (want.status is PlanStatus.OVERLOAD)
            if plan.status is not PlanStatus.OVERLOAD:
                short = worth(problem, want) - worth(problem, plan)
                assert short <= tolerance * span(problem) + 1e-6, seed


def test_a_demand_that_wavers_is_soon_answered_without_a_solve() -> None:
    cache, draw = PlanCache(), random.Random(1)
    for _ in range(60):
        _, cache = caching.solve(cache, a_problem(draw.uniform(7.5, 8.5)))
    before = cache.misses
    for _ in range(40):
        _, cache = caching.solve(cache, a_problem(draw.uniform(7.6, 8.4)))
    assert cache.misses - before <= 4
    assert cache.hits >= 60


def test_the_same_problem_is_answered_by_the_same_plan_and_still_called_optimal() -> None:
    first, cache = caching.solve(PlanCache(), a_problem(8.0))
    again, cache = caching.solve(cache, a_problem(8.0))
    assert (cache.hits, cache.misses) == (1, 1)
    assert again.status is first.status is PlanStatus.OPTIMAL
    assert (again.mix, again.workers, again.batch) == (first.mix, first.workers, first.batch)


def test_a_plan_that_is_not_proved_the_best_says_how_far_it_may_be_off() -> None:
    cache = PlanCache()
    for demand in (4.0, 12.0):
        _, cache = caching.solve(cache, a_problem(demand))
    asked = a_problem(8.0)
    plan, cache = caching.solve(cache, asked, tolerance=0.9)
    assert (cache.hits, plan.status) == (1, PlanStatus.FEASIBLE)
    told = re.fullmatch(
        r"from the plan cache: at most (\S+) worse than the best", plan.reasons.notes[0]
    )
    assert told is not None
    short = worth(asked, solving.solve(asked)) - worth(asked, plan)
    assert 0.0 < short <= float(told[1]) * 1.05


@pytest.mark.parametrize(
    "change", [{"workers": 5}, {"slo_s": 9.0}, {"max_lanes": 1}, {"latency_scale": 1.1}]
)
def test_another_fleet_table_or_deadline_starts_anew(change: dict[str, object]) -> None:
    _, cache = caching.solve(PlanCache(), a_problem(8.0))
    plan, cache = caching.solve(cache, a_problem(8.0, **change))
    assert cache.misses == 2
    assert plan.quality == pytest.approx(solving.solve(a_problem(8.0, **change)).quality)


def test_it_stays_small() -> None:
    cache = PlanCache()
    for demand in range(1, 2 * caching.MOST_ENTRIES):
        _, cache = caching.solve(cache, a_problem(demand / 10), tolerance=0.0)
    demands = [entry.demand_per_s for entry in cache.entries]
    assert len(demands) <= caching.MOST_ENTRIES
    assert all(a < b for a, b in itertools.pairwise(demands))


def test_in_a_hurry_nothing_is_learnt_and_the_plan_is_the_solvers() -> None:
    plan, cache = caching.solve(PlanCache(), a_problem(8.0), learns=False)
    assert (cache.entries, cache.misses) == ((), 1)
    assert replace(plan, solve_s=0.0) == replace(solving.solve(a_problem(8.0)), solve_s=0.0)

"""Plans against exhaustive enumeration over every row, batch size and share."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hadis.planning import solving
from hadis.planning.problems import PlanStatus
from support import enumeration
from support.random_problems import a_random_problem

SINGLE_PROBLEMS = 300
MIXED_PROBLEMS = 40


@pytest.mark.parametrize("first", range(0, SINGLE_PROBLEMS, 50))
def test_one_lane_is_the_best_row_of_all(first: int) -> None:
    for seed in range(first, first + 50):
        problem = a_random_problem(seed)
        want = enumeration.best_single(problem)
        plan = solving.solve(problem)
        if want is None:
            assert plan.status is PlanStatus.OVERLOAD, seed
        else:
            assert plan.status is PlanStatus.OPTIMAL, seed
            assert plan.quality == pytest.approx(want, abs=1e-9), seed


@pytest.mark.parametrize("first", range(0, MIXED_PROBLEMS, 10))
def test_two_lanes_are_the_best_mixture_in_hundredths(first: int) -> None:
    for seed in range(first, first + 10):
        problem = a_random_problem(seed, most_rows=9, lanes=2)
        want = enumeration.best_mixture(problem)
        plan = solving.solve(problem)
        if want is None:
            assert plan.status is PlanStatus.OVERLOAD, seed
        else:
            assert plan.quality == pytest.approx(want, abs=1e-6), seed


@settings(max_examples=60, deadline=None)
@given(st.integers(1_000, 1_000_000), st.integers(1, 2))
def test_every_plan_holds_its_own_constraints(seed: int, lanes: int) -> None:
    problem = a_random_problem(seed, most_rows=12, lanes=lanes)
    plan = solving.solve(problem)
    assert sum(lane.share for lane in plan.lanes) == pytest.approx(1.0)
    assert sum(plan.workers.values()) <= max(problem.workers, 1)
    assert 1 <= len(plan.lanes) <= lanes
    used = {
        name
        for part in plan.mix
        for name, ratio, _ in enumeration.stages(problem, part.row)
        if ratio > 0
    }
    assert set(plan.workers) == set(plan.batch) == used
    if plan.status is not PlanStatus.OVERLOAD:
        assert plan.latency_s <= problem.slo_s + 1e-6
        mix = [(part.share, part.row) for part in plan.mix]
        assert any(
            batch == plan.batch and all(plan.workers[n] >= need for n, need in workers.items())
            for batch, workers, _ in enumeration.arrangements(problem, mix)
        )


@settings(max_examples=40, deadline=None)
@given(st.integers(1_000, 1_000_000))
def test_more_workers_never_cost_quality(seed: int) -> None:
    problem = replace(a_random_problem(seed, most_rows=12), queue={})
    smaller = solving.solve(problem)
    larger = solving.solve(replace(problem, workers=problem.workers + 1))
    if smaller.status is PlanStatus.OPTIMAL:
        assert larger.status is PlanStatus.OPTIMAL
        sign = 1 if problem.profile.quality.direction.value == "higher" else -1
        assert sign * larger.quality >= sign * smaller.quality - 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(1_000, 1_000_000))
def test_pruned_rows_change_no_plan(seed: int) -> None:
    from hadis.profiling import pruning

    problem = replace(a_random_problem(seed, most_rows=20), queue={})
    profile = problem.profile
    kept = pruning.prune_rows(profile.rows, profile.quality)
    want = solving.solve(problem)
    got = solving.solve(replace(problem, profile=replace(profile, rows=kept)))
    assert got.status is want.status
    if want.status is PlanStatus.OPTIMAL:
        assert got.quality == pytest.approx(want.quality, abs=1e-9)

"""Plans against exhaustive enumeration over every row, batch size and share."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hadis.planning import arranging, batching, blending, feasibility, formulation, solving, tables
from hadis.planning.problems import Plan, PlanStatus, Problem
from hadis.profiling import pruning
from hadis.terms.profiles import Deliver, ProfileRow
from support import enumeration
from support.profiles import a_profile, a_row
from support.random_problems import a_random_problem, with_a_past, with_other_times

SINGLE_PROBLEMS = 1000
MIXED_PROBLEMS = 60
BATCH = 100


def worth(problem: Problem, plan: Plan) -> float:
    """What the planner maximises: quality less what the swaps cost."""
    mix = tuple((part.share, part.row) for part in plan.mix)
    needed = arranging.arrange(problem, plan.mix)
    assert needed is not None, mix
    return problem.sign * plan.quality - enumeration.swap_cost(problem, needed.workers)


@pytest.mark.parametrize("first", range(0, SINGLE_PROBLEMS, BATCH))
def test_one_lane_is_the_best_row_of_all(first: int) -> None:
    for seed in range(first, first + BATCH):
        problem = a_random_problem(seed)
        want = enumeration.best_single(problem)
        plan = solving.solve(problem)
        if want is None:
            assert plan.status is PlanStatus.OVERLOAD, seed
        else:
            assert plan.status is PlanStatus.OPTIMAL, seed
            assert problem.sign * plan.quality == pytest.approx(want, abs=1e-9), seed


@pytest.mark.parametrize("first", range(0, SINGLE_PROBLEMS // 2, BATCH))
def test_one_lane_is_the_best_row_after_what_its_swaps_cost(first: int) -> None:
    for seed in range(first, first + BATCH):
        problem = with_a_past(a_random_problem(seed), seed)
        want = enumeration.best_single(problem)
        plan = solving.solve(problem)
        if want is None:
            assert plan.status is PlanStatus.OVERLOAD, seed
            continue
        assert plan.status is PlanStatus.OPTIMAL, seed
        # Where swaps have a price, quality counts in hundred-millionths of the table's range.
        assert worth(problem, plan) == pytest.approx(want, abs=1e-5), seed
        if problem.pools is not None:
            continue
        best = [
            row
            for row in problem.profile.rows
            if (value := enumeration.worth(problem, [(1.0, row)])) is not None
            and value >= want - 1e-9
        ]
        fewest = min(enumeration.fewest_swaps(problem, [(1.0, row)]) for row in best)
        assert enumeration.swaps(problem, plan.workers) == fewest, seed


@pytest.mark.parametrize("first", range(0, SINGLE_PROBLEMS // 2, BATCH))
def test_one_lane_is_the_best_row_whatever_times_a_shell_states(first: int) -> None:
    for seed in range(first, first + BATCH):
        problem = with_other_times(with_a_past(a_random_problem(seed), seed), seed)
        want = enumeration.best_single(problem)
        plan = solving.solve(problem)
        assert (plan.status is PlanStatus.OVERLOAD) == (want is None), seed
        if want is not None:
            assert worth(problem, plan) == pytest.approx(want, abs=1e-5), seed


@pytest.mark.parametrize("workers", [16, 1000])
def test_one_lane_is_the_best_of_hundreds_of_rows_however_large_the_fleet(workers: int) -> None:
    # Hundreds of qualities in hundred-millionths, times swaps, times microseconds: near 64 bits.
    for seed in range(12):
        problem = a_random_problem(seed, least_rows=300, most_rows=600)
        problem = replace(problem, workers=workers, demand_per_s=workers / 8, slo_s=60.0)
        problem = with_a_past(problem, seed)
        want = enumeration.best_single(problem)
        plan = solving.solve(problem)
        assert want is not None, seed
        assert plan.status is PlanStatus.OPTIMAL, seed
        assert worth(problem, plan) == pytest.approx(want, abs=1e-5), seed


def test_two_lanes_are_the_best_mixture_whatever_times_a_shell_states() -> None:
    for seed in range(20):
        problem = a_random_problem(seed, most_rows=7, lanes=2)
        problem = with_other_times(with_a_past(problem, seed), seed)
        want = enumeration.best_mixture(problem)
        plan = solving.solve(problem)
        assert (plan.status is PlanStatus.OVERLOAD) == (want is None), seed
        if want is not None:
            assert worth(problem, plan) == pytest.approx(want, abs=1e-5), seed


@pytest.mark.parametrize("seed", range(12))
def test_a_table_that_is_searched_in_pieces_gives_the_best_mixture(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As with tables of hundreds of rows: promising ones first, in blocks, in chunks.
    for name, value in {"FIRST": 5, "BLOCK": 4, "CHUNK": 50, "HUNDREDTHS": 20}.items():
        monkeypatch.setattr(blending, name, value)
    monkeypatch.setattr(batching, "CHUNK", 50)
    problem = a_random_problem(seed, most_rows=16, lanes=2)
    want = enumeration.best_mixture(problem, parts=20)
    plan = solving.solve(problem)
    assert (plan.status is PlanStatus.OVERLOAD) == (want is None)
    if want is not None:
        assert worth(problem, plan) == pytest.approx(want, abs=1e-5)


def test_where_images_wait_and_choices_are_many_a_plan_holds_and_says_what_was_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "MOST_PAIRS", 0)
    told = 0
    for seed in range(60):
        problem = with_other_times(a_random_problem(seed, lanes=2), seed)
        plan = solving.solve(problem)
        if plan.status is PlanStatus.OVERLOAD:
            continue
        assert arranging.arrange(problem, plan.mix) is not None, seed
        assert worth(problem, plan) >= (enumeration.best_single(problem) or -math.inf) - 1e-5, seed
        is_told = solving.MANY_CHOICES in plan.reasons.notes
        assert is_told == (plan.status is PlanStatus.FEASIBLE), seed
        told += is_told
    assert told > 5


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_batch_that_saves_time_only_where_images_are_scored_hides_no_other(lanes: int) -> None:
    profile = a_profile(
        {"small": {1: 0.5}, "large": {1: 1.0, 2: 2.02}},
        [a_row("small", "large", direct=1.0, rejected=0.0)],
        deliver=Deliver.HEAVY,
        scoring_s={1: 0.05, 2: 0.055},
    )
    problem = Problem(profile, demand_per_s=1.0, workers=1, slo_s=10.0, max_lanes=lanes)
    plan = solving.solve(problem)
    assert plan.status is PlanStatus.OPTIMAL
    assert plan.batch == {"large": 1}


@pytest.mark.parametrize("first", range(0, MIXED_PROBLEMS, 10))
@pytest.mark.parametrize("has_a_past", [False, True], ids=["idle", "at work"])
def test_two_lanes_are_the_best_mixture_in_hundredths(first: int, has_a_past: bool) -> None:
    for seed in range(first, first + 10):
        problem = a_random_problem(seed, most_rows=9, lanes=2)
        if has_a_past:
            problem = with_a_past(problem, seed)
        want = enumeration.best_mixture(problem)
        plan = solving.solve(problem)
        if want is None:
            assert plan.status is PlanStatus.OVERLOAD, seed
        else:
            assert plan.status is PlanStatus.OPTIMAL, seed
            assert worth(problem, plan) == pytest.approx(want, abs=1e-5), seed


@pytest.mark.parametrize("first", range(0, SINGLE_PROBLEMS // 2, BATCH))
def test_looking_at_all_rows_finds_the_one_that_the_integer_program_chooses(first: int) -> None:
    for seed in range(first, first + BATCH):
        problem = with_a_past(a_random_problem(seed, lanes=2), seed)
        table = tables.build(problem, problem.profile.rows)
        assessed = feasibility.assess(problem, table)
        choice = formulation.choose(problem, table, assessed)
        row = feasibility.best_row(table, assessed)
        assert (row is None) == (choice is None), seed
        if row is None or choice is None:
            continue
        found, wanted = (_worth_alone(problem, table.rows[n]) for n in (row, choice.row))
        # Where swaps have a price, quality counts in hundred-millionths of the table's range.
        assert found == pytest.approx(wanted, abs=1e-5), seed


def _worth_alone(problem: Problem, row: ProfileRow) -> float | None:
    return enumeration.worth(problem, [(1.0, row)])


@settings(max_examples=80, deadline=None)
@given(st.integers(1_000, 1_000_000), st.integers(1, 2), st.booleans())
def test_every_plan_holds_its_own_constraints(seed: int, lanes: int, has_a_past: bool) -> None:
    problem = a_random_problem(seed, most_rows=12, lanes=lanes)
    if has_a_past:
        problem = with_a_past(problem, seed)
    plan = solving.solve(problem)
    assert sum(lane.share for lane in plan.lanes) == pytest.approx(1.0)
    assert 1 <= len(plan.lanes) <= lanes
    used = {
        name
        for part in plan.mix
        for name, ratio, _ in enumeration.stages(problem, part.row)
        if ratio > 0
    }
    assert set(plan.workers) == set(plan.batch) == used
    if problem.pools is None:
        assert sum(plan.workers.values()) <= max(problem.workers, 1)
    else:
        assert all(n <= max(problem.pools.get(i, 0), 1) for i, n in plan.workers.items())
    if plan.status is not PlanStatus.OVERLOAD:
        assert plan.latency_s <= problem.slo_s + 1e-6
        mix = [(part.share, part.row) for part in plan.mix]
        assert any(
            batch == plan.batch and all(plan.workers[n] >= need for n, need in workers.items())
            for batch, workers, _ in enumeration.arrangements(problem, mix)
        )


@settings(max_examples=40, deadline=None)
@given(st.integers(1_000, 1_000_000), st.integers(1, 2))
def test_more_workers_never_cost_quality(seed: int, lanes: int) -> None:
    problem = replace(a_random_problem(seed, most_rows=12, lanes=lanes), queue={})
    smaller = solving.solve(problem)
    larger = solving.solve(replace(problem, workers=problem.workers + 1))
    if smaller.status is PlanStatus.OPTIMAL:
        assert larger.status is PlanStatus.OPTIMAL
        assert problem.sign * larger.quality >= problem.sign * smaller.quality - 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(1_000, 1_000_000), st.integers(1, 2))
def test_pruned_rows_change_no_plan(seed: int, lanes: int) -> None:
    problem = replace(a_random_problem(seed, most_rows=16, lanes=lanes), queue={})
    profile = problem.profile
    kept = pruning.prune_rows(profile.rows, profile.quality)
    want = solving.solve(problem)
    got = solving.solve(replace(problem, profile=replace(profile, rows=kept)))
    assert got.status is want.status
    if want.status is PlanStatus.OPTIMAL:
        assert got.quality == pytest.approx(want.quality, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1_000, 1_000_000))
def test_an_overload_misses_as_few_as_any_row_would(seed: int) -> None:
    problem = replace(a_random_problem(seed, most_rows=8), workers=seed % 4 + 1, queue={})
    problem = replace(problem, demand_per_s=20.0)
    plan = solving.solve(problem)
    if plan.status is not PlanStatus.OVERLOAD:
        return
    carried = [enumeration.carried(problem, row) for row in problem.profile.rows]
    if max(carried) == 0.0 and plan.reasons.notes:
        assert "the shortest is taken" in plan.reasons.notes[0]
        return
    assert plan.reasons.predicted_violation_ratio == pytest.approx(1.0 - max(carried), abs=1e-6)


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_solve_that_runs_out_of_time_gives_a_plan_that_holds_and_says_so(lanes: int) -> None:
    for seed in range(40):
        problem = replace(a_random_problem(seed, lanes=lanes), time_limit_s=0.0)
        plan = solving.solve(problem)
        if enumeration.best_single(problem) is not None:
            assert plan.status is PlanStatus.FEASIBLE, seed
            assert arranging.arrange(problem, plan.mix) is not None, seed

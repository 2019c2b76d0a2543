"""Staying with a plan or leaving it, in and after an overload."""

import itertools
from dataclasses import replace

import pytest

from hadis.planning import deciding, solving
from hadis.planning.deciding import Decision, Tenure
from hadis.planning.forecasting import Forecast
from hadis.planning.problems import PlanStatus, Problem
from hadis.terms.cascades import OnOverload
from support.profiles import FULFILMENT, a_profile, a_row, a_scenes_profile

SCENES = Problem(a_scenes_profile(), 1.0, workers=2, slo_s=10.0)


def decide(problem: Problem, rate: float, before: Decision | None, now_s: float) -> Decision:
    return deciding.decide(
        problem,
        before and before.plan,
        before.tenure if before else Tenure(),
        Forecast(rate, rate, evidence_s=60.0),
        now_s,
        on_overload=OnOverload.DEGRADE,
    )


@pytest.mark.parametrize("rate", [60.0, 200.0, 2000.0])
def test_a_flood_is_met_with_the_models_that_serve_most_however_large_it_is(rate: float) -> None:
    quiet = decide(SCENES, 0.5, None, 0.0)
    flooded = decide(SCENES, rate, quiet, 100.0)
    best = solving.solve(Problem(SCENES.profile, rate, workers=2, slo_s=10.0))
    assert flooded.changed
    assert flooded.plan.status is PlanStatus.OVERLOAD
    assert flooded.plan.main_lane.light == best.main_lane.light != quiet.plan.main_lane.light
    assert flooded.plan.heavy_ratio == best.heavy_ratio == 0.0


def test_an_answer_to_an_overload_stays_while_the_flood_goes_up_and_down() -> None:
    decision = decide(SCENES, 0.5, None, 0.0)
    changes = []
    for tick, rate in enumerate(itertools.chain([80.0], [60.0, 150.0, 90.0, 200.0] * 5)):
        decision = decide(SCENES, rate, decision, 100.0 + 5.0 * tick)
        changes.append(decision.changed)
    assert changes == [True] + [False] * 20


def test_the_end_of_an_overload_is_no_change_where_the_plan_in_force_is_the_answer() -> None:
    """The row of the light model alone is there under either pair."""
    latencies = {"light": {1: 0.1}, "heavy": {1: 1.0}}
    alone = a_row("light", "light", quality=0.5, metric="fulfilment")
    rows = [alone, a_row("light", "heavy", quality=0.5, metric="fulfilment")]
    for order in (rows, rows[::-1]):
        profile = a_profile(latencies, order, quality=FULFILMENT)
        problem = Problem(profile, 1.0, workers=1, slo_s=10.0)
        first = decide(problem, 50.0, None, 0.0)
        assert first.plan.status is PlanStatus.OVERLOAD
        # The other row of the two takes its place in the table, and so in the next solution.
        other = Problem(a_profile(latencies, order[::-1], quality=FULFILMENT), 1.0, 1, 10.0)
        after = decide(other, 2.0, first, 100.0)
        assert not after.changed
        assert after.because == "the overload is over"
        assert after.plan.status is not PlanStatus.OVERLOAD
        assert after.plan.reasons.predicted_violation_ratio == 0.0
        assert after.plan.lanes == first.plan.lanes


@pytest.mark.parametrize("changes", [1, 2])
def test_what_becomes_possible_after_an_overload_waits_like_any_better_plan(
    changes: int,
) -> None:
    answer = decide(SCENES, 60.0, decide(SCENES, 0.5, None, 0.0), 100.0)
    assert answer.plan.status is PlanStatus.OVERLOAD
    decision = replace(answer, tenure=replace(answer.tenure, changes=changes))
    now_s = 100.0
    while not (decision := decide(SCENES, 2.0, decision, now_s := now_s + 5.0)).changed:
        assert (decision.plan.status is PlanStatus.OVERLOAD) == (now_s < 120.0)
    # From the overload to SCENES' best plan is far too much of a gain to be noise.
    assert now_s == 145.0
    assert decision.plan.quality > answer.plan.quality


@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_slower_workers_without_load_are_not_told_as_too_much_demand(rate: float) -> None:
    calm = decide(SCENES, rate, None, 0.0)
    slower = replace(SCENES, latency_scale=10.0 / calm.plan.latency_s + 1.0)
    after = decide(slower, rate, calm, 5.0)
    assert after.changed
    assert (
        after.because
        == "the plan before would have missed the deadline: workers have become slower"
    )


def test_images_that_wait_are_work_of_the_plan_in_force_and_no_reason_to_leave_it() -> None:
    calm = decide(SCENES, 0.05, None, 0.0)
    light = calm.plan.main_lane.light
    waiting = replace(SCENES, queue={light: 2.0}, residual_s={light: 3.0})
    after = decide(waiting, 0.05, calm, 5.0)
    assert not after.changed
    # As soon as they are more than it can work off in time they are.
    drowned = replace(SCENES, backlog_s={light: 30.0}, drain_s=10.0)
    after = decide(drowned, 0.05, calm, 5.0)
    assert after.changed
    assert after.because == "overload: fewest predicted violations"


def test_demand_that_workers_cannot_carry_is_told_as_such_however_slow_they_are() -> None:
    calm = decide(SCENES, 0.5, None, 0.0)
    after = decide(replace(SCENES, latency_scale=2.0), 4.0, calm, 5.0)
    assert after.changed
    assert after.because == "the plan before could not carry the demand"

"""Plans small enough to work out by hand."""

import math
from dataclasses import replace

import pytest

from hadis.errors import InvalidInput
from hadis.planning import solving
from hadis.planning.problems import BatchPreference, Constraint, PlanStatus, Problem, Spares
from support.profiles import a_profile, a_row

# An image takes 1 s on small and 4 s on large; a batch of two on large takes 6 s, 3 s each.
LATENCIES = {"small": {1: 1.0}, "large": {1: 4.0, 2: 6.0}}
ALL_LARGE = a_row(direct=1.0, quality=10.0)
HALF = a_row(direct=0.5, quality=15.0)
ALL_SMALL = a_row(direct=0.0, quality=20.0)
PROFILE = a_profile(LATENCIES, [ALL_LARGE, HALF, ALL_SMALL])


def a_problem(**changes: object) -> Problem:
    given = {"profile": PROFILE, "demand_per_s": 1.0, "workers": 4, "slo_s": 20.0, **changes}
    return Problem(**given)  # type: ignore[arg-type]


def test_the_best_row_wins_when_the_workers_carry_it() -> None:
    # 1 a second, all to large: 4 workers one by one, 3 in pairs. Both fit; one by one is faster.
    plan = solving.solve(a_problem())
    assert plan.quality == 10.0
    assert plan.workers == {"large": 4}
    assert plan.batch == {"large": 1}
    assert plan.latency_s == 4.0
    assert plan.reasons.binding is Constraint.NONE


def test_larger_batches_carry_what_single_images_cannot() -> None:
    # 3 workers: 1/s * 4 s = 4 > 3 one by one, but 1/s * 3 s = 3 in pairs.
    plan = solving.solve(a_problem(workers=3))
    assert plan.quality == 10.0
    assert plan.batch == {"large": 2}
    assert plan.latency_s == 6.0


def test_a_tight_deadline_forbids_larger_batches() -> None:
    # 5 s allow no pair on large (6 s), so 3 workers cannot carry all of it; half of the prompts
    # on large take 0.5/s * 4 s = 2 workers, the others 0.5/s * 1 s = 1, but the path is 4 + 1 s.
    plan = solving.solve(a_problem(workers=3, slo_s=5.0))
    assert plan.quality == 15.0
    assert plan.workers == {"small": 1, "large": 2}
    assert plan.latency_s == 5.0
    assert plan.reasons.binding is Constraint.WORKERS_AND_LATENCY
    assert plan.reasons.alternative is not None
    assert plan.reasons.alternative.quality == 10.0
    assert "4 workers of 3" in plan.reasons.alternative.because


def test_two_lanes_use_the_worker_that_one_lane_leaves_idle() -> None:
    # 3.5 workers' worth of large at 1/s in pairs is impossible; with 2 workers one lane has to send
    # all to small. A share w of ALL_LARGE needs ceil(3 w) large and ceil(1 - w) small workers: with
    # w = 0.33 one worker each, quality 20 - 0.33 * 10 = 16.7.
    one = solving.solve(a_problem(workers=2))
    two = solving.solve(a_problem(workers=2, max_lanes=2))
    assert one.quality == 20.0
    assert two.quality == pytest.approx(16.7)
    assert [round(lane.share, 2) for lane in two.lanes] == [0.67, 0.33]
    assert two.workers == {"small": 1, "large": 1}


def test_a_queue_lengthens_the_path_by_littles_law() -> None:
    # 10 waiting on large, fed at 1/s: 10 s of waiting and 4 s of work are within 14 s, not 13.9 s.
    fits = solving.solve(a_problem(queue={"large": 10}, slo_s=14.0))
    late = solving.solve(a_problem(queue={"large": 10}, slo_s=13.9))
    assert (fits.quality, fits.latency_s) == (10.0, 14.0)
    assert late.quality == 20.0


def test_a_stage_that_a_row_never_uses_costs_nothing() -> None:
    plan = solving.solve(a_problem(workers=1, demand_per_s=0.2))
    assert plan.workers == {"large": 1}
    assert plan.light_ratio == 0.0


def test_equal_quality_goes_to_fewer_swaps_then_to_the_shorter_path() -> None:
    # Two models of equal quality; "quick" is faster, but "slow" is what the workers hold.
    latencies = {"quick": {1: 1.0}, "slow": {1: 2.0}}
    rows = [a_row("quick", "quick", quality=10.0), a_row("slow", "slow", quality=10.0)]
    problem = a_problem(profile=a_profile(latencies, rows), workers=2)
    assert set(solving.solve(problem).workers) == {"quick"}
    held = a_problem(profile=a_profile(latencies, rows), workers=2, current_workers={"slow": 2})
    assert set(solving.solve(held).workers) == {"slow"}


def test_a_swap_has_to_gain_what_it_costs() -> None:
    # Four workers hold small; 5 s allow no pair on large. All on large needs four swaps of 30 s:
    # 120 of 4 * 60 worker-seconds within a minute, half of the table's range of 10, and gains 10.
    # With 61 s the swaps cost 10.2, and the two of HALF 5.1 for a gain of 5.
    held = {"current_workers": {"small": 4}, "slo_s": 5.0}
    worth_it = solving.solve(a_problem(**held, swap_s={"large": 30.0}))
    too_dear = solving.solve(a_problem(**held, swap_s={"large": 61.0}))
    assert (worth_it.quality, worth_it.reasons.swaps) == (10.0, 4)
    assert (too_dear.quality, too_dear.reasons.swaps) == (20.0, 0)
    assert too_dear.reasons.binding is Constraint.SWAPS
    assert too_dear.reasons.alternative is not None
    assert "costs more than it gains" in too_dear.reasons.alternative.because


def test_spare_workers_load_nothing_unless_they_are_told_to() -> None:
    # HALF at 0.5/s needs one worker of each; two more hold a third model.
    profile = a_profile({**LATENCIES, "other": {1: 9.0}}, [HALF])
    given = {"profile": profile, "demand_per_s": 0.5, "slo_s": 30.0}
    held = {"current_workers": {"small": 1, "large": 1, "other": 2}}
    stay = solving.solve(a_problem(**given, **held))
    fill = solving.solve(a_problem(**given, **held, spares=Spares.FILL))
    assert (stay.workers, stay.reasons.swaps) == ({"small": 1, "large": 1}, 0)
    assert (fill.workers, fill.reasons.swaps) == ({"small": 1, "large": 3}, 2)
    assert stay.reasons.idle_workers == fill.reasons.idle_workers == 2


def test_pools_that_cannot_change_bound_the_plan() -> None:
    # One worker of large carries at most 0.25/s one by one, a third of a request in pairs: at 1/s
    # no row fits, at 0.5/s HALF does (0.25/s), with three workers of small that are there anyway.
    pools = {"small": 3, "large": 1}
    plan = solving.solve(a_problem(pools=pools, demand_per_s=0.5))
    assert (plan.quality, plan.workers) == (15.0, {"small": 3, "large": 1})
    assert plan.reasons.binding is Constraint.WORKERS
    assert solving.solve(a_problem(pools=pools)).quality == 20.0


def test_a_running_batch_lengthens_the_path() -> None:
    fits = solving.solve(a_problem(residual_s={"large": 16.0}))
    late = solving.solve(a_problem(residual_s={"large": 16.1}))
    assert (fits.quality, fits.latency_s) == (10.0, 20.0)
    assert late.quality == 20.0


def test_waiting_work_is_load_also_where_the_plan_does_not_use_its_model() -> None:
    # 40 worker-seconds to be done within 40 s keep one of the workers of large busy.
    backlog = {"backlog_s": {"large": 40.0}, "drain_s": 40.0}
    assert solving.solve(a_problem(**backlog, workers=5)).workers == {"large": 5}
    small = a_problem(profile=a_profile(LATENCIES, [ALL_SMALL]), workers=2)
    assert solving.solve(small).workers == {"small": 2}
    assert solving.solve(replace(small, **backlog)).workers == {"small": 1}
    assert solving.solve(replace(small, workers=1, **backlog)).status is PlanStatus.OVERLOAD


def test_the_wait_depends_on_what_the_row_itself_sends_to_a_model() -> None:
    # Five wait on large: 5 s where all prompts go there, 10 s where half of them do.
    queue = {"queue": {"large": 5}, "workers": 8}
    every, half = (
        solving.solve(a_problem(profile=a_profile(LATENCIES, [row]), **queue))
        for row in (ALL_LARGE, HALF)
    )
    assert every.latency_s == 5.0 + 4.0
    assert half.latency_s == 10.0 + 4.0 + 1.0


def test_in_a_mixture_everything_that_arrives_at_a_model_counts() -> None:
    # Two workers; w of the demand to ALL_LARGE. Five wait on large: 5 / w seconds, so that w = 0.33
    # needs 15.2 s and 4 s of work.
    given = {"workers": 2, "max_lanes": 2, "queue": {"large": 5}}
    within = solving.solve(a_problem(**given, slo_s=22.0))
    assert [round(lane.share, 2) for lane in within.lanes] == [0.67, 0.33]
    assert within.latency_s == pytest.approx(5 / 0.33 + 6.0, abs=1e-5)
    assert len(solving.solve(a_problem(**given, slo_s=19.0)).lanes) == 1


def test_the_slack_says_how_much_more_the_plan_would_carry() -> None:
    # 3/s on four workers of small, 75 % busy: a third more fills them.
    problem = a_problem(profile=a_profile(LATENCIES, [ALL_SMALL]), demand_per_s=3.0)
    plan = solving.solve(problem)
    assert plan.workers == {"small": 4}
    assert plan.reasons.slack_demand_per_s == pytest.approx(1.0)
    assert plan.reasons.slack_latency_s == pytest.approx(19.0)
    assert plan.reasons.idle_workers == 1


def test_a_fleet_of_a_million_is_staffed_as_one_of_a_few() -> None:
    # 100/s, half of it on each, keep 50 workers of small busy and 200 of large.
    problem = a_problem(
        profile=a_profile({"small": {1: 1.0}, "large": {1: 4.0}}, [HALF]), demand_per_s=100.0
    )
    few = solving.solve(replace(problem, workers=350, demand_per_s=100.0))
    many = solving.solve(replace(problem, workers=1_000_000, demand_per_s=100.0))
    assert sum(few.workers.values()) == 350
    assert sum(many.workers.values()) == 1_000_000
    assert many.workers["large"] / many.workers["small"] == pytest.approx(4.0, rel=1e-3)


def test_spare_workers_go_to_the_fullest_pool() -> None:
    # HALF at 0.5/s: small 0.25 and large 1.0 (one by one) of a worker; 2 of 4 workers are spare.
    problem = a_problem(
        profile=a_profile(LATENCIES, [HALF]), demand_per_s=0.5, workers=4, slo_s=30.0
    )
    assert solving.solve(problem).workers == {"small": 1, "large": 3}


def test_headroom_prefers_the_batch_that_carries_most() -> None:
    problem = a_problem(batch_preference=BatchPreference.HEADROOM)
    assert solving.solve(problem).batch == {"large": 2}


def test_workers_are_busy_at_most_up_to_the_limit() -> None:
    # 3 workers carry 1/s in pairs at exactly 100 %; at 90 % they do not.
    plan = solving.solve(a_problem(workers=3, utilisation_limit=0.9))
    assert plan.quality == 15.0


def test_a_lone_worker_of_a_cascade_makes_light_images() -> None:
    # Half of the prompts need large, but there is one worker: no plan may count on a second.
    profile = a_profile(LATENCIES, [HALF])
    plan = solving.solve(a_problem(profile=profile, workers=1))
    assert plan.status is PlanStatus.OVERLOAD
    assert plan.workers == {"small": 1, "large": 0}
    assert plan.reasons.predicted_violation_ratio == 1.0
    assert all(math.isfinite(share) for share in plan.reasons.utilisation.values())


def test_an_overload_misses_as_few_as_possible_and_then_prefers_quality() -> None:
    # 3/s on 2 workers: small alone carries 2 of 3, whatever the row with large.
    plan = solving.solve(a_problem(workers=2, demand_per_s=3.0))
    assert plan.status is PlanStatus.OVERLOAD
    assert plan.workers == {"small": 2}
    assert plan.reasons.predicted_violation_ratio == pytest.approx(1 / 3)
    assert plan.mean_latency_s == 20.0


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"demand_per_s": -1.0}, "demand is -1"),
        ({"demand_per_s": float("nan")}, "demand is nan"),
        ({"slo_s": 0.5}, "below the 1 s of the fastest model small"),
        ({"queue": {"medium": 3}}, "queue names medium"),
        ({"queue": {"small": -1}}, "queue.small is -1"),
        ({"current_workers": {"medium": 1}}, "current names medium"),
        ({"workers": 2_000_000}, "workers is 2000000"),
        ({"utilisation_limit": 0.0}, "utilisation_limit is 0"),
        ({"queue_safety_factor": -1.0}, "queue_safety_factor is -1"),
    ],
)
def test_problems_without_sense_are_refused(changes: dict[str, object], want: str) -> None:
    with pytest.raises(InvalidInput, match=want):
        solving.check(a_problem(**changes))

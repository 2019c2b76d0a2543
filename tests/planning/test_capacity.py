"""How many workers a load needs: the curve and its inverse agree with the planner."""

import itertools

import pytest

from hadis.planning import capacity, solving
from hadis.planning.problems import PlanStatus, Problem
from support.profiles import a_profile, a_row

# An image takes 1 s on small and 4 s on large.
LATENCIES = {"small": {1: 1.0}, "large": {1: 4.0}}
ROWS = [a_row(direct=share / 10, quality=20.0 - share) for share in range(11)]
PROBLEM = Problem(a_profile(LATENCIES, ROWS), demand_per_s=2.0, workers=1, slo_s=10.0)


def test_the_curve_begins_where_the_load_is_carried_and_ends_at_the_best_row() -> None:
    # 2 a second on small alone: 2 workers. All on large: 8. In between a share r on large needs
    # ceil(8 r) + ceil(2 (1 - r)) workers.
    points = list(capacity.curve(PROBLEM, 20))
    assert [point.workers for point in points] == [2, 3, 4, 5, 6, 7, 8]
    assert [point.plan.quality for point in points] == [20.0, 19.0, 18.0, 15.0, 14.0, 13.0, 10.0]


def test_better_pictures_never_need_fewer_workers() -> None:
    points = list(capacity.curve(PROBLEM, 20))
    for before, after in itertools.pairwise(points):
        assert after.plan.quality <= before.plan.quality


@pytest.mark.parametrize("quality", [20.0, 18.5, 15.0, 12.0, 10.0])
def test_the_fewest_workers_reach_the_quality_and_one_less_do_not(quality: float) -> None:
    point = capacity.fewest(PROBLEM, 64, quality=quality)
    assert point is not None
    assert point.plan.quality <= quality
    smaller = Problem(PROBLEM.profile, 2.0, workers=point.workers - 1, slo_s=10.0)
    plan = solving.solve(smaller)
    assert plan.status is PlanStatus.OVERLOAD or plan.quality > quality


def test_what_no_fleet_reaches_has_no_answer() -> None:
    assert capacity.fewest(PROBLEM, 64, quality=9.0) is None
    assert capacity.fewest(PROBLEM, 7, quality=10.0) is None
    assert list(capacity.curve(PROBLEM, 1)) == []


def test_steps_skip_fleets() -> None:
    assert [point.workers for point in capacity.curve(PROBLEM, 20, step=4)] == [2, 6, 10]

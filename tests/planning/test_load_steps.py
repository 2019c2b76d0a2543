"""The control cycle on a virtual fleet of two workers, with the load stepped up and down."""

import itertools
from collections.abc import Callable

import pytest

from hadis.planning import solving
from support.cascades import a_cascade
from support.profiles import a_scenes_profile
from support.virtual_fleet import Books, run

CASCADE = a_cascade("xs", "s", "m", "l")
PROFILE = a_scenes_profile()
UP_S, DOWN_S, END_S = 150.0, 330.0, 480.0


def stepped(low: float, high: float, offset_s: float) -> Callable[[float], float]:
    return lambda t: high if UP_S + offset_s <= t < DOWN_S + offset_s else low


@pytest.fixture(scope="module", params=[(0.5, 6.0, 2.5, 1), (1.0, 4.0, 1.0, 2), (0.5, 3.0, 4.0, 3)])
def books(request: pytest.FixtureRequest) -> Books:
    low, high, offset_s, seed = request.param
    return run(CASCADE, PROFILE, stepped(low, high, offset_s), END_S, seed=seed, peak_rate=8.0)


def test_each_step_of_load_causes_at_most_two_changes_of_plan(books: Books) -> None:
    assert books.changes(1.0, UP_S) == []
    assert 1 <= len(books.changes(UP_S, DOWN_S)) <= 2
    assert 1 <= len(books.changes(DOWN_S, END_S)) <= 2


def test_deadlines_are_met_once_settled(books: Books) -> None:
    assert books.late_share(30.0, UP_S) < 0.05
    assert books.late_share(UP_S + 40.0, DOWN_S) < 0.05
    assert books.late_share(DOWN_S + 40.0, END_S) < 0.05


def test_the_expected_mean_is_what_requests_take(books: Books) -> None:
    for start_s, end_s in ((60.0, UP_S), (UP_S + 90.0, DOWN_S), (DOWN_S + 60.0, END_S)):
        told = [o.summary for at, o in books.plans if start_s <= at < end_s]
        if max(max(s["reasons"]["utilisation"].values()) for s in told) > 0.7:  # type: ignore[index]
            continue
        latencies = books.latencies(start_s, end_s)
        want = sum(latencies) / len(latencies)
        mean = sum(float(s["mean_latency_s"]) for s in told) / len(told)  # type: ignore[arg-type]
        assert mean == pytest.approx(want, rel=0.2)


def test_versions_rise_with_every_change_of_the_table(books: Books) -> None:
    tables = [output.routing for _, output in books.plans]
    for before, after in itertools.pairwise(tables):
        same = (before.lanes, before.workers) == (after.lanes, after.workers)
        assert after.version == before.version if same else after.version > before.version


def test_worse_scores_than_profiled_are_noticed() -> None:
    books = run(
        CASCADE, PROFILE, lambda _: 5.0, 200.0, seed=5, peak_rate=6.0, escalation_factor=1.5
    )
    rows = {solving.lane_key(row): row for row in PROFILE.rows}
    compared = []
    for at_s, output in books.plans:
        mix = output.plan.mix
        profiled = sum(part.share * rows[solving.lane_key(part.row)].heavy_ratio for part in mix)
        # A row that rejects nothing, or everything, says nothing about scores.
        if at_s >= 40.0 and 0.0 < profiled < 1.0:
            compared.append(output.plan.heavy_ratio / profiled)
    assert max(compared) > 1.05


def test_slow_workers_are_planned_with_their_own_latencies() -> None:
    books = run(CASCADE, PROFILE, lambda _: 2.0, 240.0, seed=4, peak_rate=4.0, latency_scale=2.0)
    assert books.late_share(60.0, 240.0) < 0.05

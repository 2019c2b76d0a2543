"""Demand from counters: means, steps, ramps, restarts."""

import random

import pytest

from hadis.planning import forecasting
from hadis.planning.forecasting import DemandState, Forecast


def forecasts(counts: list[int], *, interval_s: float = 5.0) -> list[Forecast]:
    """Feed one router's arrivals an interval, from its start on."""
    state, total = DemandState(), 0
    state = forecasting.observe(state, 0.0, {"r": 0}, smoothing=0.5, interval_s=interval_s)
    found = []
    for number, count in enumerate(counts, start=1):
        total += count
        state = forecasting.observe(
            state, number * interval_s, {"r": total}, smoothing=0.5, interval_s=interval_s
        )
        found.append(forecasting.forecast(state, smoothing=0.5, interval_s=interval_s))
    return found


def poisson(rate: float, count: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        at, n = draw.expovariate(rate), 0
        while at < 1.0:
            at, n = at + draw.expovariate(rate), n + 1
        found.append(n)
    return found


def test_a_steady_demand_is_its_mean_and_the_headroom_shrinks_with_evidence() -> None:
    found = forecasts([10] * 12)
    assert found[-1].mean_per_s == pytest.approx(2.0)
    headroom = [f.planned_per_s - f.mean_per_s for f in found]
    assert headroom[0] > headroom[3] > headroom[-1] > 0.0


def test_noise_is_no_step() -> None:
    false_alarms = sum(forecasts(poisson(7.5, 60, seed))[-1].stepped_at_s > 0 for seed in range(20))
    assert false_alarms <= 3  # 20 times five minutes


@pytest.mark.parametrize(("before", "after"), [(5, 25), (25, 5), (2, 20), (30, 60)])
def test_a_step_is_seen_within_two_samples(before: int, after: int) -> None:
    found = forecasts([before] * 10 + [after] * 3)
    assert found[9].stepped_at_s == float("-inf")
    assert 50.0 < found[-1].stepped_at_s <= 60.0
    assert found[-1].mean_per_s == pytest.approx(after / 5, rel=0.01)


@pytest.mark.parametrize(
    ("after_s", "count", "shown"),
    [(2.0, 40, False), (3.0, 40, True), (3.0, 8, False), (4.9, 12, False), (4.9, 25, True)],
)
def test_a_step_shows_before_the_interval_is_over(after_s: float, count: int, shown: bool) -> None:
    pace = {"smoothing": 0.5, "interval_s": 5.0}
    state = DemandState()
    for number in range(11):
        state = forecasting.observe(state, 5.0 * number, {"r": 5 * number}, **pace)
    assert forecasting.shows_step(state, 50.0 + after_s, {"r": 50 + count}, **pace) is shown


@pytest.mark.parametrize(
    ("after_s", "count", "shown"), [(2.0, 12, False), (2.5, 13, True), (2.5, 5, False)]
)
def test_a_step_seen_in_part_shows_once_more_where_it_is_larger_than_it_seemed(
    after_s: float, count: int, shown: bool
) -> None:
    pace = {"smoothing": 0.5, "interval_s": 5.0}
    state = DemandState()
    for number, total in enumerate([*range(0, 22, 2), 36]):
        state = forecasting.observe(state, 5.0 * number, {"r": total}, **pace)
    assert state.mixed
    assert forecasting.shows_step(state, 55.0 + after_s, {"r": 36 + count}, **pace) is shown


def test_the_sample_that_a_step_falls_into_does_not_count() -> None:
    found = forecasts([5] * 10 + [15, 25, 25])
    assert found[-1].mean_per_s == pytest.approx(5.0)


def test_the_first_answer_to_a_step_allows_for_a_sample_that_is_half_old() -> None:
    found = forecasts([2] * 10 + [15])
    assert found[-1].mean_per_s == pytest.approx(3.0, rel=0.1)
    assert found[-1].planned_per_s > 6.0


def test_a_ramp_is_planned_ahead() -> None:
    steady = forecasts([200] * 8)[-1]
    rising = forecasts([200 + 10 * k for k in range(8)])[-1]
    assert steady.planned_per_s - steady.mean_per_s < 5.0
    assert rising.planned_per_s > 270 / 5


def test_no_request_means_no_demand_and_no_headroom() -> None:
    assert forecasts([0, 0, 0])[-1] == Forecast(0.0, 0.0, 15.0)


def test_a_restarted_router_counts_from_zero_and_two_routers_add_up() -> None:
    state = DemandState()
    for at_s, arrived in (
        (0.0, {"a": 100, "b": 50}),
        (5.0, {"a": 110, "b": 60}),
        (10.0, {"a": 120, "new": 10}),
    ):
        state = forecasting.observe(state, at_s, arrived, smoothing=0.5, interval_s=5.0)
    assert [s.arrivals for s in state.samples] == [20, 20]


def test_extra_cycles_do_not_chop_the_samples() -> None:
    state = DemandState()
    for at_s, arrived in ((0.0, 0), (1.0, 5), (2.0, 9), (5.0, 20)):
        state = forecasting.observe(state, at_s, {"r": arrived}, smoothing=0.5, interval_s=5.0)
    assert [(s.start_s, s.end_s, s.arrivals) for s in state.samples] == [(0.0, 5.0, 20)]

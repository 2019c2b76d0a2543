"""Replays of the figures: results are complete, repeatable, and averaged over seeds as they say."""

from pathlib import Path

import pytest
from benchmarks.paper import running
from benchmarks.paper.measurements import Measurements
from benchmarks.paper.running import Bound, Run

from hadis.profiling import workloads
from support.replays import a_gridded_profile

LOAD = "phases:40x3,30x12"


def some_data() -> Measurements:
    profile = a_gridded_profile()
    models = [model.name for model in profile.models]
    return Measurements(Path("nowhere"), profile, workloads.uniform(200, models, seed=3))


@pytest.mark.parametrize("policy", ["hadis-paper", "proteus", "discriminator-only"])
def test_every_request_of_a_window_is_delivered_or_dropped(policy: str) -> None:
    result = running.perform(some_data(), Run(LOAD, policy, slo_s=30.0))
    delivered = sum(sum(window["delivered"].values()) for window in result["windows"])
    assert result["requests"] == sum(window["requests"] for window in result["windows"]) > 300
    assert delivered == result["requests"] - result["dropped"]
    missed = sum(window["violations"] * window["requests"] for window in result["windows"])
    assert missed == pytest.approx(result["late"] + result["dropped"])


def test_the_light_model_takes_in_what_it_delivers_and_what_is_escalated() -> None:
    result = running.perform(some_data(), Run(LOAD, "discriminator-only", slo_s=30.0))
    escalated = sum(window["escalated"] for window in result["windows"])
    taken = sum(sum(window["intake"].values()) for window in result["windows"])
    delivered = sum(sum(window["delivered"].values()) for window in result["windows"])
    assert taken == delivered + escalated > delivered


def test_equal_tasks_have_equal_results_and_other_seeds_others() -> None:
    data = some_data()
    first = running.perform(data, Run(LOAD, "hadis-paper", seed=1))
    assert running.perform(data, Run(LOAD, "hadis-paper", seed=1)) == first
    assert running.perform(data, Run(LOAD, "hadis-paper", seed=2)) != first


def test_a_bound_over_fewer_rows_is_never_better() -> None:
    data = some_data()
    bounds = {
        rows: running.perform(data, Bound(LOAD, rows, slo_s=30.0))["fid"]
        for rows in ("hybrid", "router-only", "discriminator-only")
    }
    assert bounds["hybrid"] <= bounds["router-only"]
    assert bounds["hybrid"] <= bounds["discriminator-only"]


def a_window(start_s: float, requests: int, missed: int, **more: object) -> running.Numbers:
    ratio = missed / requests if requests else 0.0
    return {"start_s": start_s, "requests": requests, "violations": ratio, **more}


def test_the_worst_half_minute_counts_requests_and_not_windows() -> None:
    windows = [a_window(0, 10, 10), a_window(10, 90, 0), a_window(20, 0, 0), a_window(30, 10, 5)]
    # 10 of 100 in the first three, 5 of 100 in the last three.
    assert running.worst(windows) == pytest.approx(0.1)
    assert running.worst(windows, length=1) == 1.0


def test_windows_are_averaged_over_the_runs_that_have_them() -> None:
    one = {"windows": [a_window(0, 10, 1, fid=20.0, workers={"a": 2})]}
    two = {
        "windows": [
            a_window(0, 30, 9, fid=None, workers={"a": 1, "b": 1}),
            a_window(10, 4, 0, fid=24.0, workers={"b": 2}),
        ]
    }
    first, second = running.averaged_windows([one, two])
    assert first["violations"] == pytest.approx(10 / 40)
    assert (first["requests"], first["fid"], first["workers"]) == (20, 20.0, {"a": 1.5, "b": 0.5})
    assert (second["requests"], second["fid"]) == (4, 24.0)


def test_averages_leave_out_what_is_not_known() -> None:
    mean = running.averaged([{"fid": 20.0, "swaps": 1}, {"fid": None, "swaps": 4}])
    assert mean == {"fid": 20.0, "swaps": 2.5}

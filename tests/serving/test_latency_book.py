"""Expected batch times: what was measured, and what the profile says where nothing was."""

import pytest

from hadis_server.estimating import UNKNOWN_S, LatencyBook

TABLE = {"light": {1: 0.1, 2: 0.16, 4: 0.28}, "heavy": {1: 1.0, 4: 3.0}}


def test_before_any_measurement_the_profile_is_believed() -> None:
    book = LatencyBook(TABLE)
    assert book.estimate("light", 2) == pytest.approx(0.16)
    assert book.estimate("light", 3) == pytest.approx(0.22)  # half way between 2 and 4
    assert book.estimate("light", 8) == pytest.approx(0.56)  # beyond the table: no further gain
    assert book.estimate("other", 1) == UNKNOWN_S
    assert book.scale() is None


def test_a_measurement_scales_what_was_not_measured() -> None:
    book = LatencyBook(TABLE)
    book.observe("light", 1, 0.2)
    assert book.estimate("light", 1) == pytest.approx(0.2)
    assert book.estimate("light", 4) == pytest.approx(0.56)
    assert book.estimate("heavy", 1) == pytest.approx(2.0)
    assert book.scale() == pytest.approx(2.0)


def test_the_scale_is_the_median_of_the_ratios() -> None:
    book = LatencyBook(TABLE)
    book.observe("light", 1, 0.1)
    book.observe("light", 2, 0.24)
    book.observe("heavy", 1, 9.0)
    assert book.scale() == pytest.approx(1.5)


def test_measurements_are_smoothed_and_follow_a_change() -> None:
    book = LatencyBook({})
    book.observe("m", 1, 1.0)
    book.observe("m", 1, 2.0)
    assert 1.0 < book.estimate("m", 1) < 1.5
    for _ in range(30):
        book.observe("m", 1, 2.0)
    assert book.estimate("m", 1) == pytest.approx(2.0, rel=0.01)


def test_without_a_profile_larger_batches_are_taken_to_gain_nothing() -> None:
    book = LatencyBook({})
    book.observe("m", 2, 1.0)
    assert book.estimate("m", 4) == pytest.approx(2.0)
    assert book.estimate("m", 1) == pytest.approx(1.0)


def test_scoring_adds_to_the_time_of_service_only() -> None:
    book = LatencyBook(TABLE)
    book.observe_scoring("light", 0.01)
    assert book.service("light", 4) == pytest.approx(0.32)
    assert book.estimate("light", 4) == pytest.approx(0.28)


def test_a_forgotten_model_is_measured_anew() -> None:
    book = LatencyBook(TABLE)
    book.observe("light", 1, 0.2)
    assert book.unmeasured("light") is False
    book.forget("light")
    assert book.unmeasured("light") is True
    assert book.estimate("light", 1) == pytest.approx(0.1)

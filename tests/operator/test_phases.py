"""Phases are timed one by one, and a slow turn is told with what it was slow in."""

import pytest

from hadis_operator.phases import SLOW_S, TELL_EVERY_S, Phases


class Spent:
    """A clock that stands until time is spent, and the phases that it was told of."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.took: list[tuple[str, float]] = []
        self.phases = Phases(lambda name, seconds: self.took.append((name, seconds)), self.clock)

    def clock(self) -> float:
        return self.now_s

    def turn(self, fails_in: str = "", **phases: float) -> None:
        with self.phases.turn("images/scenes"):
            for name, seconds in phases.items():
                with self.phases.phase(name):
                    self.now_s += seconds
                    if name == fails_in:
                        raise TimeoutError


def test_each_phase_is_told_and_a_quick_turn_is_not(caplog: pytest.LogCaptureFixture) -> None:
    spent = Spent()
    spent.turn(observe=0.25, plan=0.5)
    assert spent.took == [("observe", 0.25), ("plan", 0.5)]
    assert caplog.messages == []


def test_a_slow_turn_says_what_took_so_long(caplog: pytest.LogCaptureFixture) -> None:
    Spent().turn(observe=SLOW_S, plan=0.5)
    assert caplog.messages == ["images/scenes: a turn took 2.5 s (observe 2.0, plan 0.5)"]


def test_a_slow_turn_that_fails_is_told_up_to_where_it_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spent = Spent()
    with pytest.raises(TimeoutError):
        spent.turn(observe=1.0, write=SLOW_S, report=1.0, fails_in="write")
    assert spent.took == [("observe", 1.0)]
    assert caplog.messages == ["images/scenes: a turn took 3.0 s (observe 1.0, write 2.0)"]


def test_turns_that_stay_slow_are_told_from_time_to_time(caplog: pytest.LogCaptureFixture) -> None:
    spent = Spent()
    for _ in range(7):
        spent.turn(write=TELL_EVERY_S / 4)
    assert len(caplog.messages) == 2

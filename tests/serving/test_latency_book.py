"""Expected batch times: what the newest batches say, and what the profile says before any."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hadis_server.estimating import UNKNOWN_S, LatencyBook

TABLE = {"light": {1: 0.1, 2: 0.16, 4: 0.28}, "heavy": {1: 1.0, 4: 3.0}}
IDLE_S = 60.0


class Machine:
    """Runs batches under virtual time: `pace` times what the profile says, `off` a model."""

    def __init__(self, *, off: dict[str, float] | None = None, **options: int) -> None:
        self.now_s = 1000.0
        self.pace = 1.0
        self.off = off or {}
        self.book = LatencyBook(TABLE, clock=lambda: self.now_s, **options)
        self._table = LatencyBook(TABLE, clock=lambda: 0.0)

    def takes_s(self, model: str, batch: int) -> float:
        return self._table.estimate(model, batch) * self.off.get(model, 1.0) * self.pace

    def run(self, model: str, batch: int = 1, *, times: int = 1, disturbed: float = 1.0) -> None:
        for _ in range(times):
            took_s = self.takes_s(model, batch) * disturbed
            self.now_s += took_s
            self.book.observe(model, batch, took_s)

    def calibrate(self) -> None:
        for model in TABLE:
            self.run(model)
        self.now_s += IDLE_S

    def errors(self, entries: Sequence[tuple[str, int]]) -> list[float]:
        """Return expected over true seconds."""
        return [self.book.estimate(*entry) / self.takes_s(*entry) for entry in entries]


EVERYTHING = [(model, batch) for model in TABLE for batch in (1, 2, 3, 4, 8)]


def a_book() -> LatencyBook:
    return LatencyBook(TABLE, clock=lambda: 0.0)


def test_before_any_measurement_the_profile_is_believed() -> None:
    book = a_book()
    assert book.estimate("light", 2) == pytest.approx(0.16)
    assert book.estimate("light", 3) == pytest.approx(0.22)  # half way between 2 and 4
    assert book.estimate("light", 8) == pytest.approx(0.56)  # beyond the table: no further gain
    assert book.estimate("other", 1) == UNKNOWN_S
    assert book.scale() is None


def test_the_first_measurement_scales_everything() -> None:
    book = a_book()
    book.observe("light", 1, 0.2)
    assert book.estimate("light", 1) == pytest.approx(0.2)
    assert book.estimate("light", 4) == pytest.approx(0.56)
    assert book.estimate("heavy", 1) == pytest.approx(2.0)
    assert book.scale() == pytest.approx(2.0)


@pytest.mark.parametrize("model", list(TABLE))
@pytest.mark.parametrize("batch", [1, 3])
def test_traffic_on_one_model_of_a_slowed_machine_soon_tells_for_all_and_so_does_recovery(
    model: str, batch: int
) -> None:
    machine = Machine()
    machine.calibrate()
    assert machine.book.scale() == pytest.approx(1.0)
    for pace in (2.0, 1.0, 0.5, 3.0, 1.0):
        machine.pace = pace
        machine.run(model, batch, times=10)
        assert machine.book.scale() == pytest.approx(pace, rel=0.01)
        assert machine.errors(EVERYTHING) == pytest.approx([1.0] * len(EVERYTHING), rel=0.01)


def test_slow_batches_tell_within_three_of_them() -> None:
    machine = Machine()
    machine.calibrate()
    machine.run("heavy", 4, times=6)
    machine.pace = 2.0
    machine.run("heavy", 4, times=3)
    assert machine.book.scale() == pytest.approx(2.0)


def test_mixed_traffic_tells_of_a_slowed_machine_too() -> None:
    machine = Machine()
    machine.calibrate()
    for pace in (1.0, 2.0, 1.0):
        machine.pace = pace
        for _ in range(10):
            machine.run("light", 4)
            machine.run("light", 1)
            machine.run("heavy")
        assert machine.book.scale() == pytest.approx(pace, rel=0.1)
        assert machine.errors(EVERYTHING) == pytest.approx([1.0] * len(EVERYTHING), rel=0.2)


@pytest.mark.parametrize("disturbed", [10.0, 0.1])
@pytest.mark.parametrize(("model", "batch"), [("light", 4), ("light", 1), ("heavy", 1)])
def test_one_disturbed_batch_changes_little(model: str, batch: int, disturbed: float) -> None:
    machine = Machine()
    machine.calibrate()
    machine.run("light", 4, times=4)
    machine.run(model, batch, disturbed=disturbed)
    for _ in range(10):
        assert machine.book.scale() == pytest.approx(1.0, rel=0.1)
        assert machine.errors(EVERYTHING) == pytest.approx([1.0] * len(EVERYTHING), rel=0.15)
        machine.run("light", 4)


def test_a_calibration_that_was_disturbed_is_outvoted_by_traffic() -> None:
    machine = Machine()
    machine.pace = 3.0
    machine.calibrate()
    machine.pace = 1.0
    machine.run("light", times=3)
    assert machine.errors(EVERYTHING) == pytest.approx([1.0] * len(EVERYTHING), rel=0.01)


def test_what_a_model_is_off_by_is_learnt_and_kept_when_the_machine_slows_down() -> None:
    machine = Machine(off={"heavy": 0.5})
    for _ in range(20):
        machine.run("light")
        machine.run("heavy")
    want = pytest.approx([1.0] * len(EVERYTHING), rel=0.1)
    assert machine.errors(EVERYTHING) == want
    machine.now_s += IDLE_S
    machine.pace = 2.0
    machine.run("light", times=10)
    assert machine.errors(EVERYTHING) == want


def test_traffic_on_one_model_teaches_no_other_model_a_habit() -> None:
    machine = Machine(off={"light": 1.5})
    machine.calibrate()
    machine.run("light", times=200)
    machine.run("heavy")  # at once, so that the pace of 1.5 may have been the machine's
    machine.run("heavy", times=12)
    assert machine.errors([("heavy", 1)]) == pytest.approx([1.0], rel=0.1)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(EVERYTHING), st.floats(0, 30)), min_size=1, max_size=60),
    st.floats(0.01, 100),
)
def test_on_a_steady_machine_every_estimate_is_right_whatever_was_measured(
    batches: list[tuple[tuple[str, int], float]], pace: float
) -> None:
    machine = Machine()
    machine.pace = pace
    for (model, batch), pause_s in batches:
        machine.run(model, batch)
        machine.now_s += pause_s
    assert machine.book.scale() == pytest.approx(pace)
    assert machine.errors(EVERYTHING) == pytest.approx([1.0] * len(EVERYTHING))


def test_without_a_profile_the_first_measurement_is_what_later_ones_are_compared_with() -> None:
    book = LatencyBook({}, clock=lambda: 0.0)
    book.observe("m", 2, 1.0)
    assert book.estimate("m", 4) == pytest.approx(2.0)  # batching is taken to gain nothing
    assert book.estimate("m", 1) == pytest.approx(1.0)
    for _ in range(10):
        book.observe("m", 2, 2.0)
    assert book.estimate("m", 2) == pytest.approx(2.0)
    book.observe("m", 4, 3.0)
    assert book.estimate("m", 4) == pytest.approx(3.0)
    assert book.scale() is None


def test_scoring_adds_to_the_time_of_service_only_and_follows_the_machine() -> None:
    book = a_book()
    book.observe_scoring("light", 0.01)
    assert book.service("light", 4) == pytest.approx(0.32)
    assert book.estimate("light", 4) == pytest.approx(0.28)
    book.observe("heavy", 1, 2.0)
    assert book.service("light", 4) == pytest.approx(0.64)


def test_batches_that_are_padded_take_as_long_as_full_ones() -> None:
    machine = Machine(smallest_batch=4)
    assert machine.book.estimate("light", 1) == pytest.approx(0.28)
    machine.book.observe("light", 1, 0.56)
    assert machine.book.scale() == pytest.approx(2.0)
    assert machine.book.unmeasured("light") is False
    assert machine.book.unmeasured("heavy") is True


def test_a_forgotten_model_is_measured_anew() -> None:
    book = a_book()
    book.observe("light", 1, 0.2)
    assert book.unmeasured("light") is False
    book.forget("light")
    assert book.unmeasured("light") is True
    assert book.estimate("light", 1) == pytest.approx(0.1)


def test_a_new_profile_drops_what_was_measured_against_the_old_table_only() -> None:
    book = a_book()
    book.observe("heavy", 1, 2.0)
    book.observe("light", 1, 0.2)
    book.follow({**TABLE, "light": {1: 0.4}})
    assert book.unmeasured("light") is True
    assert book.unmeasured("heavy") is False
    assert book.estimate("light", 1) == pytest.approx(0.8)
    assert book.estimate("heavy", 1) == pytest.approx(2.0)

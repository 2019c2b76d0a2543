"""Idle time is used to time every model once, and given back as soon as something waits."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hadis_server.calibrating import RUNS, Calibrator
from hadis_server.cancelling import BatchAbandoned
from hadis_server.estimating import LatencyBook
from hadis_server.intake import Intake
from support.live_workers import a_model


@dataclass
class AVariant:
    """Makes nothing, but does as a pipeline does: asks at each step whether to go on."""

    serial: int = 1
    name: str = "m"
    at_step: Callable[[], None] = lambda: None
    calls: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec = a_model(self.name, "/nowhere")

    def generate(self, rows: list[object], *, unwanted: Callable, pad_to: int, **_: object) -> None:
        self.calls.append(max(len(rows), pad_to))
        self.at_step()
        if unwanted():
            raise BatchAbandoned


class Bench:
    def __init__(self, *, pad_to: int = 0) -> None:
        self.offered = True
        self.book = LatencyBook({}, clock=lambda: 0.0, smallest_batch=max(1, pad_to))
        self.intake = Intake(clock=lambda: 0.0, estimate=lambda _m, _b: 1.0, max_waiting=9)
        self.calibrator = Calibrator(
            self.book, self.intake, offered=lambda _: self.offered, pad_to=pad_to
        )

    def run_errands(self) -> int:
        """Run what waits, as the denoising thread would, until nothing is left; count it."""
        ran = 0
        while True:
            # Taken only once nothing else waits, unless an errand that gave way has come back.
            self.intake.run(stop := lambda: None, when_idle=True)
            before = ran
            while (errand := self.intake.take()) is not stop:
                errand()
                ran += 1
            if ran == before:
                return ran


def test_a_variant_is_measured_once_however_often_it_is_asked_for() -> None:
    bench, variant = Bench(), AVariant()
    for _ in range(5):
        bench.calibrator.measure([variant])
    assert bench.run_errands() == 1
    assert len(variant.calls) == RUNS
    assert bench.book.unmeasured("m") is False
    bench.calibrator.measure([variant])
    assert bench.run_errands() == 0
    bench.book.forget("m")
    bench.calibrator.measure([variant])
    assert bench.run_errands() == 1


def test_a_measurement_gives_way_and_goes_on_where_it_stopped() -> None:
    bench = Bench()
    pressing = iter([False, True])
    variant = AVariant(
        at_step=lambda: bench.intake.run(lambda: None) if next(pressing, False) else None
    )
    bench.calibrator.measure([variant])
    bench.run_errands()
    assert len(variant.calls) == RUNS + 1
    assert bench.book.unmeasured("m") is False


def test_what_is_leaving_memory_or_was_measured_by_traffic_is_not_run() -> None:
    bench, variant = Bench(), AVariant()
    bench.calibrator.measure([variant])
    bench.offered = False
    bench.run_errands()
    assert variant.calls == []
    assert bench.book.unmeasured("m") is True
    bench.offered = True
    bench.calibrator.measure([variant])
    bench.book.observe("m", 1, 2.0)
    bench.run_errands()
    assert variant.calls == []
    assert bench.book.estimate("m", 1) == pytest.approx(2.0)


def test_a_fixed_batch_shape_is_measured_as_it_is_served() -> None:
    bench, variant = Bench(pad_to=4), AVariant()
    bench.calibrator.measure([variant])
    bench.run_errands()
    assert set(variant.calls) == {4}
    assert bench.book.unmeasured("m") is False

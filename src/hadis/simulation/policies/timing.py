"""Timing of solves, where somebody passes a clock: the domain reads none of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Clock = Callable[[], float]


class Stopwatch:
    """Collects the seconds of each solve in `solve_s`; without a clock it collects none."""

    def __init__(self, clock: Clock | None) -> None:
        self.solve_s: list[float] = []
        self._clock = clock
        self._started_s: float | None = None

    @property
    def for_planner(self) -> Clock | None:
        """A clock for the planner, which reads it once before and once after each solve."""
        return None if self._clock is None else self._read

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Take the block for a solve."""
        if self._clock is None:
            yield
            return
        self._read()
        yield
        self._read()

    def _read(self) -> float:
        assert self._clock is not None
        now_s = self._clock()
        if self._started_s is None:
            self._started_s = now_s
        else:
            self.solve_s.append(now_s - self._started_s)
            self._started_s = None
        return now_s

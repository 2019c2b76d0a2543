"""How long the phases of a turn take, and a word in the log when a turn is slow."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SLOW_S = 2.0
"""A turn that takes longer delays the answer to a step of the load noticeably."""
TELL_EVERY_S = 10.0
LOG = logging.getLogger(__name__)


class Phases:
    """The phases of one cascade's turns. `took` is told the name and the seconds of each."""

    def __init__(self, took: Callable[[str, float], None], clock: Callable[[], float]) -> None:
        self._took = took
        self._clock = clock
        self._seconds: dict[str, float] = {}
        self._told_s = float("-inf")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time one phase; one that fails counts for the turn and not for `took`."""
        began_s = self._clock()
        try:
            yield
        finally:
            self._seconds[name] = seconds = self._clock() - began_s
        self._took(name, seconds)

    @contextmanager
    def turn(self, who: object) -> Iterator[None]:
        """Time a whole turn, and tell of a slow one which phases took how long."""
        self._seconds = {}
        began_s = self._clock()
        try:
            yield
        finally:
            now_s = self._clock()
            if now_s - began_s > SLOW_S and now_s - self._told_s > TELL_EVERY_S:
                self._told_s = now_s
                parts = ", ".join(f"{name} {took:.1f}" for name, took in self._seconds.items())
                LOG.warning("%s: a turn took %.1f s (%s)", who, now_s - began_s, parts)

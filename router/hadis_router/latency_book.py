"""How long each model takes a batch: the profile's word, set right by what the replies tell."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile

SMOOTHING = 0.2  # weight of the newest answer: half of an estimate is replaced in three
HALF_LIFE_S = 30.0
"""What was learnt fades while nothing new is seen, half of it in this time. A model that was slow
for a moment would otherwise be expected to be late, never be asked again, and so never be seen to
be fast."""


class LatencyBook:
    """Expected seconds a batch, by model and batch size.

    Machines differ by one factor a model from the profile; the book learns that factor. Without a
    profile it learns the time of a single image and takes batches to cost as much as their images
    one by one. A model never seen is expected to take no time: predictions must not keep a first
    request out.
    """

    def __init__(
        self, profile: Profile | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._measured: dict[ModelName, dict[int, float]] = {}
        self._scale: dict[ModelName, Learnt] = {}
        self._transit_s = Learnt(0.0, clock())
        self.replace_profile(profile)

    @property
    def transit_s(self) -> float:
        """The expected seconds of a call beside queue and batch."""
        return self._transit_s.faded(0.0, self._clock())

    def replace_profile(self, profile: Profile | None) -> None:
        """Take over a profile; what was learnt about models whose latencies changed starts anew."""
        before = self._measured
        self._measured = (
            {}
            if profile is None
            else {entry.name: dict(sorted(entry.latency_s.items())) for entry in profile.models}
        )
        self._scale = {
            model: learnt
            for model, learnt in self._scale.items()
            if before.get(model) == self._measured.get(model)
        }

    def observe(self, model: ModelName, batch_size: int, seconds: float) -> None:
        """Learn from one finished batch."""
        if batch_size < 1 or seconds <= 0:
            return
        ratio = seconds / self._stated_s(model, batch_size)
        is_first_word = model not in self._measured and model not in self._scale
        old = ratio if is_first_word else self._present_scale(model)
        self._scale[model] = Learnt(old + SMOOTHING * (ratio - old), self._clock())

    def observe_transit(self, seconds: float) -> None:
        """Learn what a call takes beside queue and batch: encoding, two hops, a busy machine."""
        old = self.transit_s
        self._transit_s = Learnt(old + SMOOTHING * (max(0.0, seconds) - old), self._clock())

    def batch_s(self, model: ModelName, batch_size: int = 1) -> float:
        """Return the expected seconds of a batch."""
        return self._present_scale(model) * self._stated_s(model, max(1, batch_size))

    def stated_s(self, model: ModelName) -> float:
        """Return the profile's own seconds for one image, 0 without one."""
        return self._stated_s(model, 1) if model in self._measured else 0.0

    def _present_scale(self, model: ModelName) -> float:
        unlearnt = 1.0 if model in self._measured else 0.0
        learnt = self._scale.get(model)
        return unlearnt if learnt is None else learnt.faded(unlearnt, self._clock())

    def _stated_s(self, model: ModelName, batch_size: int) -> float:
        table = self._measured.get(model)
        return float(batch_size) if not table else interpolate(table, batch_size)


@dataclass(frozen=True, slots=True)
class Learnt:
    """A number and when it was learnt."""

    value: float
    at_s: float

    def faded(self, unlearnt: float, now_s: float) -> float:
        """Return the number as it is believed by now, on its way back to `unlearnt`."""
        remains = 0.5 ** ((now_s - self.at_s) / HALF_LIFE_S)
        return float(unlearnt + (self.value - unlearnt) * remains)


def interpolate(table: Mapping[int, float], batch_size: int) -> float:
    """Return seconds for a batch size between, below or above the measured ones (ascending)."""
    sizes = list(table)
    if batch_size <= sizes[0]:
        return table[sizes[0]]
    for lower, upper in pairwise(sizes):
        if batch_size <= upper:
            part = (batch_size - lower) / (upper - lower)
            return table[lower] + part * (table[upper] - table[lower])
    return table[sizes[-1]] * batch_size / sizes[-1]

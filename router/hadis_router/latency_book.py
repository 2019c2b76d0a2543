"""How long each model takes a batch: the profile's word, set right by what the replies tell."""

from collections.abc import Mapping
from itertools import pairwise

from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile

SMOOTHING = 0.2  # weight of the newest batch: half of an estimate is replaced in three


class LatencyBook:
    """Expected seconds a batch, by model and batch size.

    Machines differ by one factor a model from the profile; the book learns that factor. Without a
    profile it learns the time of a single image and takes batches to cost as much as their images
    one by one. A model never seen is expected to take no time: predictions must not keep a first
    request out.
    """

    def __init__(self, profile: Profile | None = None) -> None:
        self._measured: dict[ModelName, dict[int, float]] = {}
        self._scale: dict[ModelName, float] = {}
        self.transit_s = 0.0
        self.replace_profile(profile)

    def replace_profile(self, profile: Profile | None) -> None:
        """Take over a new profile; what was learnt about its models starts anew."""
        self._measured = (
            {}
            if profile is None
            else {entry.name: dict(sorted(entry.latency_s.items())) for entry in profile.models}
        )
        self._scale = {}

    def observe(self, model: ModelName, batch_size: int, seconds: float) -> None:
        """Learn from one finished batch."""
        if batch_size < 1 or seconds <= 0:
            return
        ratio = seconds / self._stated_s(model, batch_size)
        old = self._scale.get(model, 1.0 if model in self._measured else ratio)
        self._scale[model] = old + SMOOTHING * (ratio - old)

    def observe_transit(self, seconds: float) -> None:
        """Learn what a call takes beside queue and batch: encoding, two hops, a busy machine."""
        self.transit_s += SMOOTHING * (max(0.0, seconds) - self.transit_s)

    def batch_s(self, model: ModelName, batch_size: int = 1) -> float:
        """Return the expected seconds of a batch."""
        scale = self._scale.get(model, 1.0 if model in self._measured else 0.0)
        return scale * self._stated_s(model, max(1, batch_size))

    def _stated_s(self, model: ModelName, batch_size: int) -> float:
        table = self._measured.get(model)
        return float(batch_size) if not table else interpolate(table, batch_size)


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

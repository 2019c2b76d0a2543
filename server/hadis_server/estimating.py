"""How long batches take here: measured averages that start from the profile's table. Pure."""

import statistics
from collections.abc import Mapping

# Weight of the newest measurement: a dozen batches forget a disturbance.
SMOOTHING = 0.2
# What a batch is taken to last before anything is known of its model.
UNKNOWN_S = 1.0

Table = Mapping[str, Mapping[int, float]]


class LatencyBook:
    """Seconds of a batch by model and batch size.

    The denoising thread observes, any thread asks; no method iterates over what another may
    change.
    """

    def __init__(self, profile: Table) -> None:
        self._profile = profile
        self._measured: dict[tuple[str, int], float] = {}
        self._scoring_s: dict[str, float] = {}

    def follow(self, profile: Table) -> None:
        """Take a new profile; what was measured here stays."""
        self._profile = profile

    def observe(self, model: str, batch: int, seconds: float) -> None:
        """Note what a whole batch took."""
        before = self._measured.get((model, batch), seconds)
        self._measured[model, batch] = before + SMOOTHING * (seconds - before)

    def observe_scoring(self, model: str, seconds: float) -> None:
        """Note what scoring took for each image of a batch; 0 where none was scored."""
        before = self._scoring_s.get(model, seconds)
        self._scoring_s[model] = before + SMOOTHING * (seconds - before)

    def service(self, model: str, batch: int) -> float:
        """Return how long a batch keeps the denoising thread: making it and scoring it."""
        return self.estimate(model, batch) + batch * self._scoring_s.get(model, 0.0)

    def forget(self, model: str) -> None:
        """Drop what was measured of a model, because it is another one now."""
        for key in list(self._measured):
            if key[0] == model:
                self._measured.pop(key, None)

    def estimate(self, model: str, batch: int) -> float:
        """Return the expected seconds of a batch: measured, else derived from its nearest kin."""
        exact = self._measured.get((model, batch))
        if exact is not None:
            return exact
        measured = {
            size: seconds for (name, size), seconds in list(self._measured.items()) if name == model
        }
        table = self._profile.get(model)
        if not measured:
            return self._profiled(table, batch) * (self.scale() or 1.0) if table else UNKNOWN_S
        nearest = min(measured, key=lambda size: abs(size - batch))
        if table:
            return measured[nearest] * self._profiled(table, batch) / self._profiled(table, nearest)
        # Without a table the safe guess is that batching gains nothing.
        return measured[nearest] * max(1.0, batch / nearest)

    def scale(self) -> float | None:
        """Return the median of measured over profiled seconds; None before any is known."""
        ratios = [
            seconds / self._profile[model][batch]
            for (model, batch), seconds in list(self._measured.items())
            if self._profile.get(model, {}).get(batch)
        ]
        return statistics.median(ratios) if ratios else None

    def unmeasured(self, model: str) -> bool:
        """Return whether a batch of one image of `model` was never timed here."""
        return (model, 1) not in self._measured

    @staticmethod
    def _profiled(table: Mapping[int, float], batch: int) -> float:
        if batch in table:
            return table[batch]
        below = max((size for size in table if size < batch), default=None)
        above = min((size for size in table if size > batch), default=None)
        if below is None or above is None:
            nearest = below or above or 1
            return table[nearest] * max(1.0, batch / nearest)
        share = (batch - below) / (above - below)
        return table[below] + share * (table[above] - table[below])

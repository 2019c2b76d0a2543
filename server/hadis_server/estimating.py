"""How long batches take here, now: the profile's table, set right by what was measured. Pure.

    seconds = table[model][batch] x habit[model, batch] x pace

The pace is how fast this machine is at the moment, compared with the table. It is the same for all
models, so the traffic of one tells what the others would take, and it follows the newest batches
only: other processes come and go. A habit is what an entry of the table is off by beside the pace;
it hardly moves, and is learnt only where two different entries were measured one after the other,
since nothing else tells a slow machine from a slow model.
"""

import math
import statistics
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# The median of the newest batches is the pace: half of MOST_READINGS in a row, or half of RECENT_S,
# turn it; one disturbed batch does not, since there are FEWEST_READINGS even in sparse traffic.
MOST_READINGS = 16
FEWEST_READINGS = 5
RECENT_S = 10.0
# Part of a deviation that one pair of neighbours moves their habits by, and the largest deviation
# that is believed: the machine may have changed its pace just between the two.
LEARNING = 0.1
BELIEVED = math.log(2)
# Weight of the newest scoring.
SMOOTHING = 0.2
# What a batch is taken to last before anything is known of its model.
UNKNOWN_S = 1.0

Table = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Reading:
    """A measured batch. `deviation`: the logarithm of measured over tabulated seconds."""

    model: str
    batch: int
    deviation: float
    began_s: float
    ended_s: float


class LatencyBook:
    """Seconds of a batch by model and batch size. Any thread may call any method."""

    def __init__(
        self, profile: Table, *, clock: Callable[[], float], smallest_batch: int = 1
    ) -> None:
        """`smallest_batch`: smaller ones are padded to this many rows, and take as long."""
        self._clock = clock
        self._smallest_batch = smallest_batch
        self._profile = profile
        self._own: dict[str, dict[int, float]] = {}
        self._habits: dict[str, dict[int, float]] = {}
        self._readings: deque[Reading] = deque(maxlen=MOST_READINGS)
        self._pace = 1.0
        self._scoring_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def follow(self, profile: Table) -> None:
        """Take a new profile; what was measured of models with another table starts anew."""
        with self._lock:
            changed = [
                model
                for model in {*self._profile, *profile}
                if self._profile.get(model) != profile.get(model)
            ]
            self._profile = profile
            for model in changed:
                self._forget(model)

    def observe(self, model: str, batch: int, seconds: float) -> None:
        """Note what a whole batch took."""
        batch = max(batch, self._smallest_batch)
        if seconds <= 0:
            return
        with self._lock:
            habit = self._habit(model, batch)
            if model not in self._profile:
                # Its own first measurement becomes the table that later ones are compared with.
                own = self._own.setdefault(model, {})
                own.setdefault(batch, seconds / math.exp(habit) / self._pace)
            self._habits.setdefault(model, {}).setdefault(batch, habit)
            deviation = math.log(seconds / self._tabulated(model, batch))
            now_s = self._clock()
            reading = Reading(model, batch, deviation, now_s - seconds, now_s)
            self._learn_habits(reading)
            self._readings.append(reading)
            self._set_pace()

    def observe_scoring(self, model: str, seconds: float) -> None:
        """Note what scoring took for each image of a batch; 0 where none was scored."""
        with self._lock:
            paced_s = seconds / self._pace
            before_s = self._scoring_s.get(model, paced_s)
            self._scoring_s[model] = before_s + SMOOTHING * (paced_s - before_s)

    def estimate(self, model: str, batch: int) -> float:
        """Return the seconds that a batch should take now."""
        with self._lock:
            return self._estimate(model, batch)

    def service(self, model: str, batch: int) -> float:
        """Return how long a batch keeps the denoising thread: making it and scoring it."""
        with self._lock:
            scoring_s = self._scoring_s.get(model, 0.0) * self._pace
            return self._estimate(model, batch) + batch * scoring_s

    def scale(self) -> float | None:
        """Return by what the profile's seconds are to be multiplied now; None when unknown."""
        with self._lock:
            known = any(model in self._profile for model in self._habits)
            return self._pace if known else None

    def unmeasured(self, model: str) -> bool:
        """Return whether the smallest batch of `model` was never timed here."""
        with self._lock:
            return self._smallest_batch not in self._habits.get(model, {})

    def forget(self, model: str) -> None:
        """Drop what was measured of a model, because it is another one now."""
        with self._lock:
            self._forget(model)

    def _forget(self, model: str) -> None:
        self._own.pop(model, None)
        self._habits.pop(model, None)
        self._scoring_s.pop(model, None)
        left = [reading for reading in self._readings if reading.model != model]
        self._readings = deque(left, maxlen=MOST_READINGS)
        if left:
            self._set_pace()
        elif not self._habits:
            self._pace = 1.0

    def _learn_habits(self, reading: Reading) -> None:
        """Move the habits of this entry and the one measured just before it towards each other's
        difference; what one gains the other loses, so that only the pace can move them all."""
        if not self._readings:
            return
        before = self._readings[-1]
        is_other = (before.model, before.batch) != (reading.model, reading.batch)
        if not is_other or reading.began_s - before.ended_s > RECENT_S:
            return
        surprise = self._beside_habit(reading) - self._beside_habit(before)
        step = LEARNING / 2 * max(-BELIEVED, min(BELIEVED, surprise))
        self._habits[reading.model][reading.batch] += step
        self._habits[before.model][before.batch] -= step

    def _set_pace(self) -> None:
        since_s = self._readings[-1].ended_s - RECENT_S
        recent = sum(reading.ended_s >= since_s for reading in self._readings)
        newest = list(self._readings)[-max(recent, FEWEST_READINGS) :]
        self._pace = math.exp(statistics.median(map(self._beside_habit, newest)))

    def _beside_habit(self, reading: Reading) -> float:
        return reading.deviation - self._habits[reading.model][reading.batch]

    def _estimate(self, model: str, batch: int) -> float:
        batch = max(batch, self._smallest_batch)
        if model not in self._profile and model not in self._own:
            return UNKNOWN_S
        return self._tabulated(model, batch) * math.exp(self._habit(model, batch)) * self._pace

    def _habit(self, model: str, batch: int) -> float:
        """Return the habit of an entry; of one that was never measured, that of its nearest kin."""
        habits = self._habits.get(model)
        if not habits:
            return 0.0
        return habits[min(habits, key=lambda size: abs(size - batch))]

    def _tabulated(self, model: str, batch: int) -> float:
        table = self._profile.get(model) or self._own[model]
        if batch in table:
            return table[batch]
        below = max((size for size in table if size < batch), default=None)
        above = min((size for size in table if size > batch), default=None)
        if below is None or above is None:
            nearest = below or above or 1
            # Beyond the table the safe guess is that batching gains nothing.
            return table[nearest] * max(1.0, batch / nearest)
        share = (batch - below) / (above - below)
        return table[below] + share * (table[above] - table[below])

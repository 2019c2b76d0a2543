"""From routers' counters to the demand to plan for: mean, step, trend and headroom.

Counts of a few seconds are noisy: at one request a second five seconds hold 5 +- 2.2. A plain
EWMA either follows that noise, and the plan thrashes, or lags behind a real change. So the mean is
taken since the last step, a step is what a likelihood ratio test calls one, and how much is added
on top follows from how little evidence there is. The EWMA of section 4.4 still moves the mean
upwards when it is significantly above it, which catches ramps.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

MEMORY_S = 60.0
"""Evidence older than this no longer counts, as load drifts within minutes."""
ENOUGH_REQUESTS = 600
ENOUGH_S = 15.0
"""So many requests within at least so long tell a rate to 4 %: what is older only lags behind. With
half the caution the error may be twice as large, of a quarter of the requests."""
STEP_LIKELIHOOD = 12.0
"""Likelihood ratio of a step, about 3.5 standard deviations: one false alarm in half an hour."""
SAME_STEP_S = 15.0
"""Detections this close together are one step, seen first in a partial sample."""
TREND_WINDOW_S = 30.0
LOOK_AHEAD_S = 10.0
"""A plan made now serves until about two intervals from now."""
HEADROOM = ((12.0, 2.0), (math.inf, 1.5))
"""Standard errors added to the mean, by the length of the evidence: too few soon after a step would
mean a second change right after the first."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Arrivals within a stretch of time."""

    start_s: float
    end_s: float
    arrivals: int

    @property
    def duration_s(self) -> float:
        """Length of the stretch."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class DemandState:
    """What the forecast remembers: counters, samples since the last step, the EWMA.

    `mixed`: the first sample holds the step itself, so that its rate is neither the old nor the
    new one; it goes as soon as there is another.
    """

    at_s: float | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    stepped_at_s: float = -math.inf
    quick_per_s: float | None = None
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """Demand in requests a second: what it is, and what to plan for; `evidence_s` backs it."""

    mean_per_s: float = 0.0
    planned_per_s: float = 0.0
    evidence_s: float = 0.0
    stepped_at_s: float = -math.inf


def observe(
    state: DemandState,
    now_s: float,
    arrived: Mapping[str, int],
    *,
    smoothing: float,
    interval_s: float,
) -> DemandState:
    """Take a sample of each router's `arrived` counter, keyed by its uid.

    Calls within half an interval of the last sample leave the state as it is, so that extra cycles
    do not chop the samples. A router that restarted or appeared counts from zero.
    """
    if state.at_s is None:
        return replace(state, at_s=now_s, counters=dict(arrived))
    if now_s - state.at_s < interval_s / 2 or not arrived:
        return state
    fresh = sum(
        count - before if count >= (before := state.counters.get(uid, 0)) else count
        for uid, count in arrived.items()
    )
    sample = Sample(state.at_s, now_s, fresh)
    kept = state.samples[1:] if state.mixed else state.samples
    samples = tuple(s for s in (*kept, sample) if s.end_s > now_s - MEMORY_S)
    since = step_start(samples)
    stepped_at_s = state.stepped_at_s
    if since > 0:
        samples = samples[since:]
        if now_s - stepped_at_s > SAME_STEP_S:
            stepped_at_s = now_s
    rate = fresh / sample.duration_s
    weight = 1.0 - (1.0 - smoothing) ** (sample.duration_s / interval_s)
    quick = rate if state.quick_per_s is None else state.quick_per_s
    return DemandState(
        at_s=now_s,
        counters=dict(arrived),
        samples=samples,
        stepped_at_s=stepped_at_s,
        quick_per_s=quick + weight * (rate - quick),
        mixed=since > 0,
    )


def shows_step(
    state: DemandState,
    now_s: float,
    arrived: Mapping[str, int],
    *,
    smoothing: float,
    interval_s: float,
) -> bool:
    """Return whether what has arrived since the last sample tells of a step of the load already.

    Then the next cycle need not be waited for: a sample may be taken after half an interval. A step
    that was first seen in part is told of once more where it is larger than it seemed.
    """
    ahead = observe(state, now_s, arrived, smoothing=smoothing, interval_s=interval_s)
    if ahead.stepped_at_s > state.stepped_at_s:
        return True
    if not state.mixed or ahead is state:
        return False
    whole, part = (
        forecast(each, smoothing=smoothing, interval_s=interval_s) for each in (ahead, state)
    )
    return whole.mean_per_s > part.mean_per_s


def step_start(samples: Sequence[Sample]) -> int:
    """Return the index at which the rate stepped, 0 when it did not.

    Compares every split of the samples: Poisson counts before and after against one common rate.
    """
    best, at = STEP_LIKELIHOOD, 0
    total_n = sum(s.arrivals for s in samples)
    total_s = sum(s.duration_s for s in samples)
    before_n = before_s = 0.0
    for index in range(1, len(samples)):
        before_n += samples[index - 1].arrivals
        before_s += samples[index - 1].duration_s
        after_n, after_s = total_n - before_n, total_s - before_s
        common = total_n / total_s
        ratio = 2.0 * (
            _likelihood(before_n, before_s * common) + _likelihood(after_n, after_s * common)
        )
        if ratio > best:
            best, at = ratio, index
    return at


def forecast(
    state: DemandState,
    *,
    smoothing: float,
    interval_s: float,
    caution: float = 1.0,
    look_ahead_s: float = LOOK_AHEAD_S,
) -> Forecast:
    """Return the demand that the samples speak for; zero without any.

    `caution` multiplies the headroom; `look_ahead_s` is when a plan made now will be at its best.
    """
    if not state.samples:
        return Forecast(stepped_at_s=state.stepped_at_s)
    evidence = newest(state.samples, caution**2 * ENOUGH_REQUESTS)
    count = sum(s.arrivals for s in evidence)
    evidence_s = sum(s.duration_s for s in evidence)
    mean = count / evidence_s
    quick = mean if state.quick_per_s is None else state.quick_per_s
    spread = math.sqrt(mean * smoothing / (2.0 - smoothing) / interval_s)
    mean = max(mean, quick - 3.0 * spread)
    errors = next(count for below_s, count in HEADROOM if evidence_s < below_s)
    margin = errors * math.sqrt(count + 1.0) / evidence_s
    ahead = look_ahead_s * _rising_per_s2(state.samples)
    if state.mixed and len(evidence) == len(state.samples):
        # On average a step falls in the middle of its sample: the other half was the old rate.
        ahead = max(ahead, caution * mean)
    # Nobody has asked for anything yet: no headroom, or an idle fleet would plan for a crowd.
    planned = mean + caution * margin + ahead if count else 0.0
    return Forecast(mean, planned, evidence_s, state.stepped_at_s)


def newest(samples: Sequence[Sample], requests: float) -> Sequence[Sample]:
    """Return the newest samples with so many requests, over ENOUGH_S at least; else all."""
    count, seconds = 0, 0.0
    for place in range(len(samples) - 1, -1, -1):
        count += samples[place].arrivals
        seconds += samples[place].duration_s
        if count >= requests and seconds >= ENOUGH_S:
            return samples[place:]
    return samples


def _likelihood(count: float, expected: float) -> float:
    return count * math.log(count / expected) - (count - expected) if count > 0 else expected


def _rising_per_s2(samples: Sequence[Sample]) -> float:
    """Return the slope of the recent rate as far as it is significant and upwards, else 0."""
    recent = [s for s in samples if s.start_s >= samples[-1].end_s - TREND_WINDOW_S]
    if len(recent) < 4:
        return 0.0
    weight = [s.duration_s for s in recent]
    total = sum(weight)
    middle = [(s.start_s + s.end_s) / 2 for s in recent]
    centre = sum(w * t for w, t in zip(weight, middle, strict=True)) / total
    spread = sum(w * (t - centre) ** 2 for w, t in zip(weight, middle, strict=True))
    slope = sum(s.arrivals * (t - centre) for s, t in zip(recent, middle, strict=True)) / spread
    mean = sum(s.arrivals for s in recent) / total
    return max(slope - 2.0 * math.sqrt(mean / spread), 0.0)

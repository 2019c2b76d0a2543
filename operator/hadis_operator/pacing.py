"""Counters that were scraped less often than plans are made, spread evenly over the gaps.

With a scrape every 30 s and a plan every 5 s a steady load would look like five quiet intervals and
one burst, and every burst like a step of the load. So what a lazy scrape has found is played back
over the time until the next one. Frequent scrapes are taken as they are, without any delay. All
this is for routers that do not answer themselves: nothing that one tells waits for a scrape.
"""

from dataclasses import dataclass

from hadis_operator.counting import Counts
from hadis_operator.prometheus import Sample


@dataclass(frozen=True, slots=True)
class Pace:
    """The two newest samples of one router."""

    latest: Sample
    earlier: Sample | None = None

    @property
    def gap_s(self) -> float:
        """The time between the two; none before there is a second."""
        return 0.0 if self.earlier is None else self.latest.at_epoch_s - self.earlier.at_epoch_s


def follow(pace: Pace | None, sample: Sample) -> Pace:
    """Return the pace with a sample that may be the one known already."""
    if pace is None:
        return Pace(sample)
    if sample.at_epoch_s <= pace.latest.at_epoch_s:
        return pace
    return Pace(sample, pace.latest)


def lags(pace: Pace, now_epoch_s: float, *, interval_s: float) -> bool:
    """Return whether what `counts` shows is older than half an interval, or played back."""
    return now_epoch_s - pace.latest.at_epoch_s > interval_s / 2 or pace.gap_s > interval_s


def counts(pace: Pace, now_epoch_s: float, *, interval_s: float) -> Counts:
    """Return the counts to show now."""
    latest, earlier = pace.latest, pace.earlier
    if earlier is None or pace.gap_s <= interval_s:
        return latest.counts
    part = min(max((now_epoch_s - latest.at_epoch_s) / pace.gap_s, 0.0), 1.0)
    return {
        name: count
        if count < (before := earlier.counts.get(name, 0))  # it has restarted
        else before + int(part * (count - before))
        for name, count in latest.counts.items()
    }

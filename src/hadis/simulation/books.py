"""The books of a replay: one outcome a request, counted in the window and lane of its arrival.

Nothing is kept a request, so that a million of them fit: counters a window and lane, a histogram of
latencies, and the router's own counters.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hadis.planning.snapshots import ObservedRouter
from hadis.routing import lifecycles
from hadis.simulation.quality import Served
from hadis.terms.assignments import Lane
from hadis.terms.outcomes import ImagePath, Outcome

WINDOW_S = 10.0
BINS = 20_000
"""Of the histogram, over twice the SLO: 6 ms each at 60 s."""

OUTCOMES = (
    lifecycles.outcome_of(ImagePath.LIGHT),
    lifecycles.outcome_of(ImagePath.HEAVY),
    lifecycles.outcome_of(ImagePath.LIGHT_HEAVY),
    lifecycles.outcome_of(ImagePath.DEGRADED),
    Outcome.REJECTED,
    Outcome.EXPIRED,
)
LIGHT, HEAVY, ESCALATED, DEGRADED, REJECTED, EXPIRED = range(len(OUTCOMES))
LATE = len(OUTCOMES)
"""In a tally behind the outcomes: delivered after the deadline."""

Tally = list[int]
LaneKey = tuple[Lane, bool]
"""A lane without its share, and whether its prompts and models are drawn at random."""


def empty_tally() -> Tally:
    """Return zeros: a count an outcome, and the late ones."""
    return [0] * (LATE + 1)


@dataclass(slots=True)
class Window:
    """Ten seconds of arrivals: what became of them, and the fleet's models at the end."""

    start_s: float
    lanes: dict[LaneKey, Tally] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    loading: int = 0
    status: str = ""

    @property
    def total(self) -> Tally:
        """The sum over the lanes."""
        return [sum(column) for column in zip(empty_tally(), *self.lanes.values(), strict=True)]

    def served(self) -> Iterator[tuple[LaneKey, Served]]:
        """Yield what each lane served, where it served anything."""
        for key, tally in self.lanes.items():
            served = Served(tally[LIGHT] + tally[DEGRADED], tally[HEAVY], tally[ESCALATED])
            if served.total:
                yield key, served


@dataclass(slots=True)
class RouterCounts:
    """What a router counts since its start, as production's `GET /status` tells it."""

    arrived: int = 0
    direct: int = 0
    judged: int = 0
    escalated: int = 0
    late: int = 0
    dropped: int = 0

    def observed(self, uid: str, version: int) -> ObservedRouter:
        """Return the router as a controller sees it; all of a replay's prompts are planned."""
        return ObservedRouter(
            uid=uid,
            arrived=self.arrived,
            planned=self.arrived,
            direct=self.direct,
            judged=self.judged,
            escalated=self.escalated,
            late=self.late,
            dropped=self.dropped,
            routing_version=version,
        )


class Books:
    """Counts endings. `overhead_s` is added to each latency: router, hardness, HTTP."""

    def __init__(self, slo_s: float, overhead_s: float) -> None:
        self.counts = RouterCounts()
        self.windows: list[Window] = [Window(0.0)]
        self.window_end_s = WINDOW_S
        self.latency_sum_s = 0.0
        self.histogram = [0] * (BINS + 1)
        self._slo_s = slo_s
        self._overhead_s = overhead_s
        self._bins_per_s = BINS / (2.0 * slo_s)

    def turn_to(self, now_s: float) -> None:
        """Open the window of `now_s`; windows in which nothing arrives are there, too."""
        while now_s >= self.window_end_s:
            before = self.windows[-1]
            # Counted from the first, or thousands of windows would add up to a rounding error.
            start_s = len(self.windows) * WINDOW_S
            self.windows.append(Window(start_s, {}, before.workers, before.loading, before.status))
            self.window_end_s = start_s + WINDOW_S

    def tally(self, key: LaneKey) -> Tally:
        """Return the counters of a lane in the open window."""
        return self.windows[-1].lanes.setdefault(key, empty_tally())

    def deliver(self, tally: Tally, outcome: int, arrived_s: float, now_s: float) -> None:
        """Count a picture that is delivered now."""
        tally[outcome] += 1
        latency_s = now_s - arrived_s + self._overhead_s
        self.latency_sum_s += latency_s
        place = int(latency_s * self._bins_per_s)
        self.histogram[place if place < BINS else BINS] += 1
        if latency_s > self._slo_s:
            tally[LATE] += 1
            self.counts.late += 1

    def drop(self, tally: Tally, outcome: int) -> None:
        """Count a request that gets no picture."""
        tally[outcome] += 1
        self.counts.dropped += 1

    def totals(self) -> Tally:
        """Return the sum over all windows."""
        return [sum(column) for column in zip(*(w.total for w in self.windows), strict=True)]

    def quantile_s(self, share: float) -> float | None:
        """Return the latency that `share` of the delivered pictures does not exceed."""
        wanted = share * sum(self.histogram)
        reached = 0
        for place, count in enumerate(self.histogram):
            reached += count
            if count and reached >= wanted:
                return (place + 1) / self._bins_per_s
        return None

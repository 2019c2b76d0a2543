"""The last five minutes, second by second, for the charts of the playground."""

from collections import deque
from dataclasses import dataclass, field

from hadis.terms.outcomes import Outcome

SECONDS = 300
COUNTED = (
    "demand",
    "served_light",
    "served_heavy",
    "escalated",
    "degraded",
    "rejected",
    "late",
)


@dataclass(slots=True)
class Moment:
    """What is in force during a second, not counted in it."""

    hardness_threshold: float | None = None
    quality_threshold: float | None = None
    workers: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Second:
    at: int
    counts: dict[str, int]
    moment: Moment


class History:
    """A ring of seconds. Times are of the router's clock; `epoch_s` turns them into wall time."""

    def __init__(self, now_s: float, *, epoch_s: float) -> None:
        self._epoch_s = epoch_s
        self._moment = Moment()
        self._ring: deque[_Second] = deque(maxlen=SECONDS)
        self._ring.append(_Second(self._second(now_s), dict.fromkeys(COUNTED, 0), self._moment))

    def add(self, now_s: float, name: str, count: int) -> None:
        """Count into the present second."""
        self._advance(now_s)
        self._ring[-1].counts[name] += count

    def add_outcome(self, now_s: float, outcome: Outcome) -> None:
        """Count an image's end, if the charts show it."""
        if outcome.value in COUNTED:
            self.add(now_s, outcome.value, 1)

    def set_moment(self, now_s: float, moment: Moment) -> None:
        """Note what is in force from this second on."""
        self._advance(now_s)
        self._moment = moment
        self._ring[-1].moment = moment

    def demand_per_s(self, now_s: float, window: int = 10) -> float:
        """Return the mean demand over the last whole seconds."""
        self._advance(now_s)
        seconds = list(self._ring)[-window - 1 : -1]
        if not seconds:
            return 0.0
        return sum(second.counts["demand"] for second in seconds) / len(seconds)

    def body(self, now_s: float) -> dict[str, object]:
        """Return the columns that `/v1/status` shows."""
        self._advance(now_s)
        ring = list(self._ring)
        models = sorted({model for second in ring for model in second.moment.workers})
        return {
            "interval_s": 1,
            "seconds": [second.at for second in ring],
            **{name: [second.counts[name] for second in ring] for name in COUNTED},
            "hardness_threshold": [second.moment.hardness_threshold for second in ring],
            "quality_threshold": [second.moment.quality_threshold for second in ring],
            "workers": {
                model: [second.moment.workers.get(model, 0) for second in ring] for model in models
            },
        }

    def _second(self, now_s: float) -> int:
        return int(now_s + self._epoch_s)

    def _advance(self, now_s: float) -> None:
        at = self._second(now_s)
        first = max(self._ring[-1].at + 1, at - SECONDS + 1)
        for second in range(first, at + 1):
            self._ring.append(_Second(second, dict.fromkeys(COUNTED, 0), self._moment))

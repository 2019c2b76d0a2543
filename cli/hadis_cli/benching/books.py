"""The client's books: what was sent, how it ended, how late it was, and whether the run counts.

Lateness is judged from the *scheduled* send time. A generator that fell behind would otherwise
flatter the server, so it also reports its own lag and calls such a run invalid.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hadis.terms.outcomes import ImagePath, Outcome

UNANSWERED = "unanswered"
"""No HTTP answer came: refused connection, broken connection, or silence past every deadline."""
REFUSED = "refused"
"""An answer without an outcome: the request itself was wrong (400, 401, 404, 413)."""
LAG_SHARE_OF_SLO = 0.05
MIN_LAG_LIMIT_S = 0.1  # what a busy two-core machine does to a sleeping process
LAGGING_SHARE = 0.01

OUTCOME_OF_PATH = {
    ImagePath.LIGHT: Outcome.SERVED_LIGHT,
    ImagePath.HEAVY: Outcome.SERVED_HEAVY,
    ImagePath.LIGHT_HEAVY: Outcome.ESCALATED,
    ImagePath.KEPT: Outcome.ESCALATED,
    ImagePath.DEGRADED: Outcome.DEGRADED,
}
LIGHT_RAN = frozenset({"light", "light>heavy", "kept", "degraded"})
HEAVY_RAN = frozenset({"heavy", "light>heavy", "kept"})


@dataclass(slots=True)
class Entry:
    """One request. Times are seconds since the run's start; `status` 0 is no answer."""

    scheduled_s: float
    prompt: str
    seed: int
    sent_s: float | None = None
    done_s: float | None = None
    status: int = 0
    outcome: str = UNANSWERED
    path: str | None = None
    model: str | None = None
    total_s: float | None = None
    error: str | None = None

    @property
    def latency_s(self) -> float:
        """Seconds from the scheduled send time to the last byte."""
        return math.inf if self.done_s is None else self.done_s - self.scheduled_s

    @property
    def lag_s(self) -> float:
        """Seconds from the scheduled send time until the request was on the wire."""
        return math.inf if self.sent_s is None else self.sent_s - self.scheduled_s


@dataclass(slots=True)
class Tally:
    """Running counts for progress bars and the load slider; cheap enough for every request."""

    sent: int = 0
    completed: int = 0
    late: int = 0
    by_outcome: Counter[str] = field(default_factory=Counter)

    def book(self, entry: Entry, slo_s: float) -> None:
        """Count a request that has ended."""
        self.completed += 1
        self.by_outcome[entry.outcome] += 1
        self.late += is_late(entry, slo_s)


def is_late(entry: Entry, slo_s: float) -> bool:
    """Return whether an image came, but after the SLO."""
    return entry.status == 200 and entry.latency_s > slo_s


def summarise(entries: Sequence[Entry], *, slo_s: float, wall_s: float) -> dict[str, object]:
    """Return the report of a run as plain JSON values."""
    served = [entry for entry in entries if entry.status == 200]
    late = sum(is_late(entry, slo_s) for entry in entries)
    total = len(entries)
    latencies = sorted(entry.latency_s for entry in served)
    paths = Counter(entry.path for entry in served if entry.path)
    planned = sum(paths[path] for path in LIGHT_RAN | HEAVY_RAN)
    reason = trouble(entries, slo_s)
    return {
        "valid": reason is None,
        "invalid_because": reason,
        "requests": total,
        "wall_s": round(wall_s, 3),
        "slo_s": slo_s,
        "offered_per_s": round(_rate(entries), 4),
        "outcomes": dict(Counter(entry.outcome for entry in entries)),
        "by_status": {str(code): n for code, n in Counter(e.status for e in entries).items()},
        "by_path": dict(paths),
        "by_model": dict(Counter(entry.model for entry in served if entry.model)),
        "served": len(served),
        "on_time": len(served) - late,
        "late": late,
        "slo_violation_ratio": _ratio(late + total - len(served), total),
        "route_ratio": {
            "light": _ratio(sum(paths[path] for path in LIGHT_RAN), planned),
            "heavy": _ratio(sum(paths[path] for path in HEAVY_RAN), planned),
        },
        "latency_s": _quantiles(latencies),
        "mean_latency_s": round(sum(latencies) / len(latencies), 4) if latencies else None,
        "send_lag_s": _quantiles(sorted(e.lag_s for e in entries if e.sent_s is not None)),
        "errors": dict(Counter(entry.error for entry in entries if entry.error).most_common(10)),
    }


def trouble(entries: Sequence[Entry], slo_s: float) -> str | None:
    """Return why a run does not count, or None."""
    if not entries:
        return "no request was scheduled; raise --rate or --duration"
    limit_s = max(MIN_LAG_LIMIT_S, LAG_SHARE_OF_SLO * slo_s)
    lagging = [e for e in entries if e.sent_s is not None and e.lag_s > limit_s]
    if len(lagging) > LAGGING_SHARE * len(entries):
        worst_s = max(entry.lag_s for entry in lagging)
        return (
            f"the generator fell behind: {len(lagging)} of {len(entries)} requests left more than "
            f"{limit_s:.2g} s after their time (at worst {worst_s:.2f} s); lower the rate or use "
            "another machine for the load"
        )
    if all(entry.status == 0 for entry in entries):
        return f"the endpoint never answered: {entries[0].error}"
    return None


def _rate(entries: Sequence[Entry]) -> float:
    span_s = max((entry.scheduled_s for entry in entries), default=0.0)
    return len(entries) / span_s if span_s > 0 else 0.0


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _quantiles(ordered: Sequence[float]) -> dict[str, float] | None:
    if not ordered:
        return None
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}
    last = len(ordered) - 1
    return {name: round(ordered[math.ceil(share * last)], 4) for name, share in shares.items()}

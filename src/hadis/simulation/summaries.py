"""What a replay comes to: one object a policy, and one a window of ten seconds."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hadis.simulation import quality
from hadis.simulation.books import (
    DEGRADED,
    ESCALATED,
    EXPIRED,
    HEAVY,
    LATE,
    LIGHT,
    OUTCOMES,
    REJECTED,
    Tally,
    Window,
)
from hadis.simulation.directing import Policy
from hadis.simulation.quality import Grid
from hadis.simulation.replaying import Replayed
from hadis.simulation.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one policy, as `hadis simulate --json` prints them, and its time series."""

    figures: Mapping[str, object]
    series: tuple[Mapping[str, object], ...]


def summarise(scenario: Scenario, policy: Policy, done: Replayed, *, wall_s: float) -> Summary:
    """Return the figures of a replay; `wall_s` is how long it took."""
    books = done.books
    grids = quality.grids(scenario.profile)
    tally = books.totals()
    requests, served = sum(tally[:LATE]), _served(tally)
    values = {grid.metric: mean_quality(grid, books.windows) for grid in grids}
    metric = scenario.profile.quality.metric
    capacity_s = scenario.workers * done.end_s
    figures: dict[str, object] = {
        "policy": policy.name,
        "requests": requests,
        "fid": _rounded(values.get("fid"), 4),
        "quality": {"metric": metric, "value": _rounded(values[metric], 6)},
        "slo_violation_ratio": _ratio(_violations(tally), requests),
        "violations": {"late": tally[LATE], "dropped": tally[REJECTED] + tally[EXPIRED]},
        "outcomes": {outcome.value: tally[place] for place, outcome in enumerate(OUTCOMES)},
        "escalation_ratio": _ratio(tally[ESCALATED], requests),
        "direct_ratio": _ratio(tally[HEAVY], requests),
        "degraded_ratio": _ratio(tally[DEGRADED], requests),
        "swaps": done.swaps,
        "mean_latency_s": _rounded(books.latency_sum_s / served if served else None, 6),
        "p99_latency_s": _rounded(books.quantile_s(0.99), 6),
        "busy_ratio": _rounded(done.busy_s / capacity_s if capacity_s else None, 6),
        "solve_s": {
            "median": _rounded(statistics.median(policy.solve_s) if policy.solve_s else None, 6),
            "max": _rounded(max(policy.solve_s, default=None), 6),
        },
        "wall_s": round(wall_s, 3),
    }
    return Summary(figures, tuple(series(grids, books.windows)))


def mean_quality(grid: Grid, windows: Iterable[Window]) -> float | None:
    """Return the mean over the windows, weighted by what they served; None without any picture."""
    total, weighted = 0, 0.0
    for window in windows:
        value, served = window_quality(grid, window)
        if value is not None:
            total += served
            weighted += served * value
    return weighted / total if total else None


def window_quality(grid: Grid, window: Window) -> tuple[float | None, int]:
    """Return the quality of a window's pictures and how many there are: its lanes' mean."""
    total, weighted = 0, 0.0
    for (lane, blind), served in window.served():
        total += served.total
        weighted += served.total * grid.read((lane.light, lane.heavy), served, at_random=blind)
    return (weighted / total if total else None), total


def series(grids: Iterable[Grid], windows: Iterable[Window]) -> Iterable[Mapping[str, object]]:
    """Yield an object a window of arrival time."""
    grids = tuple(grids)
    for window in windows:
        tally = window.total
        requests = sum(tally[:LATE])
        sent = {lane: sum(counts[:LATE]) for (lane, _), counts in window.lanes.items()}
        # A lane is opened before the first request that it gets, which may come a window later.
        main = max(sent, key=sent.__getitem__, default=None) if requests else None
        yield {
            "start_s": window.start_s,
            "requests": requests,
            **{g.metric: _rounded(window_quality(g, window)[0], 4) for g in grids},
            "slo_violation_ratio": _ratio(_violations(tally), requests),
            **{outcome.value: tally[place] for place, outcome in enumerate(OUTCOMES)},
            "late": tally[LATE],
            "heavy_ratio": _ratio(tally[HEAVY] + tally[ESCALATED], requests),
            "light": None if main is None else main.light,
            "heavy": None if main is None else main.heavy,
            "workers": dict(window.workers),
            "loading": window.loading,
            "status": window.status,
        }


def _served(tally: Tally) -> int:
    return tally[LIGHT] + tally[HEAVY] + tally[ESCALATED] + tally[DEGRADED]


def _violations(tally: Tally) -> int:
    return tally[LATE] + tally[REJECTED] + tally[EXPIRED]


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)

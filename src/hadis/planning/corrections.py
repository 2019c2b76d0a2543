"""Route ratios as measured against the table's: today's prompts are not the profile's.

Two numbers describe the difference: by how much prompts are sent straight to heavy more often, and
light images rejected more often, than the current rows say, both in log odds, so that ratios stay
within (0, 1) and a row that never uses a stage keeps never using it. What was measured counts as
evidence against `PRIOR` prompts for the table, and fades as the demand's own memory does not.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hadis.planning.problems import RowShare
from hadis.terms.profiles import Profile, ProfileRow

PRIOR = 100.0
"""Prompts that the table counts for: a profile has several hundred, but other ones."""
HALF_LIFE_S = 120.0


@dataclass(frozen=True, slots=True)
class RouteCounts:
    """Prompts by what became of them; the counters of one router or differences of them."""

    planned: float = 0.0
    direct: float = 0.0
    judged: float = 0.0
    escalated: float = 0.0


@dataclass(frozen=True, slots=True)
class RatioState:
    """Decayed counts of what was measured, beside what the table expected of the same prompts."""

    at_s: float | None = None
    counters: Mapping[str, RouteCounts] = field(default_factory=dict)
    measured: RouteCounts = RouteCounts()
    expected_direct: float = 0.0
    expected_escalated: float = 0.0


@dataclass(frozen=True, slots=True)
class Correction:
    """Shifts in log odds of the direct share and of the rejected share of light images."""

    direct: float = 0.0
    rejected: float = 0.0

    def apply(self, row: ProfileRow) -> ProfileRow:
        """Return `row` with corrected ratios."""
        direct = _shifted(row.direct_ratio, self.direct)
        rejected = _shifted(row.rejected_ratio, self.rejected)
        return replace(
            row,
            direct_ratio=direct,
            light_ratio=1.0 - direct,
            heavy_ratio=direct + (1.0 - direct) * rejected,
        )

    def apply_all(self, profile: Profile) -> Profile:
        """Return `profile` with every row corrected, in the same order."""
        if self == Correction():
            return profile
        return replace(profile, rows=tuple(self.apply(row) for row in profile.rows))


def observe(
    state: RatioState,
    now_s: float,
    counters: Mapping[str, RouteCounts],
    mix: Sequence[RowShare],
    *,
    trusted: bool,
) -> RatioState:
    """Add what routers counted since the last call, made under `mix`.

    Untrusted counts (an overload, in which light images are kept for lack of time; a change of
    plan in between) only move the counters on.
    """
    if state.at_s is None or not mix or not trusted:
        return replace(state, at_s=now_s, counters=dict(counters))
    fresh = RouteCounts()
    for uid, count in counters.items():
        before = state.counters.get(uid, RouteCounts())
        if count.planned < before.planned:
            before = RouteCounts()
        fresh = _plus(fresh, count, minus=before)
    keep = 0.5 ** ((now_s - state.at_s) / HALF_LIFE_S)
    light = sum(part.share * part.row.light_ratio for part in mix)
    rejected = sum(part.share * (part.row.heavy_ratio - part.row.direct_ratio) for part in mix)
    direct = sum(part.share * part.row.direct_ratio for part in mix)
    return RatioState(
        at_s=now_s,
        counters=dict(counters),
        measured=_plus(fresh, state.measured, times=keep),
        expected_direct=keep * state.expected_direct + fresh.planned * direct,
        expected_escalated=keep * state.expected_escalated
        + (fresh.judged * rejected / light if light > 0 else 0.0),
    )


def correction(state: RatioState) -> Correction:
    """Return the shifts that the measured counts speak for; none without any."""
    measured = state.measured
    return Correction(
        _shift(measured.direct, state.expected_direct, measured.planned),
        _shift(measured.escalated, state.expected_escalated, measured.judged),
    )


def _shift(measured: float, expected: float, total: float) -> float:
    """Return the log odds of the measured share over the expected one, shrunk by the prior."""
    if total <= 0.0 or not 0.0 < expected < total:
        return 0.0
    share = expected / total
    posterior = (measured + PRIOR * share) / (total + PRIOR)
    return _log_odds(posterior) - _log_odds(share) if 0.0 < posterior < 1.0 else 0.0


def _shifted(share: float, shift: float) -> float:
    if shift == 0.0 or not 0.0 < share < 1.0:
        return share
    return 1.0 / (1.0 + math.exp(-(_log_odds(share) + shift)))


def _log_odds(share: float) -> float:
    return math.log(share / (1.0 - share))


def _plus(
    first: RouteCounts,
    second: RouteCounts,
    *,
    minus: RouteCounts | None = None,
    times: float = 1.0,
) -> RouteCounts:
    less = minus or RouteCounts()
    return RouteCounts(
        first.planned + times * (second.planned - less.planned),
        first.direct + times * (second.direct - less.direct),
        first.judged + times * (second.judged - less.judged),
        first.escalated + times * (second.escalated - less.escalated),
    )

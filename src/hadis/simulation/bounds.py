"""The clairvoyant bound: single rows for each window's true demand, without swaps and queues.

A planner that knows the demand of every ten seconds, pays nothing for changes and never waits could
have this quality with one row at a time. Two lanes, or serving fewer requests, may go below it.
"""

from dataclasses import dataclass

from hadis.planning import solving
from hadis.planning.problems import PlanStatus, Problem
from hadis.simulation.books import WINDOW_S
from hadis.simulation.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Bound:
    """The bound's quality, and the share of the windows that no row carries."""

    quality: float
    overloaded: float


def clairvoyant(scenario: Scenario) -> Bound:
    """Return the mean quality over the windows, weighted by their requests."""
    trace = scenario.trace
    windows = int(trace.duration_s // WINDOW_S) + 1
    weighted, overloaded = 0.0, 0
    for index in range(windows):
        count = trace.count(index * WINDOW_S, (index + 1) * WINDOW_S)
        if count == 0:
            continue
        plan = solving.solve(
            Problem(
                scenario.profile,
                demand_per_s=count / WINDOW_S,
                workers=scenario.workers,
                slo_s=scenario.slo_s,
            )
        )
        weighted += count * plan.quality
        overloaded += plan.status is PlanStatus.OVERLOAD
    return Bound(weighted / len(trace), overloaded / windows)

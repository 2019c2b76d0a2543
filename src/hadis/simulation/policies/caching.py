"""`cache-d` and `cache-dq` (section 5.5): the paper's planner behind a table of earlier plans.

A plan is stored under the range in which the demand lay when it was made, and for `cache-dq` the
range of the queue length too. Whatever falls into a known range gets that plan, however the rest
has changed; anything else is solved and stored.
"""

from hadis.planning.problems import Plan, Problem
from hadis.simulation.policies.paper import Paper
from hadis.simulation.policies.timing import Clock
from hadis.simulation.scenarios import Scenario

RANGES = 16
"""Ranges of demand up to what the fleet carries on its fastest model; the paper gives no number."""


class Cached(Paper):
    """One of the two; `by_queue` tells which."""

    def __init__(
        self, scenario: Scenario, clock: Clock | None = None, *, by_queue: bool = False
    ) -> None:
        super().__init__(scenario, clock)
        self.name = "cache-dq" if by_queue else "cache-d"
        self._by_queue = by_queue
        self._plans: dict[tuple[int, int], Plan] = {}
        image_s = min(
            seconds / size
            for model in scenario.profile.models
            for size, seconds in model.latency_s.items()
        )
        self._range_per_s = scenario.workers / image_s / RANGES
        self._range_waiting = scenario.workers

    def decide(self, problem: Problem) -> Plan:
        """Return the stored plan of the ranges that the problem falls into."""
        queue = int(sum(problem.queue.values()) // self._range_waiting) if self._by_queue else 0
        key = int(problem.demand_per_s // self._range_per_s), queue
        if key not in self._plans:
            self._plans[key] = super().decide(problem)
        return self._plans[key]

"""`clipper-light` and `clipper-heavy` (section 5.1): every worker on one model, for good."""

import math

from hadis.planning.snapshots import Snapshot
from hadis.simulation.directing import Directive, Manner
from hadis.simulation.policies.paper import Placed
from hadis.simulation.policies.timing import Clock
from hadis.simulation.scenarios import Scenario
from hadis.terms.assignments import Lane


class Clipper:
    """The fastest or the slowest model, in the batch that carries most within the SLO."""

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock | None = None,  # noqa: ARG002  # nothing is ever solved
        *,
        heavy: bool = False,
    ) -> None:
        self.name = "clipper-heavy" if heavy else "clipper-light"
        self.manner = Manner()
        self.solve_s: list[float] = []
        self._model = scenario.models[-1 if heavy else 0]
        self._workers = scenario.workers
        self._placed = Placed()
        latency_s = scenario.profile.latency_of(self._model)
        in_time = [size for size, seconds in latency_s.items() if seconds <= scenario.slo_s]
        self._batch = min(in_time or [1], key=lambda size: (latency_s[size] / size, size))

    def start(self, demand_per_s: float) -> None:
        """Look at no demand."""

    def plan(self, snapshot: Snapshot) -> Directive:
        """Return the same as ever."""
        model = self._model
        lane = Lane(1.0, model, model, math.inf, -math.inf)
        assignments = self._placed.place(
            {model: self._workers}, {model: self._batch}, (lane,), snapshot
        )
        return Directive((lane,), assignments, "fixed")

"""What a control cycle is given, what it remembers and what it hands out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from hadis.planning.caching import PlanCache
from hadis.planning.corrections import Correction, RatioState
from hadis.planning.deciding import Tenure
from hadis.planning.forecasting import DemandState
from hadis.planning.problems import Plan
from hadis.planning.snapshots import Snapshot
from hadis.terms.assignments import Assignment, Lane, RoutingTable
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName, WorkerName
from hadis.terms.profiles import Profile

GRACE_S = 15.0
"""A worker that fell silent counts for the plan this long, where the shell does not say otherwise:
most are back by then."""


@dataclass(frozen=True, slots=True)
class TableNow:
    """A profile as it holds at present: rows, route ratios and latencies, and what they come from.

    `given` is the profile as it was measured, with all else that decides which rows may be used.
    """

    given: tuple[object, ...]
    correction: Correction
    latency_scale: float
    profile: Profile


@dataclass(frozen=True, slots=True)
class CycleState:
    """What one cycle hands to the next. Start with `CycleState()`; treat it as opaque.

    `plan` says which models the workers shall hold and, once they do, how they are used; while
    swaps are slow `serving` is what the workers that are ready make of it, since `tuned_at_s` by
    these lanes.
    """

    version: int = 0
    at_s: float | None = None
    basis: tuple[object, ...] = ()
    plan: Plan | None = None
    serving: Plan | None = None
    tuned_at_s: float = -math.inf
    tenure: Tenure = field(default_factory=Tenure)
    demand: DemandState = field(default_factory=DemandState)
    ratios: RatioState = field(default_factory=RatioState)
    table: TableNow | None = None
    queue: Mapping[ModelName, float] = field(default_factory=dict)
    flow_per_s: float = 0.0
    latency_scale: float | None = None
    profile: Profile | None = None
    seen_at_s: Mapping[WorkerName, float] = field(default_factory=dict)
    routing: RoutingTable | None = None
    assignments: Mapping[WorkerName, Assignment] = field(default_factory=dict)
    old_lanes: tuple[Lane, ...] = ()
    progress: float = 1.0
    cache: PlanCache = field(default_factory=PlanCache)


@dataclass(frozen=True, slots=True)
class CycleInput:
    """Everything a cycle may look at.

    `latency_scale` applies while no worker reports its own; `overhead_s` is what a request spends
    in router and HTTP, measured by the shell (default: the profile's). `swap_s` is the time that
    a worker takes to load a model; None: what workers report of those that not all of them have.
    `grace_s` is for how long a worker counts that is no longer in the snapshot, `margin_s` how long
    before its deadline an answer has to leave.
    """

    cascade: Cascade
    profile: Profile | None
    snapshot: Snapshot
    state: CycleState
    latency_scale: float = 1.0
    overhead_s: float | None = None
    swap_s: Mapping[ModelName, float] | None = None
    grace_s: float = GRACE_S
    margin_s: float = 0.0

    @property
    def swaps_s(self) -> Mapping[ModelName, float]:
        """The seconds of loading each model whose workers would have to load it."""
        return self.snapshot.load_s() if self.swap_s is None else self.swap_s

    @property
    def longest_swap_s(self) -> float:
        """The longest that a worker takes to load a model."""
        return max(self.swaps_s.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class CycleOutput:
    """What the shell applies, and the state for the next cycle.

    `assignments` has an entry for every worker of the snapshot that does not drain, with the
    version at which its own content last changed; deliver it to whoever reports an older one.
    `routing` holds the workers that are ready, or will be in a moment, and goes to every router
    that reports an older version; `summary` is its `plan` (the keys of a plan line, and version,
    mode, demand): it changes from cycle to cycle also while the version stays, and is worth sending
    then too. `events` are sentences for people, only about what changed in this cycle.
    """

    assignments: Mapping[WorkerName, Assignment]
    routing: RoutingTable
    plan: Plan
    summary: dict[str, object]
    events: tuple[str, ...]
    state: CycleState

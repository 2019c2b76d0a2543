"""The control cycle: one pure function from a snapshot to what every worker and router shall do.

The shells observe, call `run_cycle` and apply its output; the replay calls it under virtual time.
It may be called at any moment, not only every `planner.interval_s`: smoothing and patience go by
elapsed time, and a call that finds nothing new raises no version. All memory is in `CycleState`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hadis.planning.problems import Plan
from hadis.planning.snapshots import Snapshot
from hadis.terms.assignments import Assignment, RoutingTable
from hadis.terms.cascades import Cascade
from hadis.terms.ids import WorkerName
from hadis.terms.profiles import Profile


@dataclass(frozen=True, slots=True)
class CycleState:
    """What one cycle hands to the next. Start with `CycleState()`; treat it as opaque."""

    version: int = 0
    plan: Plan | None = None
    routing: RoutingTable | None = None
    assignments: Mapping[WorkerName, Assignment] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CycleInput:
    """Everything a cycle may look at.

    `latency_scale` applies while no worker reports its own; `overhead_s` is what a request spends
    in router and HTTP, measured or estimated by the shell.
    """

    cascade: Cascade
    profile: Profile | None
    snapshot: Snapshot
    state: CycleState
    latency_scale: float = 1.0
    overhead_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CycleOutput:
    """What the shell applies, and the state for the next cycle.

    `assignments` has an entry for every worker of the snapshot, with the version at which its own
    content last changed; deliver it to whoever reports an older one. `routing` holds the ready
    workers only and goes to every router that reports an older version; `summary` is its `plan`
    (the keys of a plan line, and version, demand, mode). `events` are sentences for people, only
    about what changed in this cycle.
    """

    assignments: Mapping[WorkerName, Assignment]
    routing: RoutingTable
    plan: Plan
    summary: dict[str, object]
    events: tuple[str, ...]
    state: CycleState

"""One consistent view of the fleet, taken once a cycle; every later step reads only this.

The shells fill it from `GET /status` of workers and routers (`from_status`), the replay from its
own books. Whoever does not answer is left out by the shell: a worker in the snapshot counts for
the plan, also while it loads or swaps; only one that is ready, or is about to be, gets requests.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from hadis.terms.assignments import Assignment
from hadis.terms.ids import ModelName, WorkerName
from hadis.wire.reports import RouterStatus, WorkerStatus


@dataclass(frozen=True, slots=True)
class ObservedWorker:
    """One worker slot as it reports itself.

    `address` and `uid` may be empty for a slot whose process is not up yet: it gets an assignment
    but no place in the routing table. `resident` holds the models it can serve without loading,
    `load_s` the seconds that loading took where the worker has done it. `arriving_s` names those of
    `resident` that it is only about to have, with the seconds that they take to load (`arriving`).
    """

    name: WorkerName
    uid: str = ""
    address: str = ""
    ready: bool = False
    draining: bool = False
    resident: frozenset[ModelName] = frozenset()
    broken: frozenset[ModelName] = frozenset()
    assignment: Assignment | None = None
    waiting: Mapping[ModelName, int] = field(default_factory=dict)
    running: Mapping[ModelName, int] = field(default_factory=dict)
    residual_s: float = 0.0
    latency_scale: float | None = None
    load_s: Mapping[ModelName, float] = field(default_factory=dict)
    arriving_s: Mapping[ModelName, float] = field(default_factory=dict)

    @classmethod
    def from_status(cls, status: WorkerStatus, *, address: str) -> Self:
        """Build the observation of a worker that answered `GET /status`; `address` is host:port."""
        models = {ModelName(name): state for name, state in status.models.items()}
        return cls(
            name=WorkerName(status.name),
            uid=status.uid,
            address=address,
            ready=status.ready,
            draining=status.draining,
            resident=frozenset(name for name, state in models.items() if state.resident),
            broken=frozenset(name for name, state in models.items() if state.error is not None),
            assignment=None if status.assignment is None else status.assignment.to_terms(),
            waiting={name: state.waiting for name, state in models.items()},
            running={name: state.running for name, state in models.items()},
            residual_s=status.residual_s,
            latency_scale=status.latency_scale,
            load_s={n: state.load_s for n, state in models.items() if state.load_s is not None},
        )

    @property
    def is_swapping(self) -> bool:
        """Whether it loads its model anew, having given it up for another one."""
        model = None if self.assignment is None else self.assignment.model
        return model in self.load_s and model not in self.resident


@dataclass(frozen=True, slots=True)
class ObservedRouter:
    """One router's counters since it started; `uid` tells a restarted one apart.

    `waiting` counts requests that wait in the router for a worker of the model; what it has
    dispatched waits in a worker and is counted there.
    """

    uid: str
    arrived: int = 0
    planned: int = 0
    direct: int = 0
    judged: int = 0
    escalated: int = 0
    late: int = 0
    dropped: int = 0
    routing_version: int = 0
    unreachable: frozenset[WorkerName] = frozenset()

    @classmethod
    def from_status(cls, status: RouterStatus) -> Self:
        """Build the observation of a router that answered `GET /status`."""
        demand = status.demand
        return cls(
            uid=status.uid,
            arrived=demand.arrived,
            planned=demand.planned,
            direct=demand.direct,
            judged=demand.judged,
            escalated=demand.escalated,
            late=demand.late,
            dropped=demand.dropped,
            routing_version=0 if status.routing is None else status.routing.version,
            unreachable=frozenset(WorkerName(name) for name in status.unreachable),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The fleet at one moment of a monotonic clock."""

    now_s: float
    workers: tuple[ObservedWorker, ...] = ()
    routers: tuple[ObservedRouter, ...] = ()

    @property
    def staying(self) -> tuple[ObservedWorker, ...]:
        """The workers that are not about to leave."""
        return tuple(worker for worker in self.workers if not worker.draining)

    def load_s(self) -> dict[ModelName, float]:
        """Return the median seconds of loading each model that a worker would have to load.

        A model that all of them have costs no swap, whatever it took to load. Workers that have
        only just started do not count: they load one model after the other, and keep them.
        """
        workers = [worker for worker in self.staying if worker.ready or worker.is_swapping]
        seconds: dict[ModelName, list[float]] = {}
        for worker in workers:
            for name, took_s in worker.load_s.items():
                seconds.setdefault(name, []).append(took_s)
        return {
            name: statistics.median(took)
            for name, took in seconds.items()
            if any(name not in worker.resident for worker in workers)
        }

    @property
    def highest_version(self) -> int:
        """The highest version that any worker or router reports: a new leader goes on above it."""
        versions = [router.routing_version for router in self.routers]
        versions += [w.assignment.version for w in self.workers if w.assignment is not None]
        return max(versions, default=0)

"""`GET /status` of workers and routers, and what a router tells about the demand it saw."""

from typing import Annotated

from pydantic import Field

from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis.wire.bodies import OpenBody
from hadis.wire.generation import QueueState


class ModelState(OpenBody):
    """One model on one worker. `error` names why it did not load, with the fix.

    `load_s`: seconds that its last loading took until it was warm; None before there was one.
    """

    resident: bool
    load_s: float | None = None
    waiting: int = 0
    running: int = 0
    error: str | None = None


class WorkerStatus(OpenBody):
    """`GET /status` on a worker's control port.

    `ready`: loaded and warm, or idle. `busy_s`: total seconds the denoising thread has worked,
    a counter. `discriminator_error` names why images cannot be scored, with the fix. `generation`
    is that of the cascade in force; 0 where an older worker does not tell it.
    """

    name: str
    uid: str
    cascade: str
    hardware: str
    software: str
    generation: int = 0
    ready: bool
    draining: bool = False
    assignment: AssignmentBody | None = None
    models: dict[str, ModelState] = Field(default_factory=dict)
    discriminator_error: str | None = None
    queue: QueueState = Field(default_factory=QueueState)
    residual_s: float = 0.0
    busy_s: float = 0.0
    latency_scale: float | None = None

    @property
    def standing(self) -> tuple[object, ...]:
        """What calls for a control cycle at once when it changes."""
        return (
            self.uid,
            self.ready,
            self.draining,
            None if self.assignment is None else self.assignment.version,
            tuple(name for name, state in self.models.items() if state.resident),
            tuple(name for name, state in self.models.items() if state.error),
        )


class ModelCounts(OpenBody):
    """Counters a model since the router started."""

    dispatched: int = 0
    completed: int = 0
    waiting: int = 0
    running: int = 0


class DemandCounts(OpenBody):
    """What a router has seen since it started: counters, so that readers take differences.

    `arrived` counts images asked for (retries of a client excluded); `planned` those of them that
    took the planned route; `direct` the planned ones sent straight to heavy; `judged` the light
    images judged; `escalated` those sent on; `late` and `dropped` the SLO violations.
    """

    uptime_s: float = 0.0
    arrived: int = 0
    planned: int = 0
    direct: int = 0
    judged: int = 0
    escalated: int = 0
    late: int = 0
    dropped: int = 0
    in_flight: int = 0
    outcomes: dict[str, int] = Field(default_factory=dict)
    models: dict[str, ModelCounts] = Field(default_factory=dict)


class RouterStatus(OpenBody):
    """`GET /status` on a router's control port; `/v1/status` shows the same and more.

    `generation` is that of the cascade in force; 0 where an older router does not tell it.
    """

    name: str
    uid: str
    cascade: str
    generation: int = 0
    ready: bool
    routing: RoutingTableBody | None = None
    demand: DemandCounts
    unreachable: Annotated[
        list[str], Field(description="workers that recently failed to answer")
    ] = Field(default_factory=list)

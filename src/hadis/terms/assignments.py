"""What the controller tells workers and routers: assignments, lanes, routing tables."""

from dataclasses import dataclass
from enum import StrEnum

from hadis.terms.ids import ModelName, WorkerName


class Role(StrEnum):
    """The part a worker plays in the plan."""

    LIGHT = "light"  # serves the light model of a lane and scores its images
    HEAVY = "heavy"  # serves the heavy model of a lane
    IDLE = "idle"  # the plan does not need it; it keeps what it has resident


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one worker serves first. It may serve every other resident model too.

    `quality_threshold` is a record for people and tools: the router judges, not the worker.
    """

    version: int
    model: ModelName | None
    role: Role
    batch_size: int
    quality_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """A pair with its two thresholds and the share of the demand that it carries.

    A prompt with hardness >= `hardness_threshold` goes straight to `heavy`; a light image with
    quality score < `quality_threshold` is escalated to `heavy`. A disabled router stage is
    `hardness_threshold=inf`, a disabled discriminator `quality_threshold=-inf`.
    """

    share: float
    light: ModelName
    heavy: ModelName
    hardness_threshold: float
    quality_threshold: float


@dataclass(frozen=True, slots=True)
class WorkerRef:
    """Where a worker's one live process is reached, and which model it is assigned.

    `address` is "host:port" of its request port; `uid` tells successive processes of one slot
    apart, so that a reply of a replaced process is recognised as such. `arrives_in_s` is how long
    the worker takes to load the model once it has made what waits for another one, where it has
    loaded it before: images may be sent, and wait there. 0: it has the model, or nobody knows when.
    """

    name: WorkerName
    address: str
    uid: str
    model: ModelName | None
    arrives_in_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Lanes whose shares add up to one, and the workers. Readers ignore older versions."""

    version: int
    lanes: tuple[Lane, ...]
    workers: tuple[WorkerRef, ...]

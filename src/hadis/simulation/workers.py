"""What a virtual fleet is made of: requests, the workers that they wait at, and pools of them.

Plain and mutable: a replay makes millions of requests.
"""

from dataclasses import dataclass

from hadis.simulation.books import Tally
from hadis.terms.assignments import Assignment
from hadis.terms.ids import ModelName, WorkerName


@dataclass(slots=True)
class RoutedLane:
    """A lane in force, its models by number. `tally` counts what arrives in the open window."""

    light: int
    heavy: int
    hardness_threshold: float
    quality_threshold: float
    is_judged: bool
    tally: Tally


class Request:
    """One image on its way. Mutable and without checks: a replay makes millions of them.

    `latest_s` is when an image must be there. `has_light`: a light image was made and rejected.
    `degrading`: a light image will do. `scored`: the image that is being made will be scored.
    `over`: it has ended; an image that is still being made for it is not looked at any more.
    """

    __slots__ = (
        "arrived_s",
        "degrading",
        "has_light",
        "lane",
        "latest_s",
        "over",
        "predicted_s",
        "prompt",
        "scored",
        "sent_s",
        "tally",
        "worker",
    )

    def __init__(
        self, arrived_s: float, latest_s: float, prompt: int, lane: RoutedLane, tally: Tally
    ) -> None:
        self.arrived_s = arrived_s
        self.latest_s = latest_s
        self.prompt = prompt
        self.lane = lane
        self.tally = tally
        self.has_light = False
        self.degrading = False
        self.scored = False
        self.over = False
        self.sent_s = 0.0
        self.predicted_s = 0.0
        self.worker: Worker | None = None


class Worker:
    """One virtual worker. `running` is None only while it could start a batch at once."""

    __slots__ = (
        "assignment",
        "busy_s",
        "clocks",
        "loaded",
        "loading",
        "loading_s",
        "name",
        "place",
        "queues",
        "running",
        "running_model",
        "until_s",
        "wanted",
    )

    def __init__(self, name: WorkerName, models: int) -> None:
        self.name = name
        self.loaded = -1
        self.wanted = -1
        self.loading = -1
        self.queues: list[list[tuple[float, int, Request]]] = [[] for _ in range(models)]
        self.running: list[Request] | None = None
        self.running_model = -1
        self.until_s = 0.0
        self.busy_s = 0.0
        self.loading_s = 0.0
        self.assignment: Assignment | None = None
        self.clocks: list[float] = [0.0]
        self.place = 0

    @property
    def clock_s(self) -> float:
        """When it would start one more image."""
        return self.clocks[self.place]

    @property
    def is_idle(self) -> bool:
        """Whether it neither runs a batch nor loads a model."""
        return self.running is None and self.loading < 0


class Pool:
    """The workers that serve a model, their clocks side by side."""

    __slots__ = ("clocks", "workers")

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.clocks: list[float] = []

    def add(self, worker: Worker) -> None:
        """Take a worker in with its clock; it is in one pool at a time."""
        self.clocks.append(worker.clocks[worker.place])
        self.workers.append(worker)
        worker.clocks, worker.place = self.clocks, len(self.clocks) - 1


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch that was started, for whoever wants to look on."""

    worker: WorkerName
    model: ModelName
    start_s: float
    end_s: float
    size: int

"""What a worker exposes at `/metrics`, in a registry of its own."""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hadis.terms.ids import CascadeName

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STEP_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
SCORES = tuple(step / 20 for step in range(21))


class Metrics:
    """The series of one worker; every one carries the cascade, most the model."""

    def __init__(self, cascade: CascadeName) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._cascade = cascade
        labels = ["cascade", "model"]
        self._queue_wait = Histogram(
            "hadis_queue_wait_seconds",
            "Time between a request's arrival at the worker and the start of its batch.",
            labels,
            buckets=SECONDS,
            registry=self.registry,
        )
        self._running = Gauge(
            "hadis_num_requests_running", "Images being made.", labels, registry=self.registry
        )
        self._waiting = Gauge(
            "hadis_num_requests_waiting", "Requests in the queue.", labels, registry=self.registry
        )
        self._quality = Histogram(
            "hadis_quality_score",
            "The discriminator's scores.",
            labels,
            buckets=SCORES,
            registry=self.registry,
        )
        self._batch_size = Histogram(
            "hadis_batch_size", "Images a batch.", labels, buckets=ROWS, registry=self.registry
        )
        self._step = Histogram(
            "hadis_denoise_step_seconds",
            "Time of a denoising step of a whole batch.",
            labels,
            buckets=STEP_SECONDS,
            registry=self.registry,
        )
        self._load = Histogram(
            "hadis_model_load_seconds",
            "Time from the decision to load a model until it is warm.",
            labels,
            buckets=SECONDS,
            registry=self.registry,
        )
        self._swaps = Counter(
            "hadis_model_swaps",
            "Changes of the assigned model.",
            ["cascade"],
            registry=self.registry,
        )
        self._images = Counter(
            "hadis_worker_images",
            "Requests by how they ended on this worker.",
            [*labels, "result"],
            registry=self.registry,
        )
        self._busy = Gauge(
            "hadis_worker_busy_seconds",
            "Seconds that the denoising thread has worked since the process started.",
            ["cascade"],
            registry=self.registry,
        )
        self._memory = Gauge(
            "hadis_worker_memory_bytes",
            "Memory in use: resident in the worker's process, and on its device if that is a GPU.",
            ["cascade", "kind"],
            registry=self.registry,
        )
        self._swaps.labels(cascade)

    def watch_busy(self, busy_s: Callable[[], float]) -> None:
        """Read the denoising thread's counter whenever the metrics are scraped."""
        self._busy.labels(self._cascade).set_function(busy_s)

    def watch_memory(self, used_bytes: Callable[[], dict[str, int]]) -> None:
        """Read how much memory of each kind is in use whenever the metrics are scraped."""
        for kind in used_bytes():
            read = partial(self._read_memory, used_bytes, kind)
            self._memory.labels(self._cascade, kind).set_function(read)

    @staticmethod
    def _read_memory(used_bytes: Callable[[], dict[str, int]], kind: str) -> float:
        return used_bytes()[kind]

    def watch_model(
        self, model: str, running: Callable[[], float], waiting: Callable[[], float]
    ) -> None:
        """Read a model's load whenever the metrics are scraped."""
        self._running.labels(self._cascade, model).set_function(running)
        self._waiting.labels(self._cascade, model).set_function(waiting)

    def forget_model(self, model: str) -> None:
        """Stop reporting the load of a model that left the cascade."""
        for gauge in (self._running, self._waiting):
            gauge.remove_by_labels({"model": model})

    def started(self, model: str, batch: int, waited_s: list[float]) -> None:
        """Note a batch at its start."""
        self._batch_size.labels(self._cascade, model).observe(batch)
        for wait_s in waited_s:
            self._queue_wait.labels(self._cascade, model).observe(wait_s)

    def stepped(self, model: str, step_s: tuple[float, ...]) -> None:
        """Note the times of a batch's denoising steps."""
        step = self._step.labels(self._cascade, model)
        for seconds in step_s:
            step.observe(seconds)

    def scored(self, model: str, score: float) -> None:
        """Note a quality score."""
        self._quality.labels(self._cascade, model).observe(score)

    def loaded(self, model: str, seconds: float) -> None:
        """Note a model that became resident."""
        self._load.labels(self._cascade, model).observe(seconds)

    def swapped(self) -> None:
        """Note a change of the assigned model."""
        self._swaps.labels(self._cascade).inc()

    def ended(self, model: str, result: str) -> None:
        """Note how a request ended; `result` is a word of a small fixed set."""
        self._images.labels(self._cascade, model, result).inc()

"""What a router counts: Prometheus series, and the same counts for the controller and the page.

Every image is counted once, when its request ends. Labels are bounded: outcomes, models, reasons.
"""

from collections import Counter as Counts
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hadis.routing.lifecycles import Ending
from hadis.terms.ids import ModelName
from hadis.terms.outcomes import Outcome
from hadis.wire.assignments import RoutingTableBody
from hadis.wire.reports import DemandCounts, ModelCounts
from hadis_router.fleet_view import FleetView
from hadis_router.histories import History

DURATION_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120, 300)
FINE_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.5)
UNIT_BUCKETS = tuple(step / 20 for step in range(1, 21))


def _fine_histogram(name: str, text: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(name, text, ["cascade"], buckets=FINE_BUCKETS, registry=registry)


class RouterMetrics:
    """The books of one router."""

    def __init__(
        self, registry: CollectorRegistry, cascade: str, history: History, *, started_s: float
    ) -> None:
        self._cascade = cascade
        self._history = history
        self._started_s = started_s
        self.outcomes: Counts[Outcome] = Counts()
        self.counts: Counts[str] = Counts()
        self._dispatched: Counts[ModelName] = Counts()
        self._completed: Counts[ModelName] = Counts()
        self._planned = _PlanGauges(registry, cascade)
        one, two = ["cascade"], ["cascade", "outcome"]
        self._requests = Counter(
            "hadis_requests_total", "Images by how they ended", two, registry=registry
        )
        self._durations = Histogram(
            "hadis_request_duration_seconds",
            "From a request's arrival to its end",
            two,
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._hardness = Histogram(
            "hadis_hardness_score",
            "Hardness of scored prompts",
            one,
            buckets=UNIT_BUCKETS,
            registry=registry,
        )
        self._hardness_seconds = _fine_histogram(
            "hadis_hardness_seconds", "Time to score a prompt", registry
        )
        self._quality = Histogram(
            "hadis_quality_score",
            "Discriminator's score of judged images",
            ["cascade", "model"],
            buckets=UNIT_BUCKETS,
            registry=registry,
        )
        self._escalations = Counter(
            "hadis_escalations_total",
            "Light images sent on to a heavy model",
            one,
            registry=registry,
        )
        self._violations = Counter(
            "hadis_slo_violations_total",
            "Images late or never delivered",
            ["cascade", "reason"],
            registry=registry,
        )
        self._steps = Counter(
            "hadis_demand_images_total",
            "Images by the steps of their way that the controller counts",
            ["cascade", "step"],
            registry=registry,
        )
        self._overhead = _fine_histogram(
            "hadis_router_overhead_seconds",
            "A request's time outside worker calls and hardness scoring",
            registry,
        )
        self._show_zeros()

    def _show_zeros(self) -> None:
        """Create every series now: a rate over one that appears late misses its first step."""
        for outcome in Outcome:
            self._requests.labels(self._cascade, outcome)
        for reason in ("late", "dropped"):
            self._violations.labels(self._cascade, reason)
        self._escalations.labels(self._cascade)
        for step in _STEPS:
            self._steps.labels(self._cascade, step)

    def note_arrived(self, images: int, now_s: float, *, is_retry: bool) -> None:
        """Count images asked for; a client's automatic retry is no new demand."""
        if not is_retry:
            self._count("arrived", images)
            self._history.add(now_s, "demand", images)

    def note_entered(self, images: int, *, direct: bool) -> None:
        """Count images on the planned route, and how many the threshold sent straight to heavy."""
        self._count("planned", images)
        if direct:
            self._count("direct", images)

    def note_hardness(self, score: float, seconds: float) -> None:
        """Count a scored prompt."""
        self._hardness.labels(self._cascade).observe(score)
        self._hardness_seconds.labels(self._cascade).observe(seconds)

    def note_judged(self, model: ModelName, score: float | None) -> None:
        """Count a light image that was judged."""
        self._count("judged", 1)
        if score is not None:
            self.note_quality(model, score)

    def note_quality(self, model: ModelName, score: float) -> None:
        """Count a quality score."""
        self._quality.labels(self._cascade, model).observe(score)

    def note_not_good_enough(self) -> None:
        """Count a light image below its threshold, whether there is time for a heavy one or not.

        The controller needs the demand for the heavy stage, not what it could be given.
        """
        self._count("escalated", 1)

    def note_escalated(self) -> None:
        """Count a light image sent on to the heavy stage."""
        self._escalations.labels(self._cascade).inc()

    def note_dispatched(self, model: ModelName) -> None:
        """Count an image sent to a worker."""
        self._dispatched[model] += 1

    def note_completed(self, model: ModelName) -> None:
        """Count an image that a worker made."""
        self._completed[model] += 1

    def note_ending(self, ending: Ending, now_s: float) -> None:
        """Count a request's images: the only place where outcomes are."""
        for outcome in ending.outcomes:
            self.outcomes[outcome] += 1
            self._requests.labels(self._cascade, outcome).inc()
            self._durations.labels(self._cascade, outcome).observe(ending.duration_s)
            self._history.add_outcome(now_s, outcome)
        for reason, images in (("late", ending.late), ("dropped", ending.dropped)):
            if images:
                self.counts[reason] += images
                self._violations.labels(self._cascade, reason).inc(images)
                if reason == "late" or Outcome.EXPIRED in ending.outcomes:
                    self._history.add(now_s, "late", images)

    def note_overhead(self, seconds: float) -> None:
        """Count a request's own time in the router."""
        self._overhead.labels(self._cascade).observe(max(0.0, seconds))

    def note_plan(self, body: RoutingTableBody) -> None:
        """Show the controller's plan on this router's `/metrics`."""
        self._planned.show(body)

    def _count(self, step: str, images: int) -> None:
        """Count for `/status` and for Prometheus alike: the controller may read either."""
        self.counts[step] += images
        self._steps.labels(self._cascade, step).inc(images)

    def demand(self, now_s: float, view: FleetView, in_flight: int) -> DemandCounts:
        """Return the counters for the controller."""
        running: Counts[ModelName] = Counts()
        for worker in view.workers.values():
            running.update(worker.sent)
        models = {*self._dispatched, *running}
        return DemandCounts(
            uptime_s=now_s - self._started_s,
            **{name: self.counts[name] for name in _DEMAND_COUNTS},
            in_flight=in_flight,
            outcomes={outcome.value: self.outcomes[outcome] for outcome in Outcome},
            models={
                model: ModelCounts(
                    dispatched=self._dispatched[model],
                    completed=self._completed[model],
                    running=running[model],
                )
                for model in sorted(models)
            },
        )


_STEPS = ("arrived", "planned", "direct", "judged", "escalated")
_DEMAND_COUNTS = (*_STEPS, "late", "dropped")


class _PlanGauges:
    """The controller's plan as gauges. On one machine nobody else exposes them."""

    def __init__(self, registry: CollectorRegistry, cascade: str) -> None:
        self._cascade = cascade

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"hadis_{name}", text, ["cascade", *labels], registry=registry)

        self._version = gauge("plan_version", "Version of the plan in force")
        self._quality = gauge("plan_quality", "Quality that the plan expects", "metric")
        self._solve = gauge("plan_solve_seconds", "Time that the planner took")
        self._threshold = gauge("plan_threshold", "Thresholds of the largest lane", "kind")
        self._workers = gauge("plan_workers", "Workers planned a model", "model")
        self._demand = gauge("demand_requests_per_second", "Demand that was planned for")

    def show(self, body: RoutingTableBody) -> None:
        plan = body.plan or {}
        self._version.labels(self._cascade).set(body.version)
        lane = max(body.lanes, key=lambda lane: lane.share)
        _set(self._threshold, (self._cascade, "hardness"), lane.hardness_threshold)
        _set(self._threshold, (self._cascade, "quality"), lane.quality_threshold)
        _set(self._solve, (self._cascade,), plan.get("solve_s"))
        _set(self._demand, (self._cascade,), plan.get("demand"))
        quality = plan.get("quality")
        if isinstance(quality, Mapping):
            self._quality.clear()
            _set(self._quality, (self._cascade, str(quality.get("metric"))), quality.get("value"))
        self._workers.clear()
        planned = plan.get("workers")
        if not isinstance(planned, Mapping):
            planned = Counts(worker.model for worker in body.workers if worker.model)
        for model, count in planned.items():
            _set(self._workers, (self._cascade, str(model)), count)


def _set(gauge: Gauge, labels: tuple[str, ...], value: object) -> None:
    if isinstance(value, int | float):
        gauge.labels(*labels).set(value)
    elif value is None:
        gauge.labels(*labels).set(float("nan"))

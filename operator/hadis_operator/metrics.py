"""What the operator exposes at `/metrics`.

The planner's series carry `cascade` and `cascade_namespace`: `namespace` is what a scrape adds, and
that is the operator's own. Series of a cascade go with it.
"""

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hadis.planning.cycles import CycleOutput
from hadis.planning.problems import PlanStatus
from hadis_operator.conditions import Source
from hadis_operator.statuses import WorkerCounts
from hadis_operator.storing import CascadeKey

CASCADE = ("cascade", "cascade_namespace")
FAILED = "failed"
RESULTS = (*(status.value for status in PlanStatus), FAILED)
PHASES = ("observe", "plan", "write", "deliver", "report")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)


N = TypeVar("N", bound=str)


class Metrics:
    """The operator's books, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._cascade_gauges: list[Gauge] = []
        self._version = self._gauge("plan_version", "Version of the plan in force")
        self._quality = self._gauge("plan_quality", "Quality that the plan expects", "metric")
        self._solve = self._gauge("plan_solve_seconds", "Time that the planner took")
        self._threshold = self._gauge("plan_threshold", "Thresholds of the largest lane", "kind")
        self._workers = self._gauge("plan_workers", "Workers planned a model", "model")
        self._demand = self._gauge("demand_requests_per_second", "Demand that was planned for")
        self._feasible = self._gauge("plan_feasible", "1 while the plan carries the demand, else 0")
        self._utilisation = self._gauge(
            "plan_utilisation_ratio", "Share of time that the plan expects workers to work", "model"
        )
        self._slack = self._gauge(
            "plan_slack_seconds", "Time that the plan's path leaves of the SLO"
        )
        self._binding = self._gauge(
            "plan_binding", "1 for the constraint that keeps a better plan out", "constraint"
        )
        self._slots = self._gauge("slots", "Slots of a cascade by state", "state")
        self._source = self._gauge(
            "demand_source", "1 for where the demand is read at present", "source"
        )
        self._last_good = self._gauge(
            "operator_cycle_timestamp_seconds", "When a control cycle last went well"
        )
        self._changes = Counter(
            "hadis_plan_changes",
            "Plans that differed from the one before",
            CASCADE,
            registry=self.registry,
        )
        self._cycles = Counter(
            "hadis_operator_cycles",
            "Control cycles by how they ended",
            [*CASCADE, "result"],
            registry=self.registry,
        )
        self._phases = Histogram(
            "hadis_operator_phase_seconds",
            "Time of each phase of a control cycle",
            ["phase"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._writes = Counter(
            "hadis_operator_writes",
            "Objects written to the Kubernetes API",
            ["resource", "verb"],
            registry=self.registry,
        )
        self._events = Counter(
            "hadis_operator_events", "Kubernetes Events told", ["type"], registry=self.registry
        )
        self._leading = Gauge(
            "hadis_operator_leader", "1 while this operator acts", registry=self.registry
        )
        self._watch_age = Gauge(
            "hadis_operator_watch_age_seconds",
            "Time since the store of a resource was last known to be right",
            ["resource"],
            registry=self.registry,
        )
        self._missed = Counter(
            "hadis_operator_watch_missed",
            "Changes that a watch had missed and a sweep has mended",
            ["resource"],
            registry=self.registry,
        )
        for phase in PHASES:
            self._phases.labels(phase)

    def wrote(self, resource: str, verb: str) -> None:
        """Count a write. Leases are told apart by their resource."""
        self._writes.labels(resource, verb).inc()

    def told(self, *, is_warning: bool) -> None:
        """Count an Event."""
        self._events.labels("Warning" if is_warning else "Normal").inc()

    def watch_leading(self, leading: Callable[[], bool]) -> None:
        """Read the role whenever the metrics are scraped."""
        self._leading.set_function(lambda: float(leading()))

    def watch_age(self, resource: str, age_s: Callable[[], float]) -> None:
        """Read the age of a resource's store whenever the metrics are scraped."""
        self._watch_age.labels(resource).set_function(age_s)
        self._missed.labels(resource)

    def mended(self, resource: str, count: int) -> None:
        """Count what a watch had missed."""
        self._missed.labels(resource).inc(count)

    def took(self, phase: str, seconds: float) -> None:
        """Note the time of a phase."""
        self._phases.labels(phase).observe(seconds)

    def began(self, key: CascadeKey) -> None:
        """Create the counters of a cascade: a rate over one that appears late misses its start."""
        self._changes.labels(key.name, key.namespace)
        for result in RESULTS:
            self._cycles.labels(key.name, key.namespace, result)

    def failed(self, key: CascadeKey) -> None:
        """Count a cycle, or the turn around it, that failed."""
        self._cycles.labels(key.name, key.namespace, FAILED).inc()

    def went_well(self, key: CascadeKey, status: PlanStatus, now_epoch_s: float) -> None:
        """Count a cycle whose plan was written and delivered."""
        self._cycles.labels(key.name, key.namespace, status.value).inc()
        self._last_good.labels(key.name, key.namespace).set(now_epoch_s)

    def planned(self, key: CascadeKey, output: CycleOutput) -> None:
        """Show a plan."""
        who = (key.name, key.namespace)
        plan, summary = output.plan, output.summary
        lane = max(output.routing.lanes, key=lambda one: one.share)
        self._version.labels(*who).set(output.routing.version)
        self._solve.labels(*who).set(plan.solve_s)
        self._demand.labels(*who).set(_number(summary.get("demand")))
        self._feasible.labels(*who).set(float(plan.status is not PlanStatus.OVERLOAD))
        self._slack.labels(*who).set(plan.reasons.slack_latency_s)
        self._threshold.labels(*who, "hardness").set(_finite(lane.hardness_threshold))
        self._threshold.labels(*who, "quality").set(_finite(lane.quality_threshold))
        quality = summary.get("quality")
        named = quality if isinstance(quality, Mapping) else {}
        self._show(
            self._quality,
            who,
            {str(named["metric"]): named["value"]} if named.get("metric") else {},
        )
        self._show(self._workers, who, plan.workers)
        self._show(self._utilisation, who, plan.reasons.utilisation)
        self._show(self._binding, who, {plan.reasons.binding.value: 1})
        if output.events:
            self._changes.labels(*who).inc()

    def counted(self, key: CascadeKey, counts: WorkerCounts, source: Source) -> None:
        """Show the slots and where the demand is read."""
        who = (key.name, key.namespace)
        for state, count in (
            ("total", counts.total),
            ("ready", counts.ready),
            ("updated", counts.updated),
        ):
            self._slots.labels(*who, state).set(count)
        by_prometheus = source.is_prometheus and source.trouble is None
        self._source.labels(*who, "Prometheus").set(float(by_prometheus))
        self._source.labels(*who, "Direct").set(float(not by_prometheus and source.trouble is None))
        self._source.labels(*who, "Fallback").set(float(source.trouble is not None))

    def stand_by(self, key: CascadeKey) -> None:
        """Drop what only the operator that acts may tell of a cascade."""
        labels = {"cascade": key.name, "cascade_namespace": key.namespace}
        for gauge in self._cascade_gauges:
            gauge.remove_by_labels(labels)

    def forget(self, key: CascadeKey) -> None:
        """Drop the series of a cascade that is gone."""
        self.stand_by(key)
        labels = {"cascade": key.name, "cascade_namespace": key.namespace}
        for counter in (self._changes, self._cycles):
            counter.remove_by_labels(labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        gauge = Gauge(f"hadis_{name}", text, [*CASCADE, *labels], registry=self.registry)
        self._cascade_gauges.append(gauge)
        return gauge

    @staticmethod
    def _show(gauge: Gauge, who: tuple[str, str], values: Mapping[N, object]) -> None:
        """Set the series of the last label, and drop those that are not among them any more."""
        gauge.remove_by_labels({"cascade": who[0], "cascade_namespace": who[1]})
        for name, value in values.items():
            gauge.labels(*who, name).set(_number(value))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan

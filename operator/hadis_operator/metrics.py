"""What the operator exposes at `/metrics`.

The planner's series carry `cascade` and `cascade_namespace`: `namespace` is what a scrape adds, and
that is the operator's own. Series of a cascade go with it.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

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


class Metrics:
    """The operator's books, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._of_cascades: list[_OfCascades] = []
        self._plans = _Plans(self._gauge)
        self._slots = self._gauge("slots", "Slots of a cascade by state", "state")
        self._source = self._gauge(
            "demand_source", "1 for where the demand is read at present", "source"
        )
        self._refusing = self._gauge(
            "operator_refusing_processes",
            "Routers and workers that refuse what they are told, for being of another version",
        )
        self._last_good = self._gauge(
            "operator_cycle_timestamp_seconds",
            "When a control cycle last went well, or planning began; none while nothing is planned",
        )
        self._interval = self._gauge(
            "operator_cycle_interval_seconds",
            "Time between two control cycles; none while nothing is planned",
        )
        self._changes = self._counter(
            "plan_changes", "Plans that differed from the one before", *CASCADE
        )
        self._cycles = self._counter(
            "operator_cycles", "Control cycles by how they ended", *CASCADE, "result"
        )
        self._phases = Histogram(
            "hadis_operator_phase_seconds",
            "Time of each phase of a control cycle",
            ["phase"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._writes = self._counter(
            "operator_writes", "Objects written to the Kubernetes API", "resource", "verb"
        )
        self._events = self._counter("operator_events", "Kubernetes Events told", "type")
        self._leading = Gauge(
            "hadis_operator_leader", "1 while this operator acts", registry=self.registry
        )
        self._watch_age = Gauge(
            "hadis_operator_watch_age_seconds",
            "Time since the store of a resource was last known to be right",
            ["resource"],
            registry=self.registry,
        )
        self._missed = self._counter(
            "operator_watch_missed",
            "Changes that a watch had missed and a sweep has mended",
            "resource",
        )
        self._readable = Gauge(
            "hadis_operator_namespace_readable",
            "1 while a namespace that is to be watched can be read; none where all are watched",
            ["watched_namespace"],
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

    def readable(self, namespace: str, *, is_readable: bool) -> None:
        """Show whether a watched namespace can be read."""
        self._readable.labels(namespace).set(is_readable)

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

    def plans(self, key: CascadeKey, interval_s: float, now_epoch_s: float) -> None:
        """Show that a cascade is to be planned this often, from now on if it was not before."""
        self._interval.show(key, interval_s)
        if not self._last_good.shows(key):
            self._last_good.show(key, now_epoch_s)

    def rests(self, key: CascadeKey) -> None:
        """Show that nobody plans a cascade, and that it is meant so: nothing is overdue."""
        self._interval.drop(key)
        self._last_good.drop(key)

    def failed(self, key: CascadeKey) -> None:
        """Count a cycle, or the turn around it, that failed."""
        self._cycles.labels(key.name, key.namespace, FAILED).inc()

    def went_well(self, key: CascadeKey, status: PlanStatus, now_epoch_s: float) -> None:
        """Count a cycle whose plan was written and delivered."""
        self._cycles.labels(key.name, key.namespace, status.value).inc()
        self._last_good.show(key, now_epoch_s)

    def planned(self, key: CascadeKey, output: CycleOutput) -> None:
        """Show a plan."""
        self._plans.show(key, output)
        if output.events:
            self._changes.labels(key.name, key.namespace).inc()

    def counted(self, key: CascadeKey, counts: WorkerCounts, source: Source) -> None:
        """Show the slots and where the demand is read."""
        self._slots.show_all(
            key, {"total": counts.total, "ready": counts.ready, "updated": counts.updated}
        )
        by_prometheus = source.is_prometheus and source.trouble is None
        self._source.show_all(
            key,
            {
                "Prometheus": float(by_prometheus),
                "Direct": float(not by_prometheus and source.trouble is None),
                "Fallback": float(source.trouble is not None),
            },
        )

    def refusing(self, key: CascadeKey, count: int) -> None:
        """Show how many processes of a cascade refuse what they are told."""
        self._refusing.show(key, count)

    def stand_by(self, key: CascadeKey) -> None:
        """Drop what only the operator that acts may tell of a cascade."""
        for gauge in self._of_cascades:
            gauge.drop(key)

    def forget(self, key: CascadeKey) -> None:
        """Drop the series of a cascade that is gone."""
        self.stand_by(key)
        labels = {"cascade": key.name, "cascade_namespace": key.namespace}
        for counter in (self._changes, self._cycles):
            counter.remove_by_labels(labels)

    def _gauge(self, name: str, text: str, *labels: str) -> "_OfCascades":
        gauge = Gauge(f"hadis_{name}", text, [*CASCADE, *labels], registry=self.registry)
        self._of_cascades.append(_OfCascades(gauge))
        return self._of_cascades[-1]

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"hadis_{name}", text, labels, registry=self.registry)


class _OfCascades:
    """A gauge with series of each cascade, with or without one more label.

    It knows which series each has, so that none is looked for among those of all others.
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: dict[CascadeKey, set[tuple[str, ...]]] = {}

    def shows(self, key: CascadeKey) -> bool:
        return key in self._shown

    def show(self, key: CascadeKey, value: float) -> None:
        """Set the only series of a cascade."""
        self._set(key, {(): value})

    def show_all(self, key: CascadeKey, values: Mapping[Any, object]) -> None:
        """Set the series of a cascade by their last label, and drop those that are not named."""
        self._set(key, {(str(name),): _number(value) for name, value in values.items()})

    def drop(self, key: CascadeKey) -> None:
        """Drop every series of a cascade."""
        for rest in self._shown.pop(key, ()):
            self._gauge.remove(key.name, key.namespace, *rest)

    def _set(self, key: CascadeKey, values: Mapping[tuple[str, ...], float]) -> None:
        for rest in self._shown.get(key, set()) - set(values):
            self._gauge.remove(key.name, key.namespace, *rest)
        for rest, value in values.items():
            self._gauge.labels(key.name, key.namespace, *rest).set(value)
        self._shown[key] = set(values)


class _Plans:
    """What is shown of plans."""

    def __init__(self, gauge: "Callable[..., _OfCascades]") -> None:
        self._version = gauge("plan_version", "Version of the plan in force")
        self._quality = gauge("plan_quality", "Quality that the plan expects", "metric")
        self._solve = gauge("plan_solve_seconds", "Time that the planner took")
        self._threshold = gauge("plan_threshold", "Thresholds of the largest lane", "kind")
        self._workers = gauge("plan_workers", "Workers planned a model", "model")
        self._demand = gauge("demand_requests_per_second", "Demand that was planned for")
        self._feasible = gauge("plan_feasible", "1 while the plan carries the demand, else 0")
        self._utilisation = gauge(
            "plan_utilisation_ratio", "Share of time that the plan expects workers to work", "model"
        )
        self._slack = gauge("plan_slack_seconds", "Time that the plan's path leaves of the SLO")
        self._binding = gauge(
            "plan_binding", "1 for the constraint that keeps a better plan out", "constraint"
        )

    def show(self, key: CascadeKey, output: CycleOutput) -> None:
        """Show a plan in place of the cascade's last."""
        plan, summary = output.plan, output.summary
        lane = max(output.routing.lanes, key=lambda one: one.share)
        self._version.show(key, output.routing.version)
        self._solve.show(key, plan.solve_s)
        self._demand.show(key, _number(summary.get("demand")))
        self._feasible.show(key, float(plan.status is not PlanStatus.OVERLOAD))
        self._slack.show(key, plan.reasons.slack_latency_s)
        self._threshold.show_all(
            key,
            {
                "hardness": _finite(lane.hardness_threshold),
                "quality": _finite(lane.quality_threshold),
            },
        )
        quality = summary.get("quality")
        named = quality if isinstance(quality, Mapping) else {}
        metric = named.get("metric")
        self._quality.show_all(key, {metric: named["value"]} if metric else {})
        self._workers.show_all(key, plan.workers)
        self._utilisation.show_all(key, plan.reasons.utilisation)
        self._binding.show_all(key, {plan.reasons.binding.value: 1})


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan

"""Series of cascades: they come with their cascade, say when it is planned, and go with it."""

import pytest

from hadis.planning.problems import PlanStatus
from hadis_operator.conditions import Source
from hadis_operator.metrics import Metrics
from hadis_operator.prometheus import Trouble
from hadis_operator.statuses import WorkerCounts
from hadis_operator.storing import CascadeKey

PHOTOS, OTHER = CascadeKey("images", "photos"), CascadeKey("elsewhere", "photos")
LAST, INTERVAL = "operator_cycle_timestamp_seconds", "operator_cycle_interval_seconds"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str, key: CascadeKey = PHOTOS, **more: str) -> float | None:
    labels = {"cascade": key.name, "cascade_namespace": key.namespace, **more}
    return metrics.registry.get_sample_value(f"hadis_{name}", labels)


def test_a_cascade_is_due_from_the_moment_that_somebody_plans_it(metrics: Metrics) -> None:
    metrics.plans(PHOTOS, 5.0, 100.0)
    metrics.plans(PHOTOS, 600.0, 102.0)
    assert value(metrics, LAST) == 100.0
    assert value(metrics, INTERVAL) == 600.0
    metrics.went_well(PHOTOS, PlanStatus.OPTIMAL, 103.0)
    metrics.plans(PHOTOS, 600.0, 105.0)
    assert value(metrics, LAST) == 103.0
    assert value(metrics, "operator_cycles_total", result="optimal") == 1


def test_a_cascade_that_rests_is_never_due_and_starts_anew(metrics: Metrics) -> None:
    metrics.plans(PHOTOS, 5.0, 100.0)
    metrics.rests(PHOTOS)
    metrics.rests(PHOTOS)
    assert value(metrics, LAST) is None
    assert value(metrics, INTERVAL) is None
    metrics.plans(PHOTOS, 5.0, 900.0)
    assert value(metrics, LAST) == 900.0


def test_series_are_replaced_and_dropped_for_one_cascade_alone(metrics: Metrics) -> None:
    for key in (PHOTOS, OTHER):
        metrics.counted(key, WorkerCounts(2, 1, 2), Source(True, Trouble.AWAY, "silent"))
    assert value(metrics, "slots", state="ready") == 1
    assert value(metrics, "demand_source", source="Fallback") == 1
    assert value(metrics, "demand_source", source="Prometheus") == 0
    metrics.stand_by(PHOTOS)
    metrics.stand_by(PHOTOS)
    assert value(metrics, "slots", state="ready") is None
    assert value(metrics, "slots", OTHER, state="ready") == 1


def test_a_label_value_that_is_gone_takes_its_series_with_it(metrics: Metrics) -> None:
    workers = metrics._gauge("some_workers", "Workers", "model")
    workers.show_all(PHOTOS, {"tiny": 1, "big": 1})
    workers.show_all(OTHER, {"big": 7})
    workers.show_all(PHOTOS, {"tiny": 2})
    assert value(metrics, "some_workers", model="tiny") == 2
    assert value(metrics, "some_workers", model="big") is None
    assert value(metrics, "some_workers", OTHER, model="big") == 7


def test_what_is_forgotten_leaves_no_series(metrics: Metrics) -> None:
    metrics.began(PHOTOS)
    metrics.plans(PHOTOS, 5.0, 1.0)
    metrics.failed(PHOTOS)
    metrics.forget(PHOTOS)
    mine = [
        sample
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.labels.get("cascade") == "photos"
    ]
    assert mine == []

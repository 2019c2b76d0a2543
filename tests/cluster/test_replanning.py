"""Steps of the load: how soon workers hear of them, what is written for them, and what they cost.

Each step goes from a low load to one that its plan cannot carry, found from how busy the plan
expects its workers to be, so that slow machines and fast ones are asked for the same. The SLO is
long enough for what has to wait until the step is planned for.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.lab.capacity import beyond
from cluster.lab.cascades import Cascade, restarts
from cluster.lab.clients import Load
from cluster.lab.figures import Figures, percentile
from cluster.lab.lengths import Lengths
from cluster.lab.listening import Reports
from cluster.lab.prometheus import Prometheus
from cluster.lab.releases import Release
from cluster.lab.waiting import NotYet, until
from cluster.lab.writes import CALM_S, Write, Writes
from hadis_operator import kube, objects

LOW = 0.3
LEAST = 2.0
"""Images a second: of fewer an interval holds too few to tell a step from chance."""
SLO_S = 30.0
INTERVAL_S = 5.0
HEARD_S = INTERVAL_S + 2.0
SETTLED_S = 6.0
RETURN_S = 150.0
"""Two plans may follow a step down, after 20 and after 45 seconds, once the step is noticed."""


@dataclass(slots=True)
class Step:
    """One step of the load."""

    rate: float
    scraped_s: float
    """The first scrape that holds it, on the monotonic clock."""
    heard_s: float
    """The first new version that a worker reported."""
    settled_s: float
    """The last new version of the routing table that it brought."""


@dataclass(slots=True)
class Scenario:
    """What the steps left behind."""

    load: Load
    writes: Writes
    home: dict[str, Any]
    """The plan under the low load."""
    steps: list[Step] = field(default_factory=list)
    back: dict[str, Any] = field(default_factory=dict)
    """The plan after the load was gone."""
    restarts: tuple[dict[str, int], dict[str, int]] = ({}, {})
    counted: tuple[float, float] = (0.0, 0.0)
    """Images that the routers have counted as ended, before and after."""
    began_s: float = 0.0


@pytest.fixture(scope="module")
def patient(scenes: Cascade) -> Iterator[Cascade]:
    """The scenes cascade, with a longer SLO for a while."""
    before = scenes.live["spec"]["slo"]
    _set_slo(scenes, {"latency": f"{SLO_S:g}s"})
    yield scenes
    _set_slo(scenes, before)


def _set_slo(scenes: Cascade, slo: dict[str, Any]) -> None:
    scenes.patch(slo=slo)
    scenes.wait_ready(2)
    # Routers are given more time to end than the SLO, so they roll; a new one counts from zero.
    scenes.wait_rolled()


@pytest.fixture(scope="module")
def stepped(
    patient: Cascade,
    installed: Release,
    prometheus: Prometheus,
    writes: Writes,
    lasting: Lengths,
) -> Iterator[Scenario]:
    scenes = patient
    with Reports.of(scenes) as reports, Load.on(scenes.url, 0.0, SLO_S) as load:
        counted = _ended(scenes)
        load.rate = LOW
        until("the low load has its plan", writes.are_calm, RETURN_S + CALM_S, every_s=1.0)
        scenario = Scenario(load, writes, scenes.status["plan"], began_s=time.monotonic())
        pods = restarts(scenes.pods())
        for _ in range(lasting.steps):
            rate = max(beyond(scenes, installed), LEAST)
            scenario.steps.append(_step(scenes, prometheus, reports, load, rate))
            load.rate = LOW
            scenario.back = _returned(scenes, scenario.home)
        load.stop()
        scenario.restarts = (pods, restarts(scenes.pods()))
        scenario.counted = (counted, _ended(scenes))
        yield scenario


def _step(
    scenes: Cascade, prometheus: Prometheus, reports: Reports, load: Load, rate: float
) -> Step:
    versions = {slot: report.version for slot, report in reports.newest().items()}
    to_monotonic_s = time.monotonic() - time.time()
    stepped_s = load.step(rate)
    heard = until(
        f"a worker hears of a step to {rate:.2f} images a second",
        lambda: [
            report
            for report in reports.since(stepped_s)
            if report.version > versions.get(report.slot, 0)
        ],
        4 * HEARD_S,
        every_s=0.1,
    )[0]
    settled_s = _settle(scenes, SETTLED_S)
    scrapes = [at_s + to_monotonic_s for at_s in _scrapes(prometheus)]
    # A scrape holds the step once the first request of the new load has arrived.
    scraped_s = min(at_s for at_s in scrapes if at_s >= stepped_s + 1 / rate)
    return Step(rate, scraped_s, heard.at_s, settled_s)


def _scrapes(prometheus: Prometheus) -> list[float]:
    """Return when the router was scraped, in seconds of the epoch."""
    query = 'hadis_demand_images_total{namespace="images",cascade="scenes",step="arrived"}[120s]'
    return [float(value[0]) for one in prometheus.ask(query) for value in one["values"]]


def _settle(scenes: Cascade, quiet_s: float) -> float:
    """Wait until the routing table has been the same for a while; return when it last changed."""
    version, since_s = 0, time.monotonic()

    def quiet() -> bool:
        nonlocal version, since_s
        told = scenes.told()["plan"]["version"]
        if told != version:
            version, since_s = told, time.monotonic()
        return time.monotonic() - since_s >= quiet_s

    until("the plan has settled", quiet, 120)
    return since_s


def _returned(scenes: Cascade, home: dict[str, Any]) -> dict[str, Any]:
    """Wait for the models of the plan under the low load; return the plan."""

    def returned() -> dict[str, Any]:
        plan = dict(scenes.status["plan"])
        if _pair(plan) != _pair(home):
            raise NotYet(f"{plan['light']} and {plan['heavy']}: {plan['quality']}")
        return plan

    return until("the plan of the low load is back", returned, RETURN_S)


def _pair(plan: dict[str, Any]) -> tuple[str, str]:
    return plan["light"], plan["heavy"]


def _ended(scenes: Cascade) -> float:
    return float(sum(scenes.told()["demand"]["counts"]["outcomes"].values()))


def test_workers_hear_of_a_step_within_an_interval(stepped: Scenario, figures: Figures) -> None:
    times_s = [step.heard_s - step.scraped_s for step in stepped.steps]
    for step, time_s in zip(stepped.steps, times_s, strict=True):
        figures.note(f"step to {step.rate:.2f} images/s: scrape to first worker", time_s)
        whole_s = step.settled_s - step.scraped_s
        figures.note(f"step to {step.rate:.2f} images/s: scrape to whole change", whole_s)
    name = f"scrape to first worker's new version, p95 of {len(times_s)} steps"
    figures.within(name, percentile(times_s, 0.95), HEARD_S)


def test_nothing_fails_and_nothing_restarts(stepped: Scenario) -> None:
    assert stepped.load.lost() == []
    before, after = stepped.restarts
    assert after == before


def test_the_routers_books_agree_with_the_clients(stepped: Scenario) -> None:
    before, after = stepped.counted
    assert after - before == len(stepped.load.entries)


def test_when_the_load_is_gone_the_plan_returns(stepped: Scenario) -> None:
    assert len(stepped.steps) >= 5
    assert _pair(stepped.back) == _pair(stepped.home)
    qualities = [plan["quality"]["value"] for plan in (stepped.home, stepped.back)]
    assert qualities[1] == pytest.approx(qualities[0], abs=0.03)


def test_a_replan_is_one_config_map_one_status_one_event_and_one_patch_a_changed_slot(
    stepped: Scenario, scenes: Cascade
) -> None:
    writes = stepped.writes.those(namespace=scenes.namespace, since_s=stepped.began_s)
    plans = Counter(
        _table_version(write)
        for write in writes
        if write.kind is kube.CONFIG_MAPS and "data" in write.changed
    )
    # What a condition says anew of the plan in force, such as that an overload is over, is news.
    statuses = Counter(
        (int(write.live["status"]["plan"]["version"]), _conditions(write))
        for write in writes
        if write.kind is kube.CASCADES and "status" in write.changed
    )
    patches = Counter(
        (write.name, _assigned_version(write))
        for write in writes
        if write.kind is kube.DEPLOYMENTS and "annotations" in write.changed
    )
    # Others tell of conditions: that a step was too much for a while, and that it is over.
    told = [
        write
        for write in writes
        if write.kind is kube.EVENTS and _is_ours(write) and write.live["reason"] == "Planned"
    ]
    assert len(plans) >= len(stepped.steps)
    assert set(plans.values()) == {1}, plans
    assert max(statuses.values()) == 1, statuses
    assert max(patches.values()) == 1, patches
    assert {version for _, version in patches} <= set(plans)
    assert len(told) <= len(plans), [write.live["message"] for write in told]
    kinds = {write.kind for write in writes}
    assert kinds <= {kube.CONFIG_MAPS, kube.CASCADES, kube.DEPLOYMENTS, kube.EVENTS}
    assert not [str(write) for write in writes if "spec" in write.changed and write.verb != "ADDED"]


def _conditions(write: Write) -> tuple[tuple[str, str, str], ...]:
    conditions = write.live["status"]["conditions"]
    return tuple(sorted((one["type"], one["status"], one["reason"]) for one in conditions))


def _table_version(write: Write) -> int:
    return int(json.loads(write.live["data"]["routing.json"])["version"])


def _assigned_version(write: Write) -> int:
    text = objects.annotation(write.live, objects.ASSIGNMENT_ANNOTATION) or "{}"
    return int(json.loads(text).get("version", 0))


def _is_ours(write: Write) -> bool:
    return write.live.get("reportingComponent") == "hadis.dev/operator"

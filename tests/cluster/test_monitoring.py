"""Dashboards and alerts against a real Prometheus that scraped the real components."""

import json
from pathlib import Path

import pytest
import yaml

from cluster.lab.cascades import Cascade
from cluster.lab.clients import Load
from cluster.lab.prometheus import Prometheus
from cluster.lab.releases import Release
from cluster.lab.waiting import NotYet, until
from hadis_operator import kube
from support import charts, dashboards

MONITORS = kube.Kind("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors")
RULES = kube.Kind("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules")
FILLED_WITHIN_S = 90.0


@pytest.fixture(scope="module")
def busy(scenes: Cascade) -> Cascade:
    """The cascade after a minute with requests of every kind that dashboards show."""
    with Load.on(scenes.url, 0.5) as load:
        until("requests have been served", lambda: load.served() >= 15, 90)
    return scenes


@pytest.mark.parametrize("path", dashboards.BOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_returns_data(
    path: Path, busy: Cascade, prometheus: Prometheus
) -> None:
    names = {**dashboards.VARIABLES, "$namespace": busy.namespace, "$cascade": busy.name}

    def filled() -> bool:
        empty = [query for query in dashboards.queries(path, names) if not prometheus.ask(query)]
        if empty:
            raise NotYet("\n".join(empty))
        return True

    until(f"every query of {path.stem} returns data", filled, FILLED_WITHIN_S, every_s=2)


def test_the_monitors_ask_for_what_this_prometheus_was_told(
    installed: Release, scenes: Cascade, prometheus: Prometheus
) -> None:
    """The labels that dashboards need are those that the chart's PodMonitor gives."""
    monitors = installed.cluster.api.listed(MONITORS, installed.namespace)
    if not monitors:
        pytest.skip("the cluster has no kinds of the Prometheus operator")
    relabelled = json.dumps(monitors[0]["spec"])
    up = prometheus.ask(f'up{{namespace="{scenes.namespace}"}}')
    assert len(up) == len(scenes.pods())
    for label in ("hadis_component", "hadis_cascade"):
        assert label in relabelled
        assert all(label in one["metric"] for one in up)
    assert {one["metric"]["hadis_component"] for one in up} == {"router", "worker"}


def test_rules_evaluate_and_nothing_fires(
    installed: Release, busy: Cascade, prometheus: Prometheus
) -> None:
    found = installed.cluster.api.listed(RULES, installed.namespace)
    if not found:
        pytest.skip("the cluster has no kinds of the Prometheus operator")
    groups = [group for one in found for group in one["spec"]["groups"]]
    files = sorted((charts.CHART / "rules").glob("*.yaml"))
    shipped = [
        rule
        for file in files
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(shipped)
    for rule in rules:
        firing = prometheus.ask(rule["expr"])
        assert "record" in rule or firing == [], rule

"""The API server, etcd and Prometheus away: serving goes on, and the operators catch up alone."""

import time
from collections.abc import Iterator

import pytest

from cluster.lab.cascades import Cascade, restarts
from cluster.lab.clients import Load
from cluster.lab.clusters import Cluster
from cluster.lab.figures import Figures
from cluster.lab.lengths import Lengths
from cluster.lab.prometheus import Prometheus
from cluster.lab.releases import Release, samples
from cluster.lab.waiting import holds_for, until
from cluster.lab.writes import Writes

RATE, MORE = 0.4, 0.8
CAUGHT_UP_S = 30.0
TOLD_S = 30.0
SERVED_WITHIN_S = 20.0
CALM_WITHIN_S = 240.0
RESTARTED_AFTER_S = 80.0
"""Eight failures of kubeadm's liveness probe, which asks for etcd, too, every ten seconds."""


@pytest.fixture(scope="module")
def load(scenes: Cascade) -> Iterator[Load]:
    """A load that goes on through all outages."""
    with Load.on(scenes.url, RATE) as running:
        running.wait_served(3)
        yield running


def _demand(installed: Release, scenes: Cascade) -> float:
    """Return the demand that the acting operator plans for, in images a second."""
    where = f'cascade="{scenes.name}",cascade_namespace="{scenes.namespace}"'
    return samples(installed.leader())[f"hadis_demand_requests_per_second{{{where}}}"]


def _is_served(load: Load) -> bool:
    return load.served(since_s=time.monotonic() - SERVED_WITHIN_S) > 0


@pytest.mark.parametrize("away", ["silent", "refusing"])
def test_without_prometheus_the_routers_are_asked(
    away: str,
    scenes: Cascade,
    installed: Release,
    prometheus: Prometheus,
    load: Load,
    writes: Writes,
    figures: Figures,
) -> None:
    until("Prometheus is read", lambda: scenes.reason("MetricsAvailable") == "Prometheus", 60)
    until("the load has its plan", writes.are_calm, CALM_WITHIN_S, every_s=1.0)
    version, began_s = scenes.version, time.monotonic()
    if away == "refusing":
        prometheus.kill()
    else:
        prometheus.freeze()
    try:
        until(
            "the fallback is told",
            lambda: scenes.reason("MetricsAvailable") == "FallbackDirect",
            60,
        )
        figures.within(f"Prometheus {away}: told", time.monotonic() - began_s, TOLD_S)
        assert scenes.condition("MetricsAvailable")["status"] == "False"
        assert scenes.version == version, "the plan has changed without a reason"
        assert scenes.condition("Ready")["status"] == "True"
        if away == "refusing":  # the last of the two: the plan may change with the load
            load.rate = MORE
            until("more load is noticed", lambda: _demand(installed, scenes) > MORE * 0.75, 60)
            load.rate = RATE
    finally:
        if away == "refusing":
            prometheus.start()
        else:
            prometheus.thaw()
    began_s = time.monotonic()
    until("Prometheus is read again", lambda: scenes.reason("MetricsAvailable") == "Prometheus", 60)
    figures.within(f"Prometheus {away} and back: read again", time.monotonic() - began_s, TOLD_S)
    assert load.lost() == []


@pytest.mark.parametrize("part", ["kube-apiserver", "etcd"])
def test_serving_outlives_the_control_plane(
    part: str,
    cluster: Cluster,
    scenes: Cascade,
    installed: Release,
    load: Load,
    lasting: Lengths,
    figures: Figures,
) -> None:
    if not cluster.can_fail:
        pytest.skip("HADIS_CLUSTER_FAULT does not say how to stop parts of the cluster")
    operators, pods = restarts(installed.operators()), restarts(scenes.pods())
    cluster.stop(part)
    try:
        holds_for(f"serving without {part}", lambda: _is_served(load), lasting.outage_s)
    finally:
        cluster.start(part)
    if part == "etcd" and lasting.outage_s > RESTARTED_AFTER_S:
        # What its kubelet would have done by now. Left alone it looks for etcd every two minutes.
        cluster.stop("kube-apiserver")
        cluster.start("kube-apiserver")
    back_s = time.monotonic()
    until("the API server answers", lambda: cluster.api.text("/readyz") == "ok", 60)
    until("an operator leads", installed.leader, 60)
    figures.within(
        f"{part} back after {lasting.outage_s:g} s: an operator acts",
        time.monotonic() - back_s,
        CAUGHT_UP_S,
    )
    # What is wanted now is done now.
    scenes.wait_replanned()
    assert load.lost() == []
    assert restarts(installed.operators()) == operators
    assert restarts(scenes.pods()) == pods

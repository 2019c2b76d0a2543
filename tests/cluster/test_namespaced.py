"""An operator for one namespace: it takes a cascade over without a gap, and may do nothing else."""

import time
from collections.abc import Iterator

import pytest

from cluster.lab.cascades import NO_GPU, Cascade, restarts, scenes_documents
from cluster.lab.clients import Load
from cluster.lab.clusters import Cluster
from cluster.lab.commands import Refused, Told
from cluster.lab.releases import Release
from cluster.lab.waiting import until
from hadis_operator import kube
from support import charts

TEAM, ELSEWHERE = "team", "elsewhere"
RATE = 0.5
BINDINGS = kube.Kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings")


@pytest.fixture(scope="module")
def left(
    cluster: Cluster, release: Release, applied: Told, request: pytest.FixtureRequest
) -> Cascade:
    """The scenes cascade as an uninstalled chart leaves it: serving, without an operator."""
    cascade = Cascade(cluster, "images")
    if not cascade.status:
        request.getfixturevalue("scenes")
    release.uninstall()
    until("it serves", lambda: len(cascade.told()["workers"]) == 2, 60)
    return cascade


@pytest.fixture(scope="module")
def team(left: Cascade, release: Release) -> Iterator[Release]:
    """Another release, for the cascade's namespace alone."""
    installed = Release(left.cluster, release.prometheus_url, name="hadis-team", namespace=TEAM)
    yield installed
    installed.uninstall()


def _values(team: Release, left: Cascade) -> dict[str, object]:
    return team.values(watchNamespaces=[left.namespace])


def test_definitions_of_another_release_are_taken_over_only_when_asked(
    team: Release, left: Cascade
) -> None:
    with pytest.raises(Refused, match=r"hadiscascades\.hadis\.dev"):
        team.upgrade(charts.CHART, _values(team, left))
    pods = restarts(left.pods())
    with Load.on(left.url, RATE) as load:
        team.upgrade(charts.CHART, _values(team, left), "--take-ownership")
        until("it leads", team.leader, 60)
        # The new operator plans above what the other one left.
        left.wait_replanned()
        load.wait_served(2)
    assert load.lost() == []
    assert restarts(left.pods()) == pods


def _may(cluster: Cluster, team: Release, verb: str, what: str, namespace: str) -> bool:
    account = f"system:serviceaccount:{team.namespace}:{team.name}"
    arguments = ("auth", "can-i", verb, what, f"--as={account}", "-n", namespace)
    try:
        return cluster.kubectl(*arguments).text.strip() == "yes"
    except Refused as error:
        if "no" in str(error):
            return False
        raise


def test_it_holds_rights_in_its_namespaces_alone(team: Release, left: Cascade) -> None:
    cluster = team.cluster
    assert _may(cluster, team, "patch", "deployments", left.namespace)
    for verb, what, namespace in (
        ("patch", "deployments", "default"),
        ("get", "hadiscascades", "default"),
        ("list", "pods", "kube-system"),
        ("list", "nodes", "default"),
        ("list", "namespaces", "default"),
        ("get", "secrets", "default"),
    ):
        assert not _may(cluster, team, verb, what, namespace), (verb, what, namespace)
    bound = [
        subject
        for binding in cluster.api.listed(BINDINGS)
        for subject in binding.get("subjects") or ()
        if subject.get("namespace") == team.namespace
    ]
    assert bound == []


def test_cascades_elsewhere_are_left_alone(team: Release, left: Cascade) -> None:
    team.cluster.make_namespace(ELSEWHERE)
    other = Cascade(team.cluster, ELSEWHERE)
    other.apply(*scenes_documents(workers={"count": 1, "template": {"resources": NO_GPU}}))
    left.patch(planner={"interval": "4s"})
    generation = left.live["metadata"]["generation"]
    until("its own is looked after", lambda: left.status["observedGeneration"] == generation, 30)
    time.sleep(6)  # longer than a turn
    assert other.status == {}
    assert other.leftovers() == []
    team.cluster.kubectl("delete", "namespace", ELSEWHERE, "--wait=false")

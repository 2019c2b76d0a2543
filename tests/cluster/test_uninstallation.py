"""The chart goes; cascades, what they own and the definitions stay, and go on serving."""

from cluster.lab.cascades import Cascade, restarts
from cluster.lab.clients import Load
from cluster.lab.releases import DEFINITIONS, Release
from cluster.lab.waiting import until
from hadis_operator import kube

RATE = 0.5
ROLES = kube.Kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles")


def test_an_uninstalled_chart_leaves_what_serves(scenes: Cascade, installed: Release) -> None:
    api = installed.cluster.api
    # A router that was rolled before may still be finishing.
    until("no pod is on its way out", lambda: not scenes.leaving(), 60)
    pods = restarts(scenes.pods())
    plan = scenes.told()["plan"]
    with Load.on(scenes.url, RATE) as load:
        load.wait_served(2)
        installed.uninstall()
        until("the operators are gone", lambda: not installed.operators(), 60)
        load.wait_served(4)
        for plural in ("hadiscascades", "hadisprofiles"):
            assert api.get(DEFINITIONS, None, f"{plural}.hadis.dev") is not None
        assert scenes.live["spec"]["workers"]["count"] == 2
        assert len(scenes.slots()) == 2
        assert api.get(kube.PROFILES, scenes.namespace, "scenes") is not None
        assert restarts(scenes.pods()) == pods
        assert scenes.told()["plan"]["version"] == plan["version"]
    assert load.lost() == []
    left = [role["metadata"]["name"] for role in api.listed(ROLES)]
    assert not [name for name in left if name.startswith("hadis")]

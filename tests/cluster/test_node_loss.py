"""A node cut off from the network, with workers on it and, the second time, the acting operator.

The router and this machine's way to Services are on the node that stays: what is lost here is what
the loss of workers costs.
"""

import time
from collections.abc import Iterator

import pytest

from cluster.lab.cascades import LIGHT, Cascade, pod_ready
from cluster.lab.clients import Load
from cluster.lab.clusters import NODES, Cluster
from cluster.lab.figures import Figures
from cluster.lab.hands import Hands
from cluster.lab.releases import Release
from cluster.lab.waiting import NotYet, until

RATE = 1.0
OUT_OF_THE_PLAN_S = 15.0
WITH_THE_OPERATOR_S = 40.0
HEALED_S = 240.0


@pytest.fixture(scope="module")
def lost_node(cluster: Cluster, scenes: Cascade) -> Iterator[str]:
    """The node to cut off: it has a worker and no router."""
    if not cluster.can_fail:
        pytest.skip("HADIS_CLUSTER_FAULT does not say how to cut a node off")
    nodes = sorted(cluster.nodes())
    if len(nodes) < 2:
        pytest.skip("the cluster has one node only")
    node = nodes[-1]
    _keep_off(cluster, scenes, node)
    scenes.scale(3)  # two nodes of two GPUs: at least one worker is there
    scenes.wait_ready(3)
    assert _slots_on(scenes, node)
    with scenes.pinned(*LIGHT):
        yield node
    scenes.scale(2)
    scenes.wait_ready(2)


def _keep_off(cluster: Cluster, scenes: Cascade, node: str) -> None:
    """Move the routers to other nodes."""
    cluster.kubectl("cordon", node)
    for pod in scenes.routers():
        if pod["spec"]["nodeName"] == node:
            cluster.kubectl("delete", "pod", pod["metadata"]["name"], "-n", scenes.namespace)
    until(
        "the router is elsewhere",
        lambda: (
            scenes.routers()
            and all(map(pod_ready, scenes.routers()))
            and node not in {pod["spec"]["nodeName"] for pod in scenes.routers()}
        ),
        90,
    )
    cluster.kubectl("uncordon", node)


def _slots_on(scenes: Cascade, node: str) -> set[str]:
    return {slot for slot, pod in scenes.workers().items() if pod["spec"].get("nodeName") == node}


def _lead_from(installed: Release, hands: Hands, node: str, *, there: bool) -> None:
    """Have the acting operator on a node, or not on it."""
    others = sorted(set(installed.cluster.nodes()) - {node})
    _spread(installed, [node] if there else others)

    def placed() -> bool:
        leader = installed.leader()
        if (leader["spec"]["nodeName"] == node) is there:
            return True
        if len(installed.operators()) == 2 and all(map(pod_ready, installed.operators())):
            hands.kill(leader)
        raise NotYet(f"{leader['metadata']['name']} on {leader['spec']['nodeName']} leads")

    until(f"the leader is {'on' if there else 'off'} {node}", placed, 120, every_s=2)
    until("both operators are ready", lambda: all(map(pod_ready, installed.operators())), 60)


def _spread(installed: Release, nodes: list[str]) -> None:
    """Have an operator on one of these nodes: where both are elsewhere, nothing moves them back."""
    if {pod["spec"]["nodeName"] for pod in installed.operators()} & set(nodes):
        return
    cluster, closed = installed.cluster, sorted(set(installed.cluster.nodes()) - set(nodes))
    cluster.kubectl("cordon", *closed)
    try:
        leader = until("an operator leads", installed.leader, 60)["metadata"]["name"]
        [standby] = [p for p in installed.operators() if p["metadata"]["name"] != leader]
        name = standby["metadata"]["name"]
        cluster.kubectl("delete", "pod", name, "-n", installed.namespace)
        until("both operators are ready", lambda: all(map(pod_ready, installed.operators())), 60)
    finally:
        cluster.kubectl("uncordon", *closed)


@pytest.mark.parametrize("with_operator", [False, True], ids=["alone", "with the operator"])
def test_the_slots_of_a_lost_node_leave_the_plan(
    with_operator: bool,
    cluster: Cluster,
    scenes: Cascade,
    installed: Release,
    hands: Hands,
    lost_node: str,
    figures: Figures,
) -> None:
    _lead_from(installed, hands, lost_node, there=with_operator)
    gone = _slots_on(scenes, lost_node)
    kept = set(scenes.workers()) - gone
    assert gone
    bound_s = WITH_THE_OPERATOR_S if with_operator else OUT_OF_THE_PLAN_S
    with Load.on(scenes.url, RATE) as load:
        load.wait_served(3)
        cut_s = time.monotonic()
        cluster.stop(lost_node)
        try:

            def left() -> bool:
                told = scenes.told()
                planned = sum(told["plan"]["workers"].values())
                routed = {worker["name"] for worker in told["workers"]}
                if routed & gone or planned > len(kept):
                    raise NotYet(f"{routed} are routed to, {planned} workers are planned for")
                return True

            until("the lost slots are out of the plan", left, 3 * bound_s + 10)
            where = "with the acting operator" if with_operator else "alone"
            figures.within(
                f"node lost {where}: slots out of plan", time.monotonic() - cut_s, bound_s
            )
            load.wait_served(2)
        finally:
            cluster.start(lost_node)
        back_s = time.monotonic()
        _wait_until_healed(cluster, scenes, lost_node)
        figures.note(f"node back {where}: all workers serve", time.monotonic() - back_s)
    assert load.lost() == []


def _wait_until_healed(cluster: Cluster, scenes: Cascade, node: str) -> None:
    def node_ready() -> bool:
        live = cluster.api.get(NODES, None, node)
        return live is not None and pod_ready(live)

    until("the node is ready again", node_ready, 60)
    scenes.wait_ready(3, HEALED_S)

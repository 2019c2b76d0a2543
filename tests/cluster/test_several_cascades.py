"""Two cascades of one name in two namespaces: each has its own plan, pods and requests."""

import time
from collections.abc import Iterator

import pytest

from cluster.lab.cascades import NO_GPU, Cascade, restarts, scenes_documents
from cluster.lab.clients import Load
from cluster.lab.releases import Release
from cluster.lab.waiting import until

LAB = "lab"


@pytest.fixture(scope="module")
def lab(installed: Release) -> Iterator[Cascade]:
    """A second cascade of the same name, with a worker that needs no GPU."""
    installed.cluster.make_namespace(LAB)
    cascade = Cascade(installed.cluster, LAB)
    cascade.apply(*scenes_documents(workers={"count": 1, "template": {"resources": NO_GPU}}))
    cascade.wait_ready(1)
    yield cascade
    installed.cluster.kubectl("delete", "namespace", LAB, "--wait=false", "--ignore-not-found")


def test_each_has_its_own_workers_and_requests(scenes: Cascade, lab: Cascade) -> None:
    ours, theirs = scenes.told(), lab.told()
    assert (len(ours["workers"]), len(theirs["workers"])) == (2, 1)
    assert scenes.owner.uid8 != lab.owner.uid8
    addresses = {
        cascade.namespace: {worker["address"] for worker in cascade.routing()["workers"]}
        for cascade in (scenes, lab)
    }
    for cascade in (scenes, lab):
        pods = {f"{pod['status']['podIP']}:8000" for pod in cascade.workers().values()}
        assert addresses[cascade.namespace] == pods
    with Load.on(lab.url, 1.0) as load:
        until("requests have been served", lambda: load.served() >= 5, 60)
    assert load.lost() == []
    counted = {
        cascade.namespace: cascade.told()["demand"]["counts"]["arrived"]
        for cascade in (scenes, lab)
    }
    assert counted[lab.namespace] == theirs["demand"]["counts"]["arrived"] + len(load.entries)
    assert counted[scenes.namespace] == ours["demand"]["counts"]["arrived"]


def test_a_paused_one_is_left_alone_and_the_other_is_not(scenes: Cascade, lab: Cascade) -> None:
    lab.annotate(paused="true")
    until("the pause is told", lambda: lab.reason("Ready") == "Paused", 30)
    pods = restarts(lab.pods())
    lab.scale(2)
    scenes.patch(planner={"maxLanes": 1})
    generation = scenes.live["metadata"]["generation"]
    until(
        "the other cascade is looked after",
        lambda: scenes.status["observedGeneration"] == generation,
        30,
    )
    time.sleep(6)  # longer than a turn and a planning interval
    assert set(lab.slots()) == {"w0"}
    assert restarts(lab.pods()) == pods
    lab.scale(1)
    lab.annotate(paused=None)
    scenes.patch(planner={"maxLanes": 2})
    until("it is looked after again", lambda: lab.reason("Ready") == "Serving", 30)


def test_the_end_of_one_is_not_the_end_of_the_other(scenes: Cascade, lab: Cascade) -> None:
    pods = restarts(scenes.pods())
    with Load.on(scenes.url, 0.5) as load:
        load.wait_served(1)
        lab.delete()
        until("nothing of it is left", lambda: not lab.leftovers(), 60)
        assert restarts(scenes.pods()) == pods
        load.wait_served(1)
    assert load.lost() == []

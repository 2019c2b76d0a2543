"""More workers, fewer workers, other workers: under load, and nothing is lost."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.lab import images, lengths
from cluster.lab.cascades import LIGHT, Cascade, pod_ready, restarts
from cluster.lab.clients import Load
from cluster.lab.clusters import Manifest
from cluster.lab.figures import Figures
from cluster.lab.releases import GPU, Release, gpu_resources
from cluster.lab.waiting import Unanswered, until

RATE = 1.0
LEAVING = {"w2", "w3"}
NEXT = "rolled"
"""Tag of a worker's image that is another one by its name alone."""
SCALED_S = 60.0
ROLLED_S = 60.0
"""A slot: to drain, to start, to load and to be warm."""


@pytest.fixture(scope="module")
def four(scenes: Cascade, figures: Figures) -> Iterator[Cascade]:
    """The cascade with four workers, which are all the GPUs of the pool."""
    with scenes.pinned(*LIGHT):
        began_s = time.monotonic()
        with Load.on(scenes.url, RATE) as load:
            scenes.scale(4)
            scenes.wait_ready(4)
            figures.note("scaled from 2 to 4", time.monotonic() - began_s)
            assert len(scenes.workers()) == 4
        assert load.lost() == []
        yield scenes
    scenes.scale(2)
    scenes.wait_ready(2)


def test_scaling_down_and_up_again_loses_nothing(four: Cascade, figures: Figures) -> None:
    kept = {pod["metadata"]["uid"] for slot, pod in four.workers().items() if slot in ("w0", "w1")}
    with Load.on(four.url, RATE) as load:
        until(
            "a worker that will go is drawing", lambda: four.running() & LEAVING, 90, every_s=0.05
        )
        began_s = time.monotonic()
        four.scale(2)
        four.wait_ready(2)
        until("the other pods are gone", lambda: len(four.pods("worker")) == 2, 60)
        figures.note("scaled from 4 to 2, pods gone", time.monotonic() - began_s)
        assert {pod["metadata"]["uid"] for pod in four.workers().values()} == kept
        assert set(four.slots()) == {"w0", "w1"}
        began_s = time.monotonic()
        four.scale(4)
        four.wait_ready(4)
        figures.within("scaled from 2 to 4 again", time.monotonic() - began_s, SCALED_S)
        served = load.served(since_s=began_s)
    assert served > 0
    assert load.lost() == []


def test_scale_tells_how_many_there_are(four: Cascade) -> None:
    told = four.cluster.kubectl(
        *("get", "--raw"),
        f"/apis/hadis.dev/v1alpha1/namespaces/{four.namespace}/hadiscascades/{four.name}/scale",
    ).text
    assert '"replicas":4' in told
    assert "hadis.dev/cascade=scenes" in told


class Absences:
    """The most slots of a cascade that were not ready at one moment."""

    def __init__(self, cascade: Cascade) -> None:
        self.most = 0
        self._cascade = cascade
        self._ending = threading.Event()

    @contextmanager
    def counted(self) -> Iterator[None]:
        watching = threading.Thread(target=self._watch, daemon=True)
        watching.start()
        yield
        self._ending.set()
        watching.join()

    def _watch(self) -> None:
        while not self._ending.wait(0.3):
            try:
                ready = sum(map(pod_ready, self._cascade.workers().values()))
            except Unanswered:
                continue
            self.most = max(self.most, 4 - ready)


def test_changed_resources_roll_a_full_pool_one_slot_at_a_time(
    four: Cascade, installed: Release, figures: Figures
) -> None:
    resources = gpu_resources(four.cluster, memory="64Mi")
    _roll(four, installed, figures, "new resources", {"resources": resources})
    for pod in four.workers().values():
        assert pod["spec"]["containers"][0]["resources"]["requests"]["memory"] == "64Mi"


@pytest.mark.skipif(not lengths.chosen().other_image, reason="only where figures are taken")
def test_a_changed_image_rolls_a_full_pool_one_slot_at_a_time(
    four: Cascade, installed: Release, figures: Figures
) -> None:
    four.cluster.load([images.build("worker", NEXT)])
    image = images.reference("worker", NEXT)
    _roll(four, installed, figures, "a new image", {"image": image})
    for pod in four.workers().values():
        assert pod["spec"]["containers"][0]["image"] == image


def _roll(
    four: Cascade, installed: Release, figures: Figures, what: str, template: Manifest
) -> None:
    """Change the workers' template under load: one slot at a time is away, and nothing is lost."""
    nodes = installed.cluster.nodes().values()
    gpus = sum(int(node["status"]["allocatable"].get(GPU, 0)) for node in nodes)
    if gpus != 4:
        pytest.skip(f"the pool has {gpus} GPUs, and is not full with four workers")
    before = {pod["metadata"]["uid"] for pod in four.workers().values()}
    routers = restarts(four.routers())
    absences = Absences(four)
    began_s = time.monotonic()
    with Load.on(four.url, RATE) as load, absences.counted():
        four.patch(workers={"template": template})
        four.wait_ready(4, within_s=6 * ROLLED_S)
    took_s = time.monotonic() - began_s
    figures.within(f"four slots rolled for {what}, each", took_s / 4, ROLLED_S)
    assert not before & {pod["metadata"]["uid"] for pod in four.workers().values()}
    assert absences.most == 1
    assert restarts(four.routers()) == routers
    assert load.lost() == []

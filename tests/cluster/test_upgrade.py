"""From the version before to this one and back, under load: routers roll, workers do not.

The version before is this source with an older number, another default worker image and one field
of every pod rendered otherwise.
"""

import time
from collections.abc import Iterator

import pytest

from cluster.lab.cascades import Cascade, pod_ready, restarts
from cluster.lab.clients import Load
from cluster.lab.figures import Figures
from cluster.lab.images import ROLES, TAG, VERSION_BEFORE
from cluster.lab.releases import Release, chart_before, images_before
from cluster.lab.waiting import until
from hadis import __version__
from hadis_operator import objects
from support import charts

RATE = 0.5
NEXT_WORKERS = {**{role: {"tag": TAG} for role in ROLES}, "worker": {"tag": "next"}}
"""An image that no node has: a worker that were rolled by mistake would never come back."""


@pytest.fixture(scope="module")
def before(
    scenes: Cascade, installed: Release, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """The version before, which has rendered every pod of the cascade."""
    chart = chart_before(tmp_path_factory.mktemp("before") / "hadis")
    installed.upgrade(chart, installed.values(images=images_before()))
    scenes.annotate(roll_workers=str(time.time()))
    until("its workers are rolled", lambda: _versions(scenes) == {VERSION_BEFORE}, 180)
    _wait_for_routers(scenes, period_s=1)
    scenes.wait_ready(2)
    yield installed
    installed.ensure()


def _versions(scenes: Cascade) -> set[str | None]:
    return {objects.annotation(one, objects.VERSION_ANNOTATION) for one in scenes.slots().values()}


def _wait_for_routers(scenes: Cascade, *, period_s: int) -> None:
    """Wait until all routers have the field that the two versions render otherwise."""

    def rolled() -> bool:
        pods = scenes.pods("router")
        probes = {pod["spec"]["containers"][0]["readinessProbe"]["periodSeconds"] for pod in pods}
        return probes == {period_s} and all(map(pod_ready, pods))

    until("the routers are rolled", rolled, 120)


def test_an_upgrade_and_a_rollback_lose_nothing_and_touch_no_worker(
    before: Release, scenes: Cascade, figures: Figures
) -> None:
    workers, routers = restarts(scenes.pods("worker")), restarts(scenes.routers())
    version = scenes.version
    with Load.on(scenes.url, RATE) as load:
        load.wait_served(2)
        began_s = time.monotonic()
        before.upgrade(charts.CHART, before.values(images=NEXT_WORKERS))
        _wait_for_routers(scenes, period_s=2)
        scenes.wait_ready(2)
        figures.note("upgrade: operators and routers rolled", time.monotonic() - began_s)
        assert restarts(scenes.pods("worker")) == workers
        assert not routers.keys() & restarts(scenes.routers()).keys()
        message = scenes.condition("WorkersReady")["message"]
        assert f"2 run what a version other than {__version__} rendered" in message
        until("this version plans on", lambda: scenes.told()["plan"]["version"] >= version, 30)

        began_s = time.monotonic()
        before.rollback()
        _wait_for_routers(scenes, period_s=1)
        scenes.wait_ready(2)
        figures.note("rollback: operators and routers rolled", time.monotonic() - began_s)
        assert restarts(scenes.pods("worker")) == workers
        assert "a version other than" not in scenes.condition("WorkersReady")["message"]
        load.wait_served(2)
    assert load.lost() == []

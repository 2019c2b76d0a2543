"""The operator as a whole without a cluster: alive while it attempts, whatever is answered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest
import yaml

from hadis_operator import electing, kube, operating
from hadis_operator.metrics import Metrics
from hadis_operator.operating import Operator
from hadis_operator.settings import Settings
from hadis_operator.watching import Watcher
from support import clusters, rendered
from support.api_server import ApiServer


class Blind(Watcher):
    """Watches nothing: the pretended API has no watches. What it is to watch is on record."""

    followed: list[list[str]]

    def start(self) -> None:
        pass

    def follow(self, namespaces: Iterable[str]) -> None:
        self.followed.append(sorted(namespaces))


class Running:
    def __init__(self, server: ApiServer, folder: Path, extra: str = "") -> None:
        file = folder / "kubeconfig"
        named = {"cluster": "c", "user": "u"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server.url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": named}],
            "current-context": "x",
        }
        file.write_text(yaml.safe_dump(config))
        settings = Settings(
            installation=folder / "installation.yaml",
            namespace="hadis-system",
            identity="one",
            kubeconfig=str(file),
        )
        self.metrics = Metrics()
        self.operator = Operator(settings, rendered.an_installation(extra), self.metrics)
        self.late_s = 0.0
        clock = self.operator._clock
        self.operator._clock = lambda: clock() + self.late_s
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.operator.run(self.stop))


@pytest.fixture
async def running(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    """An operator that has begun while the API is away."""
    for module in (electing, operating):
        monkeypatch.setattr(module, "RETRY_S", 0.02)
    monkeypatch.setattr(operating, "SWEEP_EVERY_S", 0.05)
    monkeypatch.setattr(Blind, "followed", [], raising=False)
    monkeypatch.setattr(operating, "Watcher", Blind)
    server.down = True
    begun = Running(server, tmp_path, "watchNamespaces: [images, lab]\n")
    yield begun
    begun.stop.set()
    await asyncio.wait_for(begun.task, 30)


def readable(running: Running) -> dict[str, float]:
    """What the metrics tell of the watched namespaces."""
    name = "hadis_operator_namespace_readable"
    return {
        sample.labels["watched_namespace"]: sample.value
        for family in running.metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


async def until(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_operator_that_cannot_reach_the_api_is_alive_and_not_ready(
    server: ApiServer, running: Running
) -> None:
    operator = running.operator
    await until(lambda: server.requests > 10)
    assert operator.unhealthy() is None
    assert operator.unready() == "the cluster has not been read yet"
    # Minutes later it still attempts, and so it is still alive.
    running.late_s = 3 * operating.STUCK_AFTER_S
    requests = server.requests
    await until(lambda: server.requests > requests + 10)
    await until(lambda: operator.unhealthy() is None)
    assert not operator._may_act()
    assert not running.task.done()


async def test_an_operator_whose_election_has_stopped_is_to_be_replaced(
    server: ApiServer, running: Running
) -> None:
    server.down = False
    await until(running.operator._may_act)
    server.silent = True  # nothing is answered, so nothing is attempted anew
    await asyncio.sleep(0.1)
    running.late_s = operating.STUCK_AFTER_S + 10.0
    assert running.operator.unhealthy() == "the election has stopped"


async def test_an_operator_that_has_not_read_the_cluster_does_not_stand_for_election(
    server: ApiServer, running: Running
) -> None:
    server.forbidden = {"images", "lab"}
    server.down = False
    requests = server.requests
    await until(lambda: server.requests > requests + 20)
    assert server.of("leases") == []
    assert running.operator.unready() == "the cluster has not been read yet"
    server.forbidden = {"lab"}
    await until(running.operator._may_act)
    assert running.operator.unready() is None
    assert len(server.of("leases")) == 1


async def test_a_namespace_that_is_deleted_stops_nothing_elsewhere(
    server: ApiServer, running: Running
) -> None:
    operator = running.operator
    lab = clusters.a_live_cascade(namespace="lab", uid="0a1b2c3d-1111-5555-6666-777788889999")
    server.put(clusters.a_live_cascade(), lab)
    server.down = False
    await until(operator._may_act)
    assert Blind.followed[-1] == ["images", "lab"]
    assert readable(running) == {"images": 1.0, "lab": 1.0}
    server.forbidden = {"lab"}
    await until(lambda: Blind.followed[-1] == ["images"])
    assert readable(running) == {"images": 1.0, "lab": 0.0}
    store = operator._store
    assert [one["metadata"]["namespace"] for one in store.all(kube.CASCADES)] == ["images"]
    # The last words of a watch that is about to end bring nothing back.
    operator._noted(kube.CASCADES, "MODIFIED", {**lab, "kind": "HadisCascade"})
    assert len(list(store.all(kube.CASCADES))) == 1
    # Whoever leads next acts, too.
    for holder in ("another", ""):
        server.edit(
            "leases",
            "hadis-operator",
            lambda lease, holder=holder: lease["spec"].update(holderIdentity=holder),
            namespace="hadis-system",
        )
        await until(lambda holder=holder: operator._may_act() is (holder == ""))
    server.forbidden.clear()
    await until(lambda: Blind.followed[-1] == ["images", "lab"])
    assert len(list(store.all(kube.CASCADES))) == 2

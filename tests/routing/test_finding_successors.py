"""A worker's pod is made anew while no controller tells where: its slot's name leads there."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hadis.terms.assignments import WorkerRef
from hadis.terms.ids import WorkerName
from hadis_router.worker_client import WorkerClient
from support.router_fixtures import BIG, TINY, Fleet, RouterUnderTest, a_lane
from support.scripted_workers import RunningWorker

DOMAIN = "pair-workers"
LIGHT_ONLY = a_lane(2.0, 0.0)


class Names:
    """What the cluster's DNS would say of slots, and how often it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked: list[str] = []


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    found = Names()
    resolve = socket.getaddrinfo

    def resolved(host, *rest, **more):
        if not str(host).endswith(DOMAIN):
            return resolve(host, *rest, **more)
        found.asked.append(host)
        if host not in found.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for one in found.known[host] for entry in resolve(one, *rest, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return found


class Moving(Fleet):
    """A fleet whose workers can be replaced by others at other addresses."""

    def __init__(self, folder: Path, domain: str = DOMAIN) -> None:
        router = RouterUnderTest(folder=folder, worker_domain=domain)
        super().__init__(router, RunningWorker("w0"), RunningWorker("w1"))
        self.route(LIGHT_ONLY)

    def replace(self, gone: RunningWorker, name: str, host: str = "127.0.0.2") -> RunningWorker:
        """End a worker and start another one on its port of another host."""
        gone.stop()
        return RunningWorker(name, host=host, port=int(gone.address.rpartition(":")[2]))

    def ref(self, name: str) -> WorkerRef:
        return self.router.router.view.workers[name].ref

    def is_avoided(self, name: str) -> bool:
        return self.router.router.view.workers[name].is_avoided


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Moving]:
    moving = Moving(tmp_path)
    yield moving
    moving.stop()


def test_a_worker_that_was_made_anew_is_found_by_its_name(fleet, names, eventually):
    version = fleet.router.version
    names.known[f"w0.{DOMAIN}"] = ["127.0.0.1", "127.0.0.2"]
    fleet.light = fleet.replace(fleet.light, "w0")
    # Nothing is lost meanwhile: the other one has the model, too.
    assert fleet.told()["path"] == "light"
    eventually(lambda: fleet.ref("w0").address == fleet.light.address)
    for seed in range(20):
        assert fleet.told(seed=seed)["plan_version"] == version
    assert fleet.light.counts["completed"] > 0
    assert fleet.ref("w0").uid == fleet.light.worker.uid
    # The controller is back and says the same: nothing begins anew.
    worker = fleet.router.router.view.workers["w0"]
    fleet.route(LIGHT_ONLY)
    assert fleet.router.router.view.workers["w0"] is worker


def test_whoever_answers_there_under_another_name_is_not_believed(fleet, names, eventually):
    names.known[f"w0.{DOMAIN}"] = ["127.0.0.2"]
    stranger = fleet.light = fleet.replace(fleet.light, "w9")
    fleet.told()
    eventually(lambda: stranger.address == fleet.ref("w0").address)
    for seed in range(10):
        assert fleet.told(seed=seed)["path"] == "light"
    assert fleet.heavy.counts["completed"] >= 10
    assert fleet.ref("w0").uid == ""


def test_several_successors_whose_first_words_are_still_to_come_are_told_apart(
    fleet, names, eventually
):
    for name in ("w0", "w1"):
        names.known[f"{name}.{DOMAIN}"] = ["127.0.0.2"]
    fleet.light = fleet.replace(fleet.light, "w0")
    fleet.heavy = fleet.replace(fleet.heavy, "w1")
    fleet.refused()
    eventually(lambda: not fleet.is_avoided("w0") and not fleet.is_avoided("w1"))
    for worker in (fleet.light, fleet.heavy):
        worker.script.faults[:] = ["error"]
    fleet.light.script.faults.append("error")
    # One fails, and the image is made by the other: neither is taken for tried because of the
    # other, or asked twice.
    assert fleet.refused().status_code == 503
    assert fleet.light.counts["received"] == fleet.heavy.counts["received"] == 1


def test_a_name_that_leads_nowhere_leaves_the_worker_to_its_address(fleet, names, eventually):
    gone = fleet.light
    fleet.light = fleet.replace(gone, "w0", host="127.0.0.3")  # which no name tells
    fleet.told()
    eventually(lambda: f"w0.{DOMAIN}" in names.asked)
    assert fleet.is_avoided("w0")
    assert fleet.ref("w0").address == gone.address


def test_where_workers_have_no_names_none_is_asked_for(tmp_path, names, eventually):
    fleet = Moving(tmp_path, domain="")
    try:
        fleet.light.stop()
        fleet.told()
        eventually(lambda: fleet.router.router.view.workers["w0"].failures >= 2)
        assert names.asked == []
    finally:
        for part in (fleet.router, fleet.heavy):
            part.stop()


@pytest.mark.parametrize(
    ("address", "known", "want"),
    [
        ("::1", "127.0.0.1:8000", "[::1]:8000"),
        ("127.0.0.1", "[::1]:8000", "127.0.0.1:8000"),
        ("127.0.0.1", "127.0.0.1:8000", None),
    ],
)
def test_an_address_is_written_as_a_url_takes_it(address, known, want, names, monkeypatch):
    names.known[f"w0.{DOMAIN}"] = [address]

    async def is_alive(_client: WorkerClient, _worker: WorkerRef, _patience_s: float = 1.0) -> bool:
        return True

    monkeypatch.setattr(WorkerClient, "is_alive", is_alive)
    ref = WorkerRef(WorkerName("w0"), known, "uid", TINY)
    found = asyncio.run(WorkerClient(connect_s=1.0).find_successor(ref, DOMAIN))
    assert (None if found is None else found.address) == want
    assert found is None or (found.uid, found.model) == ("", TINY)


def test_the_table_is_still_what_says_which_model_a_successor_serves(fleet, names, eventually):
    names.known[f"w1.{DOMAIN}"] = ["127.0.0.2"]
    fleet.route(a_lane(-1.0, 0.0))
    fleet.heavy = fleet.replace(fleet.heavy, "w1")
    fleet.told()
    eventually(lambda: fleet.ref("w1").address == fleet.heavy.address)
    assert fleet.ref("w1").model == BIG

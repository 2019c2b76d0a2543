"""Pods and their own words as a snapshot: who counts, who is silent, who is somebody else."""

from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from hadis.planning.snapshots import ObservedWorker
from hadis.wire.reports import ModelState
from hadis_operator import observing, slots
from hadis_operator.counting import Process
from hadis_operator.objects import Component
from hadis_operator.observing import Heard, Observer, View
from hadis_operator.slots import Plight, Pod
from support import clusters
from support.pretended_pods import pretended

W0 = clusters.a_pod("w0", slot="w0")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def leaving(name: str, **fields: Any) -> Pod:
    live = clusters.a_live_pod(name, **fields)
    live["metadata"]["deletionTimestamp"] = "2030-01-01T01:00:00Z"
    return Pod.from_live(live)


def test_a_slots_pod_is_the_one_that_stays() -> None:
    old = leaving("old", slot="w0")
    assert slots.by_slot([old, W0]) == {"w0": W0}
    assert slots.by_slot([old]) == {}
    ended = clusters.a_pod("ended", slot="w0", phase="Failed")
    assert slots.by_slot([ended]) == {}


def test_of_two_that_stay_the_newer_counts() -> None:
    newer = replace(W0, name="newer", uid="uid-newer", born="2030-01-02T00:00:00Z")
    assert slots.by_slot([newer, W0])["w0"] is newer


def test_routers_and_fetchers_are_no_slots() -> None:
    router = clusters.a_pod("router", component=Component.ROUTER)
    fetcher = clusters.a_pod("fetch", component=Component.FETCHER)
    assert slots.by_slot([router, fetcher]) == {}
    assert slots.routers([router, fetcher]) == [router]
    assert slots.fetchers([router, fetcher]) == [fetcher]


def test_an_address_of_six_is_put_in_brackets() -> None:
    assert replace(W0, address="fd00::1").at(8000) == "[fd00::1]:8000"
    assert W0.at(8000) == "127.0.0.1:8000"


def test_a_ready_pod_has_no_plight_whatever_it_went_through() -> None:
    pod = clusters.a_pod(
        "w0",
        slot="w0",
        containerStatuses=[{"lastState": {"terminated": {"reason": "OOMKilled"}}}],
    )
    assert pod.plight is None


def test_an_answer_is_believed_for_five_seconds_and_of_the_same_pod() -> None:
    heard = {"w0": Heard(0.0, clusters.a_worker_status("w0"))}
    assert "w0" in observing.believed(heard, {"w0": W0}, 5.0)
    assert observing.believed(heard, {"w0": W0}, 5.1) == {}
    assert observing.believed(heard, {}, 0.0) == {}
    assert observing.believed(heard, {"w0": replace(W0, uid="another")}, 0.0) == {}


def a_view(*answering: str, pods: tuple[Pod, ...] = ()) -> View:
    workers = {slot: clusters.a_worker_status(slot) for slot in answering}
    everyone = pods or tuple(clusters.a_pod(slot, slot=slot) for slot in ("w0", "w1"))
    return View(0.0, everyone, workers)


def observed(view: View, *, is_boot: bool = False) -> dict[str, ObservedWorker]:
    wanted = ["w0", "w1"]
    return {
        str(worker.name): worker
        for worker in observing.observed_workers(view, wanted, is_boot=is_boot)
    }


def test_only_slots_whose_worker_answers_count() -> None:
    got = observed(a_view("w0"))
    assert list(got) == ["w0"]
    assert got["w0"].address == "127.0.0.1:8000"
    assert got["w0"].uid == "uid-w0"


def test_before_any_worker_exists_all_slots_count() -> None:
    got = observed(a_view(pods=()), is_boot=True)
    assert list(got) == ["w0", "w1"]
    assert got["w1"].address == ""
    assert not got["w1"].ready


def test_while_booting_a_slot_that_cannot_start_does_not_count() -> None:
    stuck = replace(clusters.a_pod("w1", slot="w1", ready=False), plight=Plight.UNSCHEDULABLE)
    assert list(observed(a_view("w0", pods=(W0, stuck)), is_boot=True)) == ["w0"]
    loading = replace(stuck, plight=Plight.LOADING)
    assert list(observed(a_view("w0", pods=(W0, loading)), is_boot=True)) == ["w0", "w1"]


def test_a_slot_that_is_wanted_no_more_counts_as_leaving() -> None:
    third = clusters.a_pod("w2", slot="w2")
    view = a_view("w0", "w2", pods=(W0, third))
    got = observed(view)
    assert got["w2"].draining
    assert not got["w0"].draining


def test_a_worker_goes_by_its_slot_whatever_it_calls_itself() -> None:
    view = replace(a_view("w0"), workers={"w0": clusters.a_worker_status("w0", name="misnamed")})
    assert list(observed(view)) == ["w0"]


def test_a_signature_changes_with_what_calls_for_a_cycle_and_with_nothing_else() -> None:
    view = a_view("w0", "w1")
    busy = clusters.a_worker_status("w0", busy_s=7.0, queue={"waiting": 3})
    assert replace(view, workers={**view.workers, "w0": busy}).signature == view.signature
    for change in ({"ready": False}, {"uid": "b"}, {"assignment": clusters.an_assignment(1)}):
        other = clusters.a_worker_status("w0", **change)
        assert replace(view, workers={**view.workers, "w0": other}).signature != view.signature


LOADED = {"tiny": ModelState(resident=True), "big": ModelState(resident=False)}
FAILED = {"tiny": ModelState(resident=False, error="no such folder")}


@pytest.mark.parametrize(
    ("plight", "models", "want"),
    [
        (Plight.CRASHING, None, True),
        (Plight.OUT_OF_MEMORY, None, True),
        (Plight.UNSCHEDULABLE, None, True),
        (Plight.LOADING, None, False),
        (Plight.LOADING, {}, False),
        # It was out of memory once, and has come up again since: it swaps.
        (Plight.OUT_OF_MEMORY, LOADED, False),
        (Plight.LOADING, FAILED, True),
        (Plight.LOADING, {**FAILED, "big": ModelState(resident=True)}, False),
        (None, FAILED, False),
    ],
)
def test_who_is_stuck_and_who_only_loads(
    plight: Plight | None, models: dict[str, ModelState] | None, want: bool
) -> None:
    pod = replace(W0, plight=plight, ready=plight is None)
    status = None if models is None else clusters.a_worker_status("w0", models=models)
    view = View(0.0, (pod,), {} if status is None else {"w0": status})
    assert observing.stuck(view) == ({"w0"} if want else set())


def test_the_last_word_of_a_process_that_has_ended_does_not_help_it() -> None:
    ended = replace(W0, plight=Plight.CRASHING, ready=False, process=Process(W0.uid, restarts=3))
    assert observing.stuck(a_view("w0", pods=(ended,))) == {"w0"}


async def test_everyone_is_asked_and_silence_has_its_time(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "TIMEOUT_S", 1.5)
    clock = Clock()
    async with pretended("w0", "w1", "router") as (w0, w1, router):
        observer = Observer(session, clock=clock)
        pods = [Pod.from_live(one.live()) for one in (w0, w1, router)]
        view = await observer.look(pods)
        assert sorted(view.workers) == ["w0", "w1"]
        assert list(view.routers) == ["router"]
        w1.silent = True
        clock.now_s = 4.0
        assert sorted((await observer.look(pods)).workers) == ["w0", "w1"]
        clock.now_s = 5.5
        assert sorted((await observer.look(pods)).workers) == ["w0"]
        w1.silent = False
        assert sorted((await observer.look(pods)).workers) == ["w0", "w1"]
        # Its pod went: nothing waits for silence.
        assert sorted((await observer.look(pods[:1])).workers) == ["w0"]


async def test_a_lost_answer_of_a_router_is_no_news(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "TIMEOUT_S", 1.0)
    clock = Clock()
    async with pretended("router") as (router,):
        observer = Observer(session, clock=clock)
        pod = Pod.from_live(router.live())
        before = await observer.look([pod])
        router.silent = True
        clock.now_s = 5.0
        assert (await observer.look([pod])).signature == before.signature
        clock.now_s = 5.5
        assert (await observer.look([pod])).routers == {}


async def test_a_silent_router_whose_pod_is_gone_or_not_ready_goes_at_once(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "TIMEOUT_S", 1.0)
    async with pretended("router", "second") as (router, second):
        pods = [Pod.from_live(one.live()) for one in (router, second)]
        observer = Observer(session, clock=Clock())
        unready = [replace(pods[0], ready=False), pods[1]]
        # One that answers counts, whatever the kubelet has heard of it so far.
        assert sorted((await observer.look(unready)).routers) == ["router", "second"]
        router.silent = True
        assert sorted((await observer.look(pods)).routers) == ["router", "second"]
        assert sorted((await observer.look(pods[:1])).routers) == ["router"]
        assert (await observer.look(unready[:1])).routers == {}
        # And it must speak again itself to be believed again.
        assert (await observer.look(pods[:1])).routers == {}


async def test_an_answer_without_an_end_is_silence(session: aiohttp.ClientSession) -> None:
    async with pretended("w0") as (w0,):
        w0.status = {"hardware": "x" * observing.MAX_BYTES}
        view = await Observer(session, clock=Clock()).look([Pod.from_live(w0.live())])
        assert view.workers == {}


async def test_a_standby_asks_routers_only(session: aiohttp.ClientSession) -> None:
    async with pretended("w0", "router") as (w0, router):
        observer = Observer(session, clock=Clock())
        pods = [Pod.from_live(one.live()) for one in (w0, router)]
        view = await observer.look(pods, ask_workers=False)
        assert view.workers == {}
        assert list(view.routers) == ["router"]


async def test_who_answers_at_an_address_must_be_the_pod_that_it_belongs_to(
    session: aiohttp.ClientSession,
) -> None:
    async with pretended("w0", "router") as (w0, router):
        w0.status = {"uid": "somebody else"}
        router.status = {"uid": "somebody else"}
        observer = Observer(session, clock=Clock())
        view = await observer.look([Pod.from_live(one.live()) for one in (w0, router)])
        assert view.workers == {}
        assert view.routers == {}


async def test_a_pod_without_an_address_or_with_nonsense_to_say_is_silent(
    session: aiohttp.ClientSession,
) -> None:
    observer = Observer(session, clock=Clock())
    nowhere = replace(W0, address="")
    closed = clusters.a_pod("w1", slot="w1", address="127.3.3.3")
    view = await observer.look([nowhere, closed])
    assert view.workers == {}

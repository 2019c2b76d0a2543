"""Who is told what: exactly those that report something older, and nobody twice."""

from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from hadis.planning import cycles
from hadis.planning.cycles import CycleInput, CycleOutput, CycleState
from hadis.planning.snapshots import ObservedWorker, Snapshot
from hadis.terms.ids import WorkerName
from hadis_operator import delivering
from hadis_operator.delivering import Courier
from hadis_operator.objects import Component
from hadis_operator.observing import Observer, View
from hadis_operator.rendering import plans
from hadis_operator.slots import Pod
from support import clusters
from support.pretended_pods import PretendedPod, pretended


def an_output(version: int = 4) -> CycleOutput:
    """A plan for w0 and w1, issued as `version`."""
    given = clusters.a_given()
    workers = tuple(ObservedWorker(WorkerName(slot)) for slot in ("w0", "w1"))
    state = CycleState(version=version - 1)
    return cycles.run_cycle(CycleInput(given.cascade, given.profile, Snapshot(0.0, workers), state))


def a_view(w0: dict[str, Any], router: dict[str, Any]) -> View:
    pods = (clusters.a_pod("w0", slot="w0"), clusters.a_pod("router", component=Component.ROUTER))
    return View(
        0.0,
        pods,
        {"w0": clusters.a_worker_status("w0", **w0)},
        {"router": clusters.a_router_status(**router)},
    )


def messages(view: View, *, summary_is_new: bool = False) -> list[str]:
    found = delivering.plan_messages(an_output(), view, summary_is_new=summary_is_new)
    return [f"{message.pod.name}/{message.what}" for message in found]


OLD = {"assignment": clusters.an_assignment(3)}
CURRENT = {"assignment": clusters.an_assignment(4)}
NEWER = {"assignment": clusters.an_assignment(5)}


@pytest.mark.parametrize(
    ("w0", "router", "want"),
    [
        ({}, {}, ["w0/assignment", "router/routing"]),
        (OLD, {"routing": clusters.a_table(3)}, ["w0/assignment", "router/routing"]),
        (CURRENT, {"routing": clusters.a_table(4)}, []),
        (CURRENT, {}, ["router/routing"]),
        (NEWER, {"routing": clusters.a_table(5)}, []),
    ],
)
def test_whoever_reports_something_older_is_told(
    w0: dict[str, Any], router: dict[str, Any], want: list[str]
) -> None:
    assert messages(a_view(w0, router)) == want


def test_new_figures_go_to_routers_that_have_the_table_and_to_no_others() -> None:
    current = a_view(CURRENT, {"routing": clusters.a_table(4)})
    assert messages(current, summary_is_new=True) == ["router/routing"]
    ahead = a_view(CURRENT, {"routing": clusters.a_table(5)})
    assert messages(ahead, summary_is_new=True) == []


def test_a_slot_without_a_part_in_the_plan_is_told_nothing() -> None:
    output = replace(an_output(), assignments={})
    view = a_view({}, {"routing": clusters.a_table(4)})
    assert delivering.plan_messages(output, view, summary_is_new=False) == []


async def look(session: aiohttp.ClientSession, pods: list[PretendedPod]) -> View:
    observer = Observer(session, clock=lambda: 0.0)
    return await observer.look([Pod.from_live(pod.live()) for pod in pods])


async def test_a_plan_arrives_once_and_the_figures_when_they_change(
    session: aiohttp.ClientSession,
) -> None:
    async with pretended("w0", "w1", "router") as pods:
        courier, output = Courier(session), an_output()
        delivery = await courier.deliver_plan(output, await look(session, pods))
        assert (delivery.taken, delivery.changed) == (3, True)
        assert [pod.version() for pod in pods] == [4, 4, 4]
        again = await courier.deliver_plan(output, await look(session, pods))
        assert (again.taken, again.changed) == (0, False)
        summary = {**output.summary, "demand": 12.0}
        figures = replace(output, summary=summary)
        told = await courier.deliver_plan(figures, await look(session, pods))
        assert (told.taken, told.changed) == (1, False)
        assert pods[2].told[-1][1]["plan"]["demand"] == 12.0


async def test_a_restarted_worker_gets_its_part_again(session: aiohttp.ClientSession) -> None:
    async with pretended("w0", "router") as pods:
        courier, output = Courier(session), an_output()
        await courier.deliver_plan(output, await look(session, pods))
        pods[0].status.clear()
        await courier.deliver_plan(output, await look(session, pods))
        assert [what for what, _ in pods[0].told] == ["assignment", "assignment"]
        assert [what for what, _ in pods[1].told] == ["routing"]


async def test_one_that_is_silent_keeps_nobody_else_waiting(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "TIMEOUT_S", 1.5)
    async with pretended("w0", "w1", "router") as pods:
        view = await look(session, pods)
        pods[0].silent, pods[1].refusing = True, True
        delivery = await Courier(session).deliver_plan(an_output(), view)
        assert delivery.taken == 1
        assert delivery.refused == ("w1 refused its assignment: lanes: add up to 0.5",)
        assert pods[2].version() == 4


def a_document(generation: int) -> dict[str, Any]:
    given = clusters.a_given(generation=generation)
    return plans.cascade_document(given.cascade, given.told_profile)


async def deliver(
    courier: Courier, session: aiohttp.ClientSession, pods: list[PretendedPod], generation: int
) -> int:
    view = await look(session, pods)
    document = a_document(generation)
    return (await courier.deliver_cascade(document, generation, view)).taken


async def test_a_cascade_goes_to_those_that_report_another_generation(
    session: aiohttp.ClientSession,
) -> None:
    async with pretended("w0", "router") as pods:
        courier = Courier(session)
        # They started with generation 3.
        assert await deliver(courier, session, pods, 3) == 0
        assert await deliver(courier, session, pods, 4) == 2
        assert await deliver(courier, session, pods, 4) == 0
        assert [pod.status["generation"] for pod in pods] == [4, 4]


async def test_a_process_that_started_from_a_stale_file_is_told(
    session: aiohttp.ClientSession,
) -> None:
    async with pretended("w0") as pods:
        pods[0].status = {"generation": 2}
        courier = Courier(session)
        assert await deliver(courier, session, pods, 3) == 1
        # One that does not tell its generation at all is told once.
        pods[0].status = {"generation": 0}
        assert await deliver(courier, session, pods, 3) == 0
        assert await deliver(Courier(session), session, pods, 3) == 1


async def test_a_changed_profile_goes_out_although_the_generation_is_the_same(
    session: aiohttp.ClientSession,
) -> None:
    async with pretended("w0") as pods:
        courier = Courier(session)
        assert await deliver(courier, session, pods, 3) == 0
        measured = clusters.a_live_profile(
            models=[
                {"name": name, "latencies": [{"batch": 1, "seconds": 9.0}]}
                for name in ("tiny", "big")
            ]
        )
        given = clusters.a_given(profile=measured)
        document = plans.cascade_document(given.cascade, given.told_profile)
        view = await look(session, pods)
        assert (await courier.deliver_cascade(document, 3, view)).taken == 1
        assert (await courier.deliver_cascade(document, 3, view)).taken == 0


async def test_a_refused_cascade_is_not_sent_again_and_a_lost_one_is(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "TIMEOUT_S", 1.5)
    async with pretended("w0", "router") as pods:
        courier = Courier(session)
        view = await look(session, pods)
        pods[0].refusing, pods[1].silent = True, True
        first = await courier.deliver_cascade(a_document(4), 4, view)
        assert (first.taken, len(first.refused)) == (0, 1)
        pods[0].refusing, pods[1].silent = False, False
        second = await courier.deliver_cascade(a_document(4), 4, view)
        assert second.taken == 1
        assert (pods[0].told, [what for what, _ in pods[1].told]) == ([], ["cascade"])

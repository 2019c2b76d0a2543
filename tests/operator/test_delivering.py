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
        counts: list[int] = []
        courier = Courier(session, refusing=counts.append)
        delivery = await courier.deliver_plan(an_output(), view)
        assert (delivery.taken, delivery.changed) == (1, True)
        assert counts == [1]
        assert pods[2].version() == 4
        # Whoever refuses its part is asked at each look, and nobody looks sooner because of it.
        pods[0].silent = False
        delivery = await courier.deliver_plan(an_output(), await look(session, pods))
        assert (delivery.taken, delivery.changed) == (1, True)
        delivery = await courier.deliver_plan(an_output(), await look(session, pods))
        assert (delivery.taken, delivery.changed, counts) == (0, False, [1, 1, 1])


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
        first, document = await courier.deliver_cascade(a_document(4), 4, view), a_document(4)
        assert first.taken == 0
        pods[0].refusing, pods[1].silent = False, False
        for taken in (1, 0):
            delivery = await courier.deliver_cascade(document, 4, await look(session, pods))
            assert delivery.taken == taken
        assert (pods[0].told, [what for what, _ in pods[1].told]) == ([], ["cascade"])


async def test_a_refusal_is_told_once_with_what_to_do_until_it_is_over(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with pretended("w0", "w1", "router") as pods:
        counts: list[int] = []
        courier = Courier(session, refusing=counts.append)
        for pod in pods[:2]:
            pod.refusing = True
        for generation in (4, 4, 5, 5):
            await deliver(courier, session, pods, generation)
        assert counts == [2, 2, 2, 2]
        assert courier.trouble.startswith("w0, w1 refuse this cascade")
        assert "lanes: add up to 0.5" in courier.trouble
        assert "hadis.dev/roll-workers" in courier.trouble
        assert sum("w0 refused its cascade" in line for line in caplog.messages) == 1
        for pod in pods[:2]:
            pod.refusing = False
        assert await deliver(courier, session, pods, 5) == 0
        assert await deliver(courier, session, pods, 6) == 3
        assert (courier.trouble, counts[-1]) == ("", 0)


async def test_a_refusal_goes_with_its_process(session: aiohttp.ClientSession) -> None:
    async with pretended("w0", "w1") as pods:
        courier = Courier(session)
        pods[0].refusing = True
        await deliver(courier, session, pods, 4)
        assert courier.trouble.startswith("w0 refuses this cascade")
        await deliver(courier, session, pods[1:], 4)
        assert courier.trouble == ""


async def test_a_process_that_a_deposed_operator_set_back_is_told_again(
    session: aiohttp.ClientSession,
) -> None:
    async with pretended("w0", "router") as pods:
        courier = Courier(session)
        assert await deliver(courier, session, pods, 4) == 2
        assert await deliver(courier, session, pods, 4) == 0
        # Whatever was told to it last, what it reports decides.
        pods[0].status["generation"] = 3
        assert await deliver(courier, session, pods, 4) == 1
        assert pods[0].status["generation"] == 4


async def test_a_later_generation_is_nobodys_to_take_back(session: aiohttp.ClientSession) -> None:
    async with pretended("w0", "router") as pods:
        pods[0].status["generation"] = 5
        courier = Courier(session)
        assert await deliver(courier, session, pods, 4) == 1
        assert (pods[0].told, pods[0].status["generation"]) == ([], 5)
        assert await deliver(courier, session, pods, 5) == 1
        assert pods[0].told == []


async def test_an_operator_that_was_deposed_tells_nobody_anything(
    session: aiohttp.ClientSession,
) -> None:
    async with pretended("w0", "router") as pods:
        leads = True
        courier = Courier(session, may_act=lambda: leads)
        view = await look(session, pods)
        leads = False
        assert (await courier.deliver_cascade(a_document(4), 4, view)).taken == 0
        assert (await courier.deliver_plan(an_output(), view)).taken == 0
        assert [pod.told for pod in pods] == [[], []]
        leads = True
        assert await deliver(courier, session, pods, 4) == 2


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        (
            '{"error": {"message": "spec.models: no\\n such", "reason": "x"}}',
            "spec.models: no such",
        ),
        ("<html>" + "x" * 10_000, "<html>" + "x" * 294),
        ('{"error": 1}', '{"error": 1}'),
        ("[" * 5000, "[" * 300),
        ("", "status 400"),
    ],
)
async def test_a_refusals_words_are_one_short_line(
    session: aiohttp.ClientSession, answer: str, want: str
) -> None:
    async with pretended("w0") as pods:
        pods[0].refusing, pods[0].refusal = True, answer
        courier = Courier(session)
        await deliver(courier, session, pods, 4)
        assert f": {want} - upgrade" in courier.trouble

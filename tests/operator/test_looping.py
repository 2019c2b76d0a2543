"""A cascade's loop from nothing to serving, at rest, and through what befalls it."""

import asyncio
import copy
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest

from hadis.planning.problems import PlanStatus
from hadis_operator import cycling, kube, looping, naming, objects, supervising
from hadis_operator.kube import Kube
from hadis_operator.looping import CascadeLoop, Tools
from hadis_operator.metrics import Metrics
from hadis_operator.objects import Manifest
from hadis_operator.renderings import Renderer
from hadis_operator.storing import CascadeKey, Store
from hadis_operator.supervising import Supervisor
from hadis_operator.sweeping import Sweeper
from support import clusters, rendered
from support.api_server import ApiServer
from support.pretended_pods import PretendedPod, pretended
from support.pretended_prometheus import a_prometheus, an_answer, series

OWNER = rendered.an_owner()
KEY = CascadeKey("images", "photos")
PLAN = naming.plan(OWNER)


class Operator:
    """One operator's share in a cascade: its store, its lead, its clock, its loop."""

    def __init__(self, server: ApiServer, api: Kube, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.api = api
        self.leads = True
        self.term = 1
        self.now_s = 1000.0
        self.store = Store()
        self.metrics = Metrics()
        self.executor = ThreadPoolExecutor(1)
        self.tools = Tools(
            api=api,
            store=self.store,
            session=session,
            installation=rendered.an_installation(),
            metrics=self.metrics,
            executor=self.executor,
            may_act=lambda: self.leads,
            term=lambda: self.term,
            me="operator-1",
            clock=lambda: self.now_s,
        )
        self.loop = CascadeLoop(KEY, self.tools)

    async def read(self) -> None:
        """Do what watches do, at once."""
        sweeper = Sweeper(self.api, self.store)
        await sweeper.sweep()

    async def turn(self, times: int = 1, *, every_s: float = 2.0) -> None:
        for _ in range(times):
            await self.read()
            await self.loop._turn()
            self.now_s += every_s

    async def settle(self) -> None:
        await self.turn(6)
        self.server.writes.clear()


@pytest.fixture
def begin(server: ApiServer, api: Kube, session: aiohttp.ClientSession) -> Callable[[], Operator]:
    return lambda: Operator(server, api, session)


@pytest.fixture
async def pods(server: ApiServer) -> AsyncIterator[list[PretendedPod]]:
    """Two workers and a router that answer; the API knows them once a test puts them there."""
    async with pretended("w0", "w1", "router") as running:
        yield running


@pytest.fixture
def cascade(server: ApiServer) -> Manifest:
    server.put(clusters.a_live_cascade(), clusters.a_live_profile())
    return server.get("hadiscascades", "photos")


def conditions(server: ApiServer) -> dict[str, tuple[str, str]]:
    status = server.get("hadiscascades", "photos")["status"]
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def routing(server: ApiServer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("configmaps", PLAN)["data"]["routing.json"])
    return found


def put_pods(server: ApiServer, pods: list[PretendedPod]) -> None:
    server.put(*(pod.live() for pod in pods))


@pytest.mark.usefixtures("cascade")
@pytest.mark.parametrize("is_crashing", [True, False])
async def test_a_new_template_mends_all_that_crash_at_once_and_spares_what_loads(
    server: ApiServer,
    begin: Callable[[], Operator],
    pods: list[PretendedPod],
    is_crashing: bool,
) -> None:
    operator = begin()
    for pod in pods[:2]:
        pod.silent = True
        waiting = {"reason": "CrashLoopBackOff"}
        state = {"waiting": waiting} if is_crashing else {"running": {"startedAt": pod.started}}
        server.put(pod.live(ready=False, containerStatuses=[{"state": state}]))
    await operator.settle()
    server.put(clusters.a_live_cascade(("workers.template", {"image": "own.example/worker:2"})))
    await operator.turn()
    rolled = [one for one in server.written() if one[1].startswith("deployments/photos-w")]
    assert len([one for one in rolled if one[0] == "apply"]) == (2 if is_crashing else 1)


@pytest.mark.usefixtures("cascade")
async def test_whoever_refuses_the_cascade_is_counted_and_told(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)

    def refusing() -> float | None:
        return operator.metrics.registry.get_sample_value(
            "hadis_operator_refusing_processes",
            {"cascade": "photos", "cascade_namespace": "images"},
        )

    await operator.settle()
    assert refusing() == 0
    pods[0].refusing = True
    server.put(clusters.a_live_cascade(("slo.latency", "50s"), generation=4))
    await operator.turn(2)
    assert refusing() == 1
    status = server.get("hadiscascades", "photos")["status"]
    [message] = [one["message"] for one in status["conditions"] if one["type"] == "WorkersReady"]
    assert "will not start with it" in message
    assert "hadis.dev/roll-workers" in message


@pytest.mark.usefixtures("cascade")
async def test_the_first_plan_is_made_before_any_worker_exists(
    server: ApiServer, begin: Callable[[], Operator]
) -> None:
    await begin().turn()
    names = [name for _, name in server.written()]
    assert names[0] == f"configmaps/{PLAN}"
    assert names.index(f"deployments/{naming.worker(OWNER, 'w0')}") > 0
    assignments = json.loads(server.get("configmaps", PLAN)["data"]["assignments.json"])
    assert sorted(assignments) == ["w0", "w1"]
    assert routing(server)["workers"] == []
    for slot, told in assignments.items():
        live = server.get("deployments", naming.worker(OWNER, slot))
        recorded = objects.annotation(live, "hadis.dev/assignment")
        assert recorded is not None
        assert json.loads(recorded) == told
    assert conditions(server)["Ready"] == ("False", "NoWorkers")


@pytest.mark.usefixtures("cascade")
async def test_workers_that_come_are_told_their_part_and_routers_their_workers(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    await operator.turn()
    put_pods(server, pods)
    await operator.turn(3)
    assert [pod.version() for pod in pods] == [routing(server)["version"]] * 3 or all(
        pod.version() >= 1 for pod in pods
    )
    table = pods[2].status["routing"]
    assert {ref["name"] for ref in table["workers"]} == {"w0", "w1"}
    assert table["workers"][0]["address"] == f"{pods[0].address}:8000"
    assert table["workers"][0]["uid"] == "uid-w0"
    assert table["version"] == routing(server)["version"]
    assert conditions(server)["Ready"] == ("True", "Serving")
    assert conditions(server)["WorkersReady"] == ("True", "AllReady")


@pytest.mark.usefixtures("cascade")
async def test_at_rest_nothing_is_written(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    told = [len(pod.told) for pod in pods[:2]]
    await operator.turn(60)
    assert server.writes == []
    assert [len(pod.told) for pod in pods[:2]] == told


@pytest.mark.usefixtures("cascade")
async def test_under_a_constant_load_nothing_is_written(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    count = 0
    for turn in range(80):
        count += 2
        pods[2].status["demand"] = {"arrived": count, "planned": count}
        if turn == 30:  # the load itself is a step, and has been answered by now
            server.writes.clear()
        await operator.turn()
    assert [name for _, name in server.written()] == []


@pytest.mark.usefixtures("cascade")
async def test_a_step_of_the_load_is_one_write_of_each_kind(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    before = routing(server)["version"]
    count = 0
    for _ in range(12):
        count += 30
        pods[2].status["demand"] = {"arrived": count, "planned": count}
        await operator.turn()
    after = routing(server)["version"]
    assert after > before
    plans = after - before
    names = [name.partition("/")[0] for _, name in server.written()]
    assert names.count("configmaps") == plans
    assert names.count("hadiscascades") <= plans
    assert names.count("events") <= plans
    assert names.count("deployments") <= 2 * plans
    assert pods[2].version() == after
    # The record, the annotations, the status, and then the story.
    assert names[0] == "configmaps"
    assert names.index("deployments") < names.index("hadiscascades") < names.index("events")


@pytest.mark.usefixtures("cascade")
async def test_a_step_of_the_load_is_not_kept_waiting_for_the_interval(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    for count in range(20):
        pods[2].status["demand"] = {"arrived": count, "planned": count}
        await operator.turn(every_s=1.0)
    cycler = operator.loop._cycler
    while cycler._due_s - operator.now_s < 4.5:  # until a cycle has just been run
        await operator.turn(every_s=0.5)
    due_s, before = cycler._due_s, routing(server)["version"]
    operator.now_s += 2.5
    pods[2].status["demand"] = {"arrived": 200, "planned": 200}
    await operator.turn(every_s=0.0)
    assert operator.now_s < due_s
    assert routing(server)["version"] > before


@pytest.mark.usefixtures("cascade")
async def test_nothing_is_told_that_could_not_be_recorded(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    server.refusals["configmaps"] = (403, "exceeded quota")
    put_pods(server, pods)
    operator = begin()
    await operator.turn(2)
    assert [pod.told for pod in pods] == [[], [], []]
    assert all("configmaps" not in name for _, name in server.written())
    annotated = [
        objects.annotation(live, "hadis.dev/assignment") for live in server.of("deployments")
    ]
    assert set(annotated) == {None}
    del server.refusals["configmaps"]
    operator.now_s += 10.0
    await operator.turn(2)
    assert all(pod.told for pod in pods)


@pytest.mark.usefixtures("cascade")
async def test_a_standby_writes_and_tells_nothing_but_counts(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    operator.leads = False
    put_pods(server, pods)
    for count in range(1, 8):
        pods[2].status["demand"] = {"arrived": 20 * count}
        await operator.turn(every_s=3.0)
    assert server.writes == []
    assert [pod.told for pod in pods] == [[], [], []]
    # When it takes over it plans for the load that there is, not for none.
    pods[2].status["demand"] = {"arrived": 160}
    operator.leads = True
    await operator.turn()
    demand = operator.loop._cycler.output
    assert demand is not None
    assert demand.summary["demand"] == pytest.approx(20 / 3, rel=0.2)


@pytest.mark.usefixtures("cascade")
async def test_a_change_of_leaders_at_rest_changes_nothing(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    put_pods(server, pods)
    await begin().settle()
    version = routing(server)["version"]
    second = begin()
    await second.turn(20)
    assert routing(server)["version"] == version
    assert [name for _, name in server.written()] == []
    assert [pod.version() for pod in pods][2] == version


@pytest.mark.usefixtures("cascade")
async def test_versions_only_rise_over_changes_of_leaders(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    put_pods(server, pods)
    await begin().settle()
    # A worker was told something by somebody whose record is lost.
    pods[0].status["assignment"] = clusters.an_assignment(70).model_dump(mode="json")
    second = begin()
    await second.turn(8)
    assert routing(server)["version"] > 70
    assert all(pod.version() > 70 for pod in pods)


@pytest.mark.usefixtures("cascade")
async def test_a_new_leader_of_a_serving_cascade_counts_before_it_plans(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    put_pods(server, pods)
    await begin().settle()
    second = begin()
    await second.turn(every_s=1.0)
    assert second.loop._cycler.output is None
    assert server.writes == []
    await second.turn(4, every_s=1.0)
    assert second.loop._cycler.output is not None


@pytest.mark.usefixtures("cascade")
async def test_a_leader_that_was_cut_off_goes_on_where_it_was(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    plan = operator.loop._cycler.state.plan
    operator.leads = False
    await operator.turn(30)  # a minute without the API
    operator.leads, operator.term = True, 2
    await operator.turn(5)
    assert server.writes == []
    assert operator.loop._cycler.state.plan is not None
    assert plan is not None
    assert operator.loop._cycler.state.plan.lanes == plan.lanes


@pytest.mark.usefixtures("cascade")
async def test_a_silent_worker_leaves_the_table_and_comes_back(
    server: ApiServer,
    begin: Callable[[], Operator],
    pods: list[PretendedPod],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hadis_operator.observing.TIMEOUT_S", 1.0)
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    pods[1].silent = True
    began_s = operator.now_s
    while len(pods[2].status["routing"]["workers"]) == 2:
        await operator.turn(every_s=1.0)
        assert operator.now_s - began_s < 15.0
    assert [ref["name"] for ref in routing(server)["workers"]] == ["w0"]
    assert conditions(server)["Ready"] == ("True", "Serving")
    pods[1].silent = False
    await operator.turn(2)
    assert len(pods[2].status["routing"]["workers"]) == 2


@pytest.mark.usefixtures("cascade")
async def test_a_pod_that_goes_leaves_the_table_at_once(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    live = pods[1].live()
    live["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    server.put(live)
    await operator.turn()
    assert [ref["name"] for ref in pods[2].status["routing"]["workers"]] == ["w0"]


@pytest.mark.usefixtures("cascade")
async def test_fewer_workers_are_out_of_the_table_before_their_pods_go(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    server.put(clusters.a_live_cascade(("workers.count", 1), generation=4))
    await operator.turn()
    assert ("delete", f"deployments/{naming.worker(OWNER, 'w1')}") in server.written()
    assert [ref["name"] for ref in pods[2].status["routing"]["workers"]] == ["w0"]
    # The plan without it was on record before.
    names = [name for _, name in server.written()]
    assert names[0] == f"configmaps/{PLAN}"


@pytest.mark.usefixtures("cascade")
async def test_a_paused_cascade_is_left_alone(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    live = copy.deepcopy(server.get("hadiscascades", "photos"))
    live["metadata"]["annotations"] = {"hadis.dev/paused": "true"}
    live["spec"]["workers"]["count"] = 1
    server.put(live)
    told = [len(pod.told) for pod in pods]
    await operator.turn(5)
    # Nobody is to wonder why it is not planned.
    labels = {"cascade": "photos", "cascade_namespace": "images"}
    last_good = "hadis_operator_cycle_timestamp_seconds"
    assert operator.metrics.registry.get_sample_value(last_good, labels) is None
    assert {name.partition("/")[0] for _, name in server.written()} <= {"hadiscascades"}
    assert conditions(server)["Ready"] == ("True", "Paused")
    assert [len(pod.told) for pod in pods] == told
    del live["metadata"]["annotations"]
    server.put({**server.get("hadiscascades", "photos"), "metadata": live["metadata"]})
    await operator.turn(2)
    assert ("delete", f"deployments/{naming.worker(OWNER, 'w1')}") in server.written()
    assert operator.metrics.registry.get_sample_value(last_good, labels) is not None


@pytest.mark.usefixtures("cascade")
async def test_a_profile_that_goes_leaves_its_cascade_serving(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    server.remove("hadisprofiles", "pair")
    await operator.turn(3)
    assert conditions(server)["ProfileValid"] == ("False", "NotFound")
    assert conditions(server)["Ready"] == ("True", "Serving")
    # And a worker that comes back under another address is still found.
    live = pods[1].live()
    live["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    server.put(live)
    await operator.turn(2)
    assert [ref["name"] for ref in pods[2].status["routing"]["workers"]] == ["w0"]


@pytest.mark.usefixtures("cascade")
@pytest.mark.parametrize("profile", [None, {"rows": []}, {"models": []}])
async def test_a_new_leader_without_a_usable_profile_reports_and_follows_the_workers(
    server: ApiServer,
    begin: Callable[[], Operator],
    pods: list[PretendedPod],
    profile: dict[str, Any] | None,
) -> None:
    put_pods(server, pods)
    await begin().settle()
    before = server.get("hadiscascades", "photos")["status"]["plan"]
    server.remove("hadisprofiles", "pair")
    if profile is not None:
        changed = clusters.a_live_profile()
        changed["metadata"].update(generation=2, resourceVersion="900")
        changed["spec"].update(profile)
        server.put(changed)
    second = begin()
    await second.turn(6)
    assert conditions(server)["Ready"] == ("True", "Serving")
    assert conditions(server)["ProfileValid"][0] == "False"
    # What routers and workers have is what there was, and at rest nothing is written.
    assert routing(server)["version"] == before["version"]
    server.writes.clear()
    await second.turn(20)
    assert [name for _, name in server.written() if "events" not in name] == []
    # A slot that goes leaves the table before its pod does, one that comes is told its part.
    server.put(clusters.a_live_cascade(("workers.count", 1), generation=4))
    await second.turn(2)
    assert [ref["name"] for ref in pods[2].status["routing"]["workers"]] == ["w0"]
    live = server.get("hadiscascades", "photos")
    status = live["status"]
    assert status["observedGeneration"] == live["metadata"]["generation"]
    assert status["plan"]["version"] == routing(server)["version"] > before["version"]
    assert status["plan"]["lanes"] == before["lanes"]
    server.put(clusters.a_live_cascade(generation=5))
    await second.turn(3)
    assert {ref["name"] for ref in pods[2].status["routing"]["workers"]} == {"w0", "w1"}
    # With a profile again it plans.
    server.remove("hadisprofiles", "pair") if profile is not None else None
    anew = clusters.a_live_profile()
    anew["metadata"].update(uid="another", resourceVersion="2000")
    server.put(anew)
    await second.turn(4)
    assert conditions(server)["ProfileValid"] == ("True", "Valid")
    assert second.loop._cycler.output is not None


async def test_a_cascade_without_its_profile_waits_for_it(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    server.put(clusters.a_live_cascade())
    operator = begin()
    put_pods(server, pods)
    for pod in pods:
        pod.status["ready"] = pod.slot != ""
    await operator.turn(2)
    assert conditions(server)["Ready"] == ("False", "ProfileInvalid")
    # Its pods are there meanwhile, and know their cascade.
    assert "routing.json" not in server.get("configmaps", PLAN)["data"]
    assert "cascade.json" in server.get("configmaps", PLAN)["data"]
    server.put(clusters.a_live_profile())
    pods[2].status["ready"] = True
    await operator.turn(3)
    assert conditions(server)["Ready"] == ("True", "Serving")


def told(server: ApiServer) -> list[str]:
    """The notes of all Events."""
    return [event["message"] for event in server.of("events")]


async def test_a_profile_that_follows_its_cascade_in_one_file_is_no_event(
    server: ApiServer, begin: Callable[[], Operator]
) -> None:
    server.put(clusters.a_live_cascade())
    operator = begin()
    await operator.turn()
    # The condition says it at once.
    assert conditions(server)["ProfileValid"] == ("False", "NotFound")
    server.put(clusters.a_live_profile())
    await operator.turn(30)
    assert conditions(server)["ProfileValid"] == ("True", "Valid")
    assert [note for note in told(server) if "Profile" in note] == []


async def test_a_profile_that_never_comes_is_an_event_after_a_while(
    server: ApiServer, begin: Callable[[], Operator]
) -> None:
    server.put(clusters.a_live_cascade())
    operator = begin()
    await operator.turn(30)
    [note] = [note for note in told(server) if "Profile" in note]
    assert "HadisProfile pair does not exist" in note


@pytest.mark.usefixtures("cascade")
async def test_a_status_that_is_refused_is_told_by_an_event_with_all_the_rest(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    put_pods(server, pods)
    operator = begin()
    server.refusals["hadiscascades"] = (422, "the status is refused")
    for _ in range(3):
        await operator.read()
        await operator.loop._attempt()
    assert sum("plan 1 (first plan)" in note for note in told(server)) == 1
    assert sum("status: the status is refused" in note for note in told(server)) == 1
    assert operator.loop._failures == 3
    server.refusals.clear()
    await operator.turn(2)
    assert sum("plan 1 (first plan)" in note for note in told(server)) == 1


@pytest.mark.usefixtures("cascade")
async def test_a_plan_is_told_although_its_event_was_not_taken_at_first(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    put_pods(server, pods)
    operator = begin()
    server.refusals["events"] = (500, "failed calling webhook")
    await operator.turn()
    assert conditions(server)["Ready"] == ("True", "Serving")
    assert told(server) == []
    server.refusals.clear()
    await operator.turn(2)
    assert sum("plan 1 (first plan)" in note for note in told(server)) == 1


def ready_message(server: ApiServer) -> str:
    status = server.get("hadiscascades", "photos")["status"]
    return str(status["conditions"][0]["message"])


WEBHOOK = 'Internal error occurred: failed calling webhook "policy.example": connection refused'


@pytest.mark.usefixtures("cascade")
async def test_slots_that_nobody_can_write_keep_neither_plan_nor_status_from_being_told(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    before = routing(server)["version"]
    server.refusals["deployments"] = (500, WEBHOOK)
    server.put(clusters.a_live_cascade(("workers.count", 1), generation=4))
    events_before = len(server.of("events"))
    await operator.turn(8)
    # The slot cannot be deleted, nor the assignment of the other one recorded.
    assert routing(server)["version"] > before
    assert pods[2].version() == routing(server)["version"]
    assert [ref["name"] for ref in pods[2].status["routing"]["workers"]] == ["w0"]
    assert conditions(server)["Ready"] == ("True", "Serving")
    assert "cannot be deleted" in ready_message(server)
    assert "failed calling webhook" in ready_message(server)
    live = server.get("hadiscascades", "photos")
    assert live["status"]["observedGeneration"] == live["metadata"]["generation"]
    refused = [event for event in server.of("events") if "cannot be deleted" in event["message"]]
    assert [event["type"] for event in refused] == ["Warning"]
    assert len(server.of("events")) <= events_before + 3
    assert operator.loop._failures == 0
    server.refusals.clear()
    operator.now_s += 10.0
    await operator.turn(2)
    assert "webhook" not in ready_message(server)
    assert ("delete", f"deployments/{naming.worker(OWNER, 'w1')}") in server.written()


@pytest.mark.usefixtures("cascade")
async def test_a_router_that_is_refused_is_told_while_the_old_ones_serve(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    name = naming.router(OWNER)
    words = "failed to create typed patch object (images/x; apps/v1, Kind=Deployment): errors:\n"
    server.refusals[f"deployments/{name}"] = (500, f"{words}  .spec.replica: field not declared")
    server.put(clusters.a_live_cascade(("router.replicas", 3), generation=4))
    await operator.turn(4)
    assert conditions(server)["Ready"] == ("True", "Serving")
    assert f"Deployment {name} was refused" in ready_message(server)
    assert ".spec.replica: field not declared" in ready_message(server)
    assert [event["reason"] for event in server.of("events")].count("Refused") == 1
    server.refusals.clear()
    operator.now_s += 10.0
    await operator.turn(2)
    assert ready_message(server) == "requests are served"


@pytest.mark.usefixtures("cascade")
async def test_a_plan_that_is_not_on_record_is_announced_nowhere(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    plan = server.get("hadiscascades", "photos")["status"]["plan"]
    server.refusals["configmaps"] = (403, "exceeded quota")
    pinned = {"light": "tiny", "heavy": "big", "hardnessThreshold": 0.5, "qualityThreshold": 0}
    changed = clusters.a_live_cascade(("planner", {"mode": "Pinned", "pinned": pinned}))
    server.put({**changed, "status": server.get("hadiscascades", "photos")["status"]})
    await operator.turn(4)
    assert operator.loop._cycler.state.version > plan["version"]
    assert server.get("hadiscascades", "photos")["status"]["plan"] == plan
    assert "exceeded quota" in ready_message(server)
    assert not any("(pinned)" in note for note in told(server))
    server.refusals.clear()
    operator.now_s += 10.0
    await operator.turn(3)
    plan = server.get("hadiscascades", "photos")["status"]["plan"]
    assert plan["version"] == routing(server)["version"] == pods[2].version()
    assert sum("(pinned)" in note for note in told(server)) == 1


@pytest.mark.usefixtures("cascade")
async def test_what_somebody_changed_by_hand_is_put_back_within_a_turn_and_told(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    router = naming.router(OWNER)

    def shrink(live: Manifest) -> None:
        live["spec"]["replicas"] = 0

    server.edit("deployments", router, shrink)
    await operator.turn()
    assert server.get("deployments", router)["spec"]["replicas"] == 1
    assert server.written()[0] == ("apply", f"deployments/{router}")
    assert any(f"Deployment {router} (spec.replicas) was changed" in note for note in told(server))
    server.writes.clear()
    await operator.turn(20)
    assert server.writes == []
    # A paused cascade is left alone in this, too.
    server.edit(
        "hadiscascades",
        "photos",
        lambda live: live["metadata"].update(annotations={"hadis.dev/paused": "true"}),
    )
    server.edit("deployments", router, shrink)
    await operator.turn(10)
    assert server.get("deployments", router)["spec"]["replicas"] == 0


@pytest.mark.usefixtures("cascade")
async def test_a_lost_slot_is_out_of_the_plan_within_seconds(
    server: ApiServer,
    begin: Callable[[], Operator],
    pods: list[PretendedPod],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hadis_operator.observing.TIMEOUT_S", 0.5)
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    pods[1].silent = True
    began_s = operator.now_s

    def planned() -> int:
        output = operator.loop._cycler.output
        assert output is not None
        return sum(output.plan.workers.values())

    assert planned() == 2
    while planned() == 2:
        await operator.turn(every_s=1.0)
        assert operator.now_s - began_s < 10.0
    # The pod is there all the while: it takes Kubernetes longer to see that its node is lost.
    assert len(operator.store.pods(OWNER)) == 3
    plan = server.get("hadiscascades", "photos")["status"]["plan"]
    assert plan["version"] == routing(server)["version"]


@pytest.mark.usefixtures("cascade")
async def test_what_changed_while_the_api_was_away_is_caught_up_with(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    version = routing(server)["version"]
    server.down = True
    told_before = [len(pod.told) for pod in pods]
    for _ in range(90):  # three minutes
        operator.leads = False  # its lease has lapsed
        await operator.loop._attempt()
        operator.now_s += 2.0
    # Nobody was told anything, and what was told before is still in force.
    assert [len(pod.told) for pod in pods] == told_before
    assert pods[2].version() == version
    server.put(clusters.a_live_cascade(("workers.count", 1), generation=4))
    server.down, operator.leads, operator.term = False, True, 2
    await operator.turn(4)
    assert ("delete", f"deployments/{naming.worker(OWNER, 'w1')}") in server.written()
    assert routing(server)["version"] > version
    assert pods[2].version() == routing(server)["version"]
    assert operator.loop._failures == 0


def a_counted_answer(count: int, *, ago_s: float = 0.0) -> dict[str, Any]:
    at_s = time.time() - ago_s
    return an_answer(
        series("hadis_demand_images_total", {"step": "arrived"}, (at_s, str(count))),
    )


async def test_prometheus_silent_refusing_or_mad_is_told_and_planning_goes_on(
    server: ApiServer,
    begin: Callable[[], Operator],
    pods: list[PretendedPod],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hadis_operator.prometheus.TIMEOUT_S", 0.3)
    async with a_prometheus() as source:
        metrics = {"prometheus": {"url": source.url}}
        server.put(clusters.a_live_cascade(("metrics", metrics)), clusters.a_live_profile())
        put_pods(server, pods)
        operator = begin()

        async def told_of(**fault: Any) -> tuple[str, str]:
            """Let some turns pass with a fault; return the condition, and mend it again."""
            for _ in range(4):
                source.answer = a_counted_answer(0)
                source.status, source.silent = 200, False
                vars(source).update(fault)
                await operator.turn()
            return conditions(server)["MetricsAvailable"]

        await told_of()
        version = routing(server)["version"]
        for fault, want in (
            ({}, ("True", "Prometheus")),
            ({"silent": True}, ("False", "FallbackDirect")),
            ({}, ("True", "Prometheus")),
            ({"status": 401}, ("False", "Unauthorized")),
            ({}, ("True", "Prometheus")),
            ({"answer": an_answer(series("hadis_demand_images_total", {"step": "arrived"},
                                         (time.time(), "NaN")))}, ("False", "FallbackDirect")),
            ({}, ("True", "Prometheus")),
        ):  # fmt: skip
            assert await told_of(**fault) == want
            assert conditions(server)["Ready"] == ("True", "Serving")
            assert routing(server)["version"] == version


async def test_a_step_of_the_load_does_not_wait_for_a_late_scrape(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    async with a_prometheus() as source:
        metrics = {"prometheus": {"url": source.url}}
        server.put(clusters.a_live_cascade(("metrics", metrics)), clusters.a_live_profile())
        put_pods(server, pods)
        operator = begin()
        # Prometheus tells of its last scrape all the while, which was ten seconds ago.
        source.answer = a_counted_answer(0, ago_s=10.0)
        await operator.settle()
        before = routing(server)["version"]
        for count in (100, 200, 300, 400):
            pods[2].status["demand"] = {"arrived": count, "planned": count}
            await operator.turn(every_s=2.5)
        assert conditions(server)["MetricsAvailable"] == ("True", "Prometheus")
        assert routing(server)["version"] > before


@pytest.mark.usefixtures("cascade")
async def test_a_router_that_waits_for_its_secret_is_told_and_looked_for_only_then(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    keyed = clusters.a_live_cascade(("router.apiKeys", {"secretName": "clients"}))
    server.put(keyed)
    server.put(*(pod.live() for pod in pods[:2]), pods[2].live(ready=False))
    pods[2].status["ready"] = False
    operator = begin()
    await operator.turn(2)
    assert conditions(server)["Ready"] == ("False", "RouterUnavailable")
    ready = server.get("hadiscascades", "photos")["status"]["conditions"][0]
    assert "the Secret clients" in ready["message"]
    pods[2].status["ready"] = True
    put_pods(server, pods)
    await operator.turn(4)
    assert conditions(server)["Ready"] == ("True", "Serving")
    await operator.read()
    before = server.requests
    await operator.loop._turn()
    assert server.requests == before


@pytest.mark.usefixtures("cascade")
async def test_a_service_in_the_way_is_a_condition_and_an_event(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    foreign: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "photos", "namespace": "images"},
        "spec": {"ports": [{"port": 1}]},
    }
    server.put(foreign)
    put_pods(server, pods)
    await begin().turn(3)
    assert conditions(server)["Ready"] == ("False", "NameTaken")
    assert server.get("services", "photos")["spec"]["ports"][0]["port"] == 1
    reasons = {event["reason"] for event in server.of("events")}
    assert "NameTaken" in reasons


@pytest.mark.usefixtures("cascade")
async def test_an_open_router_is_told_once(
    server: ApiServer, begin: Callable[[], Operator]
) -> None:
    await begin().turn(5)
    await begin().turn(5)
    notes = [event["message"] for event in server.of("events")]
    assert sum("spec.router.apiKeys" in note for note in notes) == 1


@pytest.mark.usefixtures("cascade")
async def test_a_router_that_loses_its_keys_is_told_once(
    server: ApiServer, begin: Callable[[], Operator]
) -> None:
    def told() -> int:
        notes = [event["message"] for event in server.of("events")]
        return sum("every client that reaches the router" in note for note in notes)

    server.put(clusters.a_live_cascade(("router.apiKeys", {"secretName": "clients"})))
    operator = begin()
    await operator.turn(5)
    assert told() == 0
    opened = clusters.a_live_cascade()
    opened["metadata"]["generation"] += 1
    server.put(opened)
    await operator.turn(5)
    await begin().turn(5)
    assert told() == 1


async def test_a_cascade_that_is_being_deleted_is_left_to_the_garbage_collector(
    server: ApiServer, begin: Callable[[], Operator]
) -> None:
    server.put(clusters.a_live_cascade(deletionTimestamp="2030-01-01T00:00:00Z"))
    operator = begin()
    await operator.turn(2)
    assert server.writes == []
    server.remove("hadiscascades", "photos")
    await operator.read()
    assert await operator.loop._turn() is None


@pytest.mark.usefixtures("cascade")
async def test_a_cascade_made_anew_under_its_old_name_gets_another_loop(
    server: ApiServer, begin: Callable[[], Operator]
) -> None:
    operator = begin()
    await operator.turn()
    server.remove("hadiscascades", "photos")
    server.put(clusters.a_live_cascade(uid="ffffffff-4444-5555-6666-777788889999"))
    await operator.read()
    assert await operator.loop._turn() is None


@pytest.mark.usefixtures("cascade")
async def test_a_turn_that_fails_is_counted_and_tried_again_later_and_later(
    server: ApiServer, begin: Callable[[], Operator]
) -> None:
    operator = begin()
    await operator.read()
    operator.loop._tools.metrics.began(KEY)
    server.down = True
    pauses = [await operator.loop._attempt() for _ in range(20)]
    assert pauses[0] == looping.LOOK_EVERY_S
    assert pauses[-1] == looping.MAX_BACKOFF_S
    labels = {"cascade": "photos", "cascade_namespace": "images", "result": "failed"}
    value = operator.metrics.registry.get_sample_value("hadis_operator_cycles_total", labels)
    assert value == 20
    server.down = False
    pause_s = await operator.loop._attempt()
    assert pause_s is not None
    assert 0.0 < pause_s <= looping.LOOK_EVERY_S
    assert conditions(server)["Ready"] == ("False", "NoWorkers")


@pytest.mark.usefixtures("cascade")
async def test_a_turn_comes_when_a_cycle_is_due_and_not_only_after_a_look(
    server: ApiServer,
    begin: Callable[[], Operator],
    pods: list[PretendedPod],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    cycler = operator.loop._cycler
    while not 0.0 < cycler._due_s - operator.now_s <= 1.0:
        await operator.turn(every_s=0.5)
    await operator.read()
    pause_s = await operator.loop._attempt()
    assert pause_s == pytest.approx(cycler._due_s - operator.now_s)
    assert 0.0 < pause_s <= 1.0

    async def report_slowly(*_: object) -> None:
        operator.now_s += 2.0

    # One that fell due while the turn wrote and reported does not wait for the next look.
    with monkeypatch.context() as during:
        during.setattr(operator.loop, "_report", report_slowly)
        assert await operator.loop._attempt() == 0.0
    # A paused cascade has no cycle to wait for, however long ago its last one was.
    server.edit(
        "hadiscascades",
        "photos",
        lambda live: live["metadata"].update(annotations={"hadis.dev/paused": "true"}),
    )
    operator.now_s += 60.0
    await operator.read()
    assert await operator.loop._attempt() == looping.LOOK_EVERY_S


@pytest.mark.parametrize(
    ("due_in_s", "pause_s"), [(0.0, 0.0), (1.5, 1.5), (4.5, 1.5), (5.0, 5.0 / 3), (math.inf, 2.0)]
)
def test_looks_are_spread_evenly_until_a_cycle_is_due(due_in_s: float, pause_s: float) -> None:
    assert looping._pause_s(looping.LOOK_EVERY_S, due_in_s) == pytest.approx(pause_s)


@pytest.mark.usefixtures("cascade")
async def test_cycles_keep_their_interval_however_long_the_looks_between_them_take(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()

    def cycles() -> float:
        labels = {"cascade": "photos", "cascade_namespace": "images", "result": "optimal"}
        return (
            operator.metrics.registry.get_sample_value("hadis_operator_cycles_total", labels) or 0
        )

    before, began_s = cycles(), operator.now_s
    await operator.turn(100, every_s=0.8)
    assert cycles() - before == pytest.approx((operator.now_s - began_s) / 5.0, abs=1)


@pytest.mark.usefixtures("cascade")
async def test_one_cascades_fault_is_no_others(
    server: ApiServer, begin: Callable[[], Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looping, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(looping, "LOOK_AGAIN_S", 0.05)
    monkeypatch.setattr(supervising, "ROUND_S", 0.05)
    broken = clusters.a_live_cascade(name="broken", uid="bbbbbbbb-4444-5555-6666-777788889999")
    broken["spec"]["slo"]["latency"] = "soon"  # what no admitted cascade says
    server.put(broken, clusters.a_live_cascade(), clusters.a_live_profile())
    operator = begin()
    await operator.read()
    supervisor = Supervisor(operator.tools)
    task = asyncio.create_task(supervisor.run())
    try:
        async with asyncio.timeout(30):
            while any("status" not in live for live in server.of("hadiscascades")):
                await asyncio.sleep(0.02)
        [ready] = server.get("hadiscascades", "broken")["status"]["conditions"]
        assert (ready["type"], ready["status"]) == ("Ready", "False")
        assert "spec.slo.latency" in ready["message"]
        assert supervisor.stuck(180.0) is None
        operator.now_s += 200.0
        await asyncio.sleep(0.3)
        assert supervisor.stuck(180.0) is None  # both still attempt
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("cascade")
async def test_a_cascade_that_cannot_be_read_any_more_says_so_and_keeps_the_rest(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.settle()
    before = server.get("hadiscascades", "photos")["status"]
    broken = copy.deepcopy(server.get("hadiscascades", "photos"))
    broken["spec"]["slo"]["latency"] = "soon"
    server.put(broken)
    for _ in range(8):
        await operator.read()
        await operator.loop._attempt()
        operator.now_s += 2.0
    status = server.get("hadiscascades", "photos")["status"]
    assert conditions(server)["Ready"] == ("False", "ProfileInvalid")
    assert "spec.slo.latency" in ready_message(server)
    assert status["plan"] == before["plan"]
    assert {one["type"] for one in status["conditions"]} == {
        one["type"] for one in before["conditions"]
    }
    assert sum("spec.slo.latency" in note for note in told(server)) == 1
    # An operator that stands by writes nothing.
    server.writes.clear()
    other = begin()
    other.leads = False
    await other.read()
    await other.loop._attempt()
    assert server.writes == []
    server.put({**server.get("hadiscascades", "photos"), "spec": clusters.a_live_cascade()["spec"]})
    await operator.turn(2)
    assert conditions(server)["Ready"] == ("True", "Serving")


async def test_a_loop_that_stopped_attempting_is_told(
    server: ApiServer, begin: Callable[[], Operator]
) -> None:
    server.put(clusters.a_live_cascade(), clusters.a_live_profile())
    operator = begin()
    await operator.read()
    supervisor = Supervisor(operator.tools)
    supervisor._round()
    operator.now_s += 200.0
    assert supervisor.stuck(180.0) == "no cascade is looked after any more"
    supervisor.attempted_s = operator.now_s
    assert "images/photos" in str(supervisor.stuck(180.0))
    await supervisor._end()


def test_a_flicker_of_the_plans_status_is_not_told() -> None:
    cycler = cycling.Cycler(ThreadPoolExecutor(1))
    shown = []
    for status in ("optimal", "overload", "optimal", "overload", "overload", "feasible"):
        cycler._note_status(PlanStatus(status), is_new=False)
        shown.append(str(cycler.shown))
    assert shown == ["optimal", "optimal", "optimal", "optimal", "overload", "overload"]
    # With a new plan it is told at once, in the same status.
    cycler._note_status(PlanStatus.OPTIMAL, is_new=True)
    assert cycler.shown is PlanStatus.OPTIMAL


@pytest.mark.usefixtures("cascade")
async def test_the_planners_series_say_whose_they_are_and_go_with_the_lead(
    server: ApiServer, begin: Callable[[], Operator], pods: list[PretendedPod]
) -> None:
    operator = begin()
    put_pods(server, pods)
    await operator.turn(3)
    labels = {"cascade": "photos", "cascade_namespace": "images"}

    def value(name: str, **more: str) -> float | None:
        return operator.metrics.registry.get_sample_value(name, {**labels, **more})

    assert value("hadis_plan_version") == routing(server)["version"]
    assert value("hadis_plan_feasible") == 1
    assert value("hadis_slots", state="ready") == 2
    assert value("hadis_demand_source", source="Direct") == 1
    assert value("hadis_operator_cycles_total", result="optimal")
    assert value("hadis_operator_cycle_timestamp_seconds")
    assert value("hadis_operator_cycle_interval_seconds") == 5
    operator.leads = False
    await operator.turn()
    assert value("hadis_plan_version") is None
    assert value("hadis_operator_cycles_total", result="optimal")


def test_every_kind_that_is_written_is_watched() -> None:
    assert kube.CONFIG_MAPS in kube.OWN_KINDS
    kinds = {kube.kind_of(one) for one in rendered_fleet()}
    assert kinds <= set(kube.OWN_KINDS)


def rendered_fleet() -> list[Manifest]:
    given = clusters.a_given()
    renderer = Renderer(rendered.an_installation())
    return [*renderer.fleet(given, None, {}), *renderer.slots(given).values()]

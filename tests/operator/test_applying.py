"""Writes: in their order, only what differs, never over what is somebody else's."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hadis.terms.assignments import Assignment, Role
from hadis.terms.ids import ModelName, WorkerName
from hadis_operator import annotating, applying, kube, naming, objects, obstacles, surveying
from hadis_operator.applying import Applier, NotLeading
from hadis_operator.kube import ClusterRefused, ClusterUnreachable, Kube
from hadis_operator.objects import Manifest
from hadis_operator.obstacles import Obstacles
from hadis_operator.reading import Given
from hadis_operator.renderings import Renderer
from hadis_operator.storing import Store
from hadis_operator.surveying import Slots
from support import clusters, rendered
from support.api_server import ApiServer

OWNER = rendered.an_owner()
INSTALLATION = rendered.an_installation()


class Writing:
    """An applier with its store, as one cascade's loop has them."""

    def __init__(self, api: Kube) -> None:
        self.store = Store()
        self.leads = True
        self.now_s = 0.0
        self.applier = Applier(
            api, self.store, may_act=lambda: self.leads, clock=lambda: self.now_s
        )
        self.renderer = Renderer(INSTALLATION)

    async def shape(self, given: Given) -> Obstacles:
        return await self.applier.shape(OWNER, self.renderer.fleet(given, None, {}))

    def survey(self, given: Given) -> Slots:
        live = surveying.live_slots(self.store, OWNER)
        slots = self.renderer.slots(given)
        edits = self.applier.edits(slots, live)
        return surveying.survey(given, INSTALLATION, slots, live, edits=edits)

    def see(self, server: ApiServer) -> None:
        """Do what watches do, at once."""
        for kind in kube.OWN_KINDS:
            for live in server.of(kind.plural):
                self.store.put(kind, live)

    async def shape_slots(self, given: Given) -> Obstacles:
        return await self.applier.shape_slots(given, self.survey(given))


@pytest.fixture
def writing(api: Kube) -> Writing:
    return Writing(api)


GIVEN = clusters.a_given()


async def test_the_plan_is_written_first_and_the_routers_last(
    server: ApiServer, writing: Writing
) -> None:
    assert await writing.shape(GIVEN) == Obstacles()
    names = [name for _, name in server.written()]
    assert names[0] == f"configmaps/{naming.plan(OWNER)}"
    assert names[-1] == f"deployments/{naming.router(OWNER)}"
    assert len(names) == len(set(names))
    assert {write.manager for write in server.writes} == {"hadis-operator"}
    assert {write.verb for write in server.writes} == {"apply"}


async def test_a_second_turn_writes_nothing_and_asks_nothing(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape(GIVEN)
    await writing.shape_slots(GIVEN)
    before = server.requests
    await writing.shape(GIVEN)
    await writing.shape_slots(GIVEN)
    assert server.requests == before


async def test_another_operator_finds_everything_as_it_should_be(
    server: ApiServer, writing: Writing, api: Kube
) -> None:
    await writing.shape(GIVEN)
    server.writes.clear()
    # Its store is still empty: it looks before it writes.
    await Writing(api).shape(GIVEN)
    assert server.writes == []


async def test_only_what_changed_is_written(server: ApiServer, writing: Writing) -> None:
    await writing.shape(GIVEN)
    server.writes.clear()
    changed = clusters.a_given(("router.replicas", 3), generation=4)
    await writing.shape(changed)
    # The cascade's generation is in the plan that pods mount.
    assert server.written() == [
        ("apply", f"configmaps/{naming.plan(OWNER)}"),
        ("apply", f"deployments/{naming.router(OWNER)}"),
    ]
    assert server.get("deployments", naming.router(OWNER))["spec"]["replicas"] == 3


def a_foreign_service(**metadata: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "photos", "namespace": "images", "uid": "theirs", **metadata},
        "spec": {"ports": [{"port": 1}]},
    }


OF_ANOTHER = objects.owner_reference(rendered.an_owner(uid="ffffffff-1111-2222-3333-444455556666"))


@pytest.mark.parametrize("metadata", [{}, {"ownerReferences": [OF_ANOTHER]}])
async def test_a_foreign_object_in_the_way_is_left_alone_and_told(
    server: ApiServer, writing: Writing, metadata: dict[str, Any]
) -> None:
    foreign = a_foreign_service(**copy.deepcopy(metadata))
    server.put(foreign)
    before = copy.deepcopy(server.get("services", "photos"))
    assert await writing.shape(GIVEN) == Obstacles(taken=("Service photos",))
    assert server.get("services", "photos") == before
    # Everything else is there.
    assert server.get("deployments", naming.router(OWNER))
    # It is not asked for at every turn, and noticed when it has gone.
    requests = server.requests
    assert (await writing.shape(GIVEN)).taken == ("Service photos",)
    assert server.requests == requests
    server.remove("services", "photos")
    writing.now_s += obstacles.LOOK_AGAIN_S
    assert (await writing.shape(GIVEN)).taken == ()
    assert server.get("services", "photos")["spec"]["ports"][0]["port"] == 80


async def test_one_refusal_keeps_nothing_else_from_being_written(
    server: ApiServer, writing: Writing
) -> None:
    server.refusals["networkpolicies"] = (403, "may not create networkpolicies")
    found = await writing.shape(GIVEN)
    assert len(found.faults) == 2
    assert "may not create networkpolicies" in found.faults[0]
    assert server.get("deployments", naming.router(OWNER))
    # Not again at each turn.
    requests = server.requests
    assert (await writing.shape(GIVEN)).faults == found.faults
    assert server.requests == requests
    del server.refusals["networkpolicies"]
    writing.now_s += obstacles.LOOK_AGAIN_S
    assert (await writing.shape(GIVEN)).faults == ()


async def test_an_object_that_the_api_fails_on_keeps_nothing_else_from_being_written(
    server: ApiServer, writing: Writing
) -> None:
    # As it answers for a webhook that is down, and for a field that it does not know.
    message = "failed to create typed patch object (images/x): errors:\n  .spec.x: not declared"
    server.refusals["networkpolicies"] = (500, message)
    found = await writing.shape(GIVEN)
    assert [fault.split()[0] for fault in found.faults] == ["NetworkPolicy", "NetworkPolicy"]
    assert "errors: .spec.x: not declared" in found.faults[0]
    assert server.get("deployments", naming.router(OWNER))
    requests = server.requests
    assert (await writing.shape(GIVEN)).faults == found.faults
    assert server.requests == requests


async def test_writes_that_are_not_answered_do_not_use_up_a_turn(
    server: ApiServer, writing: Writing
) -> None:
    server.refusals["deployments"] = (504, "Timeout: request did not complete")
    given = clusters.a_given(("workers.count", 20))
    assert len((await writing.shape_slots(given)).faults) == applying.MAX_STALLS
    # The others get their turn, too.
    assert len((await writing.shape_slots(given)).faults) == 2 * applying.MAX_STALLS
    server.refusals["deployments"] = (429, "too many requests")
    with pytest.raises(ClusterUnreachable):
        await writing.shape_slots(given)


async def test_a_write_that_hangs_is_a_fault_while_the_api_answers_otherwise(
    server: ApiServer, writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "TIMEOUT_S", 0.3)
    server.hanging.add("networkpolicies")
    found = await writing.shape(GIVEN)
    assert len(found.faults) == 2
    assert "did not answer in time" in found.faults[0]
    assert server.get("deployments", naming.router(OWNER))


async def test_what_cannot_be_deleted_is_told_and_tried_again(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape_slots(clusters.a_given(("workers.count", 4)))
    server.writes.clear()
    server.refusals["deployments/DELETE"] = (403, "deletions are not allowed")
    found = await writing.shape_slots(GIVEN)
    assert len(found.faults) == 2
    assert "cannot be deleted: deletions are not allowed" in found.faults[0]
    requests = server.requests
    assert (await writing.shape_slots(GIVEN)).faults == found.faults
    assert server.requests == requests
    server.refusals.clear()
    writing.now_s += obstacles.LOOK_AGAIN_S
    assert await writing.shape_slots(GIVEN) == Obstacles()
    assert [verb for verb, _ in server.written()] == ["delete", "delete"]


async def test_an_object_that_took_the_place_of_ours_unseen_is_not_touched(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape(GIVEN)
    # Its author deleted ours and made his own; the watch is behind.
    server.remove("services", "photos")
    server.put(a_foreign_service())
    before = copy.deepcopy(server.get("services", "photos"))
    changed = clusters.a_given(("router.service", {"port": 81, "type": "ClusterIP"}))
    assert (await writing.shape(changed)).taken == ("Service photos",)
    assert server.get("services", "photos") == before
    assert writing.store.get(kube.SERVICES, "images", "photos") is None
    # And of one that went for good there is another after the next look.
    server.remove("services", "photos")
    writing.now_s += obstacles.LOOK_AGAIN_S
    assert await writing.shape(changed) == Obstacles()
    server.remove("services", "photos")
    await writing.shape(GIVEN)
    assert await writing.shape(GIVEN) == Obstacles()
    assert server.get("services", "photos")["spec"]["ports"][0]["port"] == 80


async def test_an_object_that_is_made_between_look_and_write_is_not_touched(
    server: ApiServer, writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = writing.applier._fetch

    async def look_too_early(kind: kube.Kind, namespace: str, name: str) -> Manifest | None:
        found = await look(kind, namespace, name)
        if kind is kube.SERVICES and name == "photos" and found is None:
            server.put(a_foreign_service())
        return found

    monkeypatch.setattr(writing.applier, "_fetch", look_too_early)
    assert (await writing.shape(GIVEN)).taken == ("Service photos",)
    assert server.get("services", "photos")["spec"] == {"ports": [{"port": 1}]}
    assert "ownerReferences" not in server.get("services", "photos")["metadata"]


async def test_an_api_that_is_away_ends_the_turn(server: ApiServer, writing: Writing) -> None:
    server.down = True
    with pytest.raises(ClusterUnreachable):
        await writing.shape(GIVEN)


async def test_nothing_is_written_by_an_operator_that_lost_its_lead(
    server: ApiServer, writing: Writing
) -> None:
    writing.leads = False
    for act in (
        lambda: writing.shape(GIVEN),
        lambda: writing.shape_slots(GIVEN),
        lambda: writing.applier.write_status({"metadata": {}}, uid="u"),
        lambda: writing.applier.tell({"metadata": {}}),
    ):
        with pytest.raises(NotLeading):
            await act()
    assert server.writes == []


async def test_what_is_no_longer_wanted_is_deleted(
    server: ApiServer, writing: Writing, api: Kube
) -> None:
    await writing.shape(GIVEN)
    assert len(server.of("networkpolicies")) == 2
    writing.renderer = Renderer(
        rendered.an_installation("", ("  enabled: true", "  enabled: false"))
    )
    server.writes.clear()
    await writing.shape(GIVEN)
    assert server.of("networkpolicies") == []
    assert {verb for verb, _ in server.written()} == {"delete"}


# What somebody changes by hand.


def put(*path: str | int, value: Any) -> Callable[[Manifest], None]:
    def change(live: Manifest) -> None:
        node: Any = live
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value

    return change


EDITS: list[tuple[str, str, Callable[[Manifest], None]]] = [
    ("services", "photos", put("spec", "selector", "hadis.dev/cascade", value="mine")),
    ("services", naming.workers(OWNER), put("spec", "publishNotReadyAddresses", value=False)),
    ("configmaps", naming.plan(OWNER), put("data", "cascade.json", value="{}")),
    ("networkpolicies", naming.workers(OWNER), put("spec", "ingress", value=[{}])),
    ("poddisruptionbudgets", naming.router(OWNER), put("spec", "maxUnavailable", value=9)),
    ("deployments", naming.router(OWNER), put("spec", "replicas", value=0)),
    (
        "deployments",
        naming.router(OWNER),
        put("metadata", "labels", "app.kubernetes.io/managed-by", value="me"),
    ),
    ("configmaps", naming.plan(OWNER), lambda live: live["data"].pop("models.hash")),
]


@pytest.mark.parametrize(("plural", "name", "change"), EDITS)
async def test_what_somebody_changed_by_hand_is_put_back_and_told(
    server: ApiServer,
    writing: Writing,
    plural: str,
    name: str,
    change: Callable[[Manifest], None],
) -> None:
    await writing.shape(GIVEN)
    right = copy.deepcopy(server.get(plural, name))
    server.edit(plural, name, change)
    server.writes.clear()
    writing.see(server)
    [told] = (await writing.shape(GIVEN)).restored
    assert name in told
    assert server.written() == [("apply", f"{plural}/{name}")]
    for part in ("spec", "data"):
        assert server.get(plural, name).get(part) == right.get(part)
    assert server.get(plural, name)["metadata"]["labels"] == right["metadata"]["labels"]
    # And that was all.
    assert await writing.shape(GIVEN) == Obstacles()
    assert len(server.writes) == 1


async def test_an_operator_that_has_just_begun_finds_what_was_changed_before_it(
    server: ApiServer, writing: Writing, api: Kube
) -> None:
    await writing.shape(GIVEN)
    server.edit("services", "photos", put("spec", "type", value="NodePort"))
    server.writes.clear()
    # Its store is still empty: it looks before it writes.
    found = await Writing(api).shape(GIVEN)
    assert found.restored == ("Service photos (spec.type)",)
    assert server.written() == [("apply", "services/photos")]


async def test_an_object_that_is_watched_no_more_for_lack_of_a_label_gets_it_back(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape(GIVEN)
    label = "app.kubernetes.io/managed-by"
    server.edit("services", "photos", lambda live: live["metadata"]["labels"].pop(label))
    writing.store.drop(kube.SERVICES, "images", "photos")
    await writing.shape(GIVEN)
    assert server.get("services", "photos")["metadata"]["labels"][label] == "hadis-operator"
    requests = server.requests
    await writing.shape(GIVEN)
    assert server.requests == requests


async def test_what_somebody_adds_of_his_own_stays(server: ApiServer, writing: Writing) -> None:
    await writing.shape(GIVEN)
    router = naming.router(OWNER)
    restarted = {"kubectl.kubernetes.io/restartedAt": "2030-01-01T00:00:00Z"}
    server.edit(
        "deployments",
        router,
        lambda live: live["spec"]["template"]["metadata"]["annotations"].update(restarted),
    )
    server.writes.clear()
    writing.see(server)
    assert await writing.shape(GIVEN) == Obstacles()
    assert server.writes == []


async def test_somebody_who_keeps_changing_an_object_is_answered_ever_more_seldom(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape(GIVEN)
    server.writes.clear()
    answered_s: list[int] = []
    for second in range(120):
        writing.now_s = float(second)
        server.edit("services", "photos", put("spec", "type", value=f"mine-{second}"))
        writing.see(server)
        if (await writing.shape(GIVEN)).restored:
            answered_s.append(second)
    assert answered_s == [0, 10, 30, 70]
    assert len(server.writes) == 4
    # After a long peace it is answered at once.
    writing.now_s = 5000.0
    await writing.shape(GIVEN)
    writing.now_s = 20_000.0
    server.edit("services", "photos", put("spec", "type", value="mine"))
    writing.see(server)
    assert (await writing.shape(GIVEN)).restored


async def test_a_changed_rendering_is_written_however_short_the_time(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape(GIVEN)
    server.edit("services", "photos", put("spec", "type", value="NodePort"))
    writing.see(server)
    await writing.shape(GIVEN)
    server.writes.clear()
    await writing.shape(clusters.a_given(("router.service", {"port": 81, "type": "ClusterIP"})))
    assert ("apply", "services/photos") in server.written()


# Slots.


async def test_each_slot_is_a_deployment(server: ApiServer, writing: Writing) -> None:
    await writing.shape_slots(GIVEN)
    slots = [live["metadata"]["labels"]["hadis.dev/slot"] for live in server.of("deployments")]
    assert sorted(slots) == ["w0", "w1"]


async def test_fewer_workers_take_the_last_slots_away(server: ApiServer, writing: Writing) -> None:
    await writing.shape_slots(clusters.a_given(("workers.count", 4)))
    server.writes.clear()
    await writing.shape_slots(GIVEN)
    assert server.written() == [
        ("delete", f"deployments/{naming.worker(OWNER, slot)}") for slot in ("w2", "w3")
    ]


async def test_a_slot_that_exists_unknown_to_us_is_not_rendered_anew(
    server: ApiServer, writing: Writing, api: Kube
) -> None:
    await writing.shape_slots(GIVEN)
    server.writes.clear()
    # A new leader whose watch has not told it anything yet, with another default image.
    other = Writing(api)
    other.renderer = Renderer(
        rendered.an_installation("", ("hadis-worker:0.1.0", "hadis-worker:0.2.0"))
    )
    await other.shape_slots(GIVEN)
    assert server.writes == []


async def test_a_changed_template_rolls_one_slot_at_a_time(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape_slots(GIVEN)
    for live in server.of("deployments"):
        status = {"observedGeneration": 9, "updatedReplicas": 1, "availableReplicas": 1}
        writing.store.put(
            kube.DEPLOYMENTS,
            {
                **live,
                "status": status,
                "metadata": {**live["metadata"], "resourceVersion": "900"},
            },
        )
    server.writes.clear()
    changed = clusters.a_given(("workers.template", {"image": "own.example/worker:2"}))
    assert writing.survey(changed).rollout.roll == ("w0",)
    server.version = 1000
    await writing.shape_slots(changed)
    assert server.written() == [("apply", f"deployments/{naming.worker(OWNER, 'w0')}")]
    assert writing.survey(changed).rollout.wait == ("w1",)
    assert writing.survey(changed).rollout.roll == ()


async def test_a_slot_that_somebody_scaled_gets_its_pod_back_and_nothing_else(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape_slots(GIVEN)
    name = naming.worker(OWNER, "w1")
    live = copy.deepcopy(server.get("deployments", name))
    live["spec"]["replicas"] = 0
    server.put(live)
    writing.store.put(kube.DEPLOYMENTS, server.get("deployments", name))
    server.writes.clear()
    await writing.shape_slots(GIVEN)
    assert server.written() == [("merge", f"deployments/{name}")]
    assert server.get("deployments", name)["spec"]["replicas"] == 1


def serving(server: ApiServer, writing: Writing) -> None:
    """Let every slot's pod be ready."""
    for live in server.of("deployments"):
        status = {
            "observedGeneration": 99,
            "updatedReplicas": 1,
            "availableReplicas": 1,
        }
        server.put({**live, "status": status})
    writing.see(server)


POD_TEMPLATE = ("spec", "template", "spec")


async def test_a_slots_pod_template_is_put_back_one_slot_at_a_time(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape_slots(GIVEN)
    names = [naming.worker(OWNER, slot) for slot in ("w0", "w1")]
    for name in names:
        server.edit("deployments", name, put(*POD_TEMPLATE, "hostname", value="mine"))
    serving(server, writing)
    server.writes.clear()
    assert writing.survey(GIVEN).rollout.roll == ("w0",)
    found = await writing.shape_slots(GIVEN)
    assert [names[0] in told for told in found.restored] == [True]
    assert server.written() == [("apply", f"deployments/{names[0]}")]
    assert server.get("deployments", names[0])["spec"]["template"]["spec"]["hostname"] == "w0"


async def test_what_touches_no_pod_of_a_slot_is_put_back_at_once(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape_slots(GIVEN)
    for slot in ("w0", "w1"):
        name = naming.worker(OWNER, slot)
        server.edit("deployments", name, put("spec", "progressDeadlineSeconds", value=1))
    serving(server, writing)
    rollout = writing.survey(GIVEN).rollout
    assert (rollout.restamp, rollout.roll, rollout.wait) == (("w0", "w1"), (), ())
    await writing.shape_slots(GIVEN)
    assert writing.survey(GIVEN).rollout.keep == ("w0", "w1")


async def test_what_was_changed_of_a_slot_that_an_older_version_rendered_is_kept_with_it(
    server: ApiServer, writing: Writing
) -> None:
    await writing.shape_slots(GIVEN)
    name = naming.worker(OWNER, "w0")
    server.edit("deployments", name, put(*POD_TEMPLATE, "hostname", value="mine"))
    serving(server, writing)
    newer = rendered.an_installation("", ("hadis-worker:0.1.0", "hadis-worker:0.2.0"))
    writing.renderer = Renderer(newer)
    assert writing.survey(GIVEN).rollout.keep == ("w0", "w1")


# Assignments on the slots.


def an_assignment(version: int, model: str = "tiny") -> Assignment:
    return Assignment(version, ModelName(model), Role.LIGHT, 1, None)


ASSIGNED = {WorkerName("w0"): an_assignment(4), WorkerName("w1"): an_assignment(3)}


@pytest.fixture
async def slots_there(server: ApiServer, writing: Writing) -> Callable[[], list[Manifest]]:
    await writing.shape_slots(GIVEN)
    server.writes.clear()
    return lambda: server.of("deployments")


async def test_each_assignment_is_recorded_once_by_its_own_manager(
    server: ApiServer, writing: Writing, slots_there: Callable[[], list[Manifest]]
) -> None:
    await writing.applier.annotate(OWNER, ASSIGNED)
    assert [write.manager for write in server.writes] == ["hadis-assignment"] * 2
    told = [objects.annotation(live, "hadis.dev/assignment") for live in slots_there()]
    assert told[0] == (
        '{"batch_size":1,"model":"tiny","quality_threshold":null,"role":"light","version":4}'
    )
    await writing.applier.annotate(OWNER, ASSIGNED)
    assert len(server.writes) == 2


async def test_only_the_slot_whose_part_changed_is_patched(
    server: ApiServer, writing: Writing, slots_there: Callable[[], list[Manifest]]
) -> None:
    await writing.applier.annotate(OWNER, ASSIGNED)
    server.writes.clear()
    changed = {**ASSIGNED, WorkerName("w1"): an_assignment(5, "big")}
    await writing.applier.annotate(OWNER, changed)
    assert server.written() == [("apply", f"deployments/{naming.worker(OWNER, 'w1')}")]


async def test_a_slot_that_was_made_anew_meanwhile_is_not_touched(
    server: ApiServer, writing: Writing, slots_there: Callable[[], list[Manifest]]
) -> None:
    live = copy.deepcopy(server.get("deployments", naming.worker(OWNER, "w0")))
    server.put({**live, "metadata": {**live["metadata"], "uid": "another"}})
    await writing.applier.annotate(OWNER, {WorkerName("w0"): an_assignment(4)})
    assert server.writes == []


async def test_the_assignments_of_a_large_pool_are_recorded_side_by_side_and_completely(
    server: ApiServer, writing: Writing
) -> None:
    given = clusters.a_given(("workers.count", 40))
    await writing.shape_slots(given)
    server.writes.clear()
    assigned = {WorkerName(f"w{index}"): an_assignment(4) for index in range(40)}
    await writing.applier.annotate(OWNER, assigned)
    assert len(server.writes) == 40
    server.down = True
    assigned = {WorkerName(f"w{index}"): an_assignment(5) for index in range(40)}
    with pytest.raises(ClusterUnreachable):
        await writing.applier.annotate(OWNER, assigned)
    server.down = False
    await writing.applier.annotate(OWNER, assigned)
    recorded = {objects.annotation(one, "hadis.dev/assignment") for one in server.of("deployments")}
    assert len(recorded) == 1


async def test_an_assignment_that_cannot_be_recorded_is_told(
    server: ApiServer, writing: Writing, slots_there: Callable[[], list[Manifest]]
) -> None:
    server.refusals["deployments"] = (500, "failed calling webhook")
    found = await writing.applier.annotate(OWNER, ASSIGNED)
    assert len(found.faults) == len(slots_there())
    assert "cannot record its assignment: failed calling webhook" in found.faults[0]
    server.refusals.clear()
    writing.now_s += obstacles.LOOK_AGAIN_S
    assert await writing.applier.annotate(OWNER, ASSIGNED) == Obstacles()
    assert len(server.writes) == 2


def test_a_slot_that_leaves_or_has_no_part_keeps_its_record() -> None:
    going = {"metadata": {"name": "d", "deletionTimestamp": "now"}}
    here = {"metadata": {"name": "d"}}
    live = {"w0": going, "w1": here, "w2": here}
    assert list(annotating.stale_annotations(ASSIGNED, live)) == ["w1"]


async def test_an_event_that_is_refused_is_only_missed(server: ApiServer, writing: Writing) -> None:
    server.refusals["events"] = (403, "no events")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "images"},
    }
    await writing.applier.tell(event)
    del server.refusals["events"]
    await writing.applier.tell(event)
    assert server.written() == [("create", "events/e")]


async def test_a_status_goes_to_its_subresource_and_into_the_store(
    server: ApiServer, writing: Writing
) -> None:
    server.put(clusters.a_live_cascade())
    manifest = {
        "apiVersion": objects.API_VERSION,
        "kind": objects.KIND,
        "metadata": {"name": "photos", "namespace": "images"},
        "status": {"observedGeneration": 3},
    }
    uid = server.get("hadiscascades", "photos")["metadata"]["uid"]
    await writing.applier.write_status(manifest, uid=uid)
    assert server.writes[0].part == "status"
    assert server.get("hadiscascades", "photos")["spec"]["models"]
    known = writing.store.get(kube.CASCADES, "images", "photos")
    assert known is not None
    assert known["status"] == {"observedGeneration": 3}


async def test_a_status_is_not_for_another_cascade_of_the_same_name(
    server: ApiServer, writing: Writing
) -> None:
    server.put(clusters.a_live_cascade())
    before = server.get("hadiscascades", "photos").get("status")
    manifest = {
        "apiVersion": objects.API_VERSION,
        "kind": objects.KIND,
        "metadata": {"name": "photos", "namespace": "images"},
        "status": {"observedGeneration": 3},
    }
    with pytest.raises(ClusterRefused):
        await writing.applier.write_status(manifest, uid="an-earlier-one")
    assert server.get("hadiscascades", "photos").get("status") == before


def test_an_unchanged_author_gets_the_rendering_that_is_there() -> None:
    renderer = Renderer(INSTALLATION)
    assert renderer.fleet(GIVEN, None, {}) is renderer.fleet(GIVEN, None, {})
    assert renderer.slots(GIVEN) is renderer.slots(GIVEN)
    table = clusters.a_table(1).to_terms()
    assigned = {WorkerName("w0"): an_assignment(1), WorkerName("w7"): an_assignment(1)}
    assert renderer.document(GIVEN) is renderer.document(GIVEN)
    plan = renderer.fleet(GIVEN, table, assigned)[0]
    assert '"w0"' in plan["data"]["assignments.json"]
    # A slot that shall be no more has no part.
    assert '"w7"' not in plan["data"]["assignments.json"]
    assert renderer.fleet(replace(GIVEN, generation=9), table, assigned)[0] is not plan

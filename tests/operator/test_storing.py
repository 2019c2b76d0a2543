"""What the store keeps, whom it tells, and how a sweep mends what watches missed."""

import asyncio
from typing import Any

import pytest

from hadis_operator import kube, objects, surveying, sweeping, watching
from hadis_operator.kube import ClusterRefused, ClusterUnreachable, Kube
from hadis_operator.objects import Component, Manifest
from hadis_operator.rollouts import LiveSlot
from hadis_operator.slots import Pod
from hadis_operator.storing import CascadeKey, Store
from hadis_operator.sweeping import Findings, Sweeper
from support import clusters, rendered
from support.api_server import ApiServer

OWNER = rendered.an_owner()
PHOTOS = CascadeKey("images", "photos")


def a_service(version: int = 10, **metadata: Any) -> Manifest:
    built = objects.build(OWNER, "v1", "Service", "photos", Component.ROUTER, spec={})
    known = {"uid": "u", "resourceVersion": str(version), "managedFields": [{"manager": "m"}]}
    return {**built, "metadata": {**built["metadata"], **known, **metadata}}


class Noting:
    """A store, and the cascades that it told about."""

    def __init__(self) -> None:
        self.told: list[CascadeKey] = []
        self.store = Store(self.told.append)


def test_an_older_version_never_hides_a_newer_one() -> None:
    noting = Noting()
    assert noting.store.put(kube.SERVICES, a_service(10))
    assert not noting.store.put(kube.SERVICES, a_service(9))
    assert not noting.store.put(kube.SERVICES, a_service(10))
    assert noting.store.put(kube.SERVICES, a_service(11))
    assert noting.told == [PHOTOS, PHOTOS]


def test_another_object_of_the_same_name_takes_its_place_unless_it_is_older() -> None:
    store = Store()
    store.put(kube.SERVICES, a_service(10))
    assert not store.put(kube.SERVICES, a_service(9, uid="earlier"))
    assert store.put(kube.SERVICES, a_service(12, uid="later"))
    assert not store.drop(kube.SERVICES, "images", "photos", uid="u")
    assert store.drop(kube.SERVICES, "images", "photos", uid="later")
    assert store.get(kube.SERVICES, "images", "photos") is None


def test_what_nobody_reads_is_not_kept() -> None:
    store = Store()
    item = a_service(
        managedFields=[
            {"manager": "hadis-operator", "fieldsV1": {"f:spec": {"f:type": {}}}},
            {"manager": "kube-controller-manager", "fieldsV1": {"f:status": {}}},
        ]
    )
    del item["kind"], item["apiVersion"]  # as lists have their items
    store.put(kube.SERVICES, item)
    kept = store.get(kube.SERVICES, "images", "photos")
    assert kept is not None
    assert kube.kind_of(kept) is kube.SERVICES
    # Of the books our own part, which tells what somebody else has changed.
    assert kept["metadata"]["managedFields"] == ['{"f:spec": {"f:type": {}}}']


def test_of_pods_and_slots_the_small_part_is_kept() -> None:
    """A cluster may have a thousand of them; their specs are most of what they take."""
    store = Store()
    pod = clusters.a_live_pod("w0", slot="w0")
    pod["metadata"] |= {"annotations": {"a": "b"}, "managedFields": [{"manager": "m"}]}
    pod["spec"] |= {"containers": [{"name": "worker"}]}
    store.put(kube.PODS, pod)
    kept = store.get(kube.PODS, "images", "w0")
    assert kept is not None
    assert kept["spec"] == {"nodeName": "node-1"}
    assert not {"annotations", "managedFields"} & kept["metadata"].keys()
    assert Pod.from_live(kept) == Pod.from_live(pod)
    given = clusters.a_given()
    slot = surveying.render_slots(given, rendered.an_installation())["w0"]
    store.put(kube.DEPLOYMENTS, slot)
    live = surveying.live_slots(store, OWNER)["w0"]
    assert "template" not in live["spec"]
    assert LiveSlot.from_deployment(live) == LiveSlot.from_deployment(slot)


def test_an_object_whose_label_was_taken_away_stays_where_it_was_and_can_go() -> None:
    noting = Noting()
    noting.store.put(kube.SERVICES, a_service(10))
    bare = a_service(11)
    del bare["metadata"]["labels"]
    noting.store.put(kube.SERVICES, bare)
    assert noting.told == [PHOTOS, PHOTOS]
    assert len(noting.store.owned(kube.SERVICES, OWNER)) == 1
    assert noting.store.drop(kube.SERVICES, "images", "photos")
    assert noting.told == [PHOTOS] * 3
    assert noting.store.owned(kube.SERVICES, OWNER) == []


def test_an_object_whose_label_names_another_cascade_by_now_is_that_ones() -> None:
    noting = Noting()
    noting.store.put(kube.SERVICES, a_service(10))
    moved = a_service(11)
    moved["metadata"]["labels"] = {**moved["metadata"]["labels"], "hadis.dev/cascade": "other"}
    noting.store.put(kube.SERVICES, moved)
    assert noting.told[-1] == CascadeKey("images", "other")
    assert noting.store.owned(kube.SERVICES, OWNER) == []
    assert noting.store.drop(kube.SERVICES, "images", "photos")


def test_a_profile_concerns_the_cascades_that_name_it() -> None:
    noting = Noting()
    noting.store.put(kube.CASCADES, clusters.a_live_cascade())
    noting.store.put(kube.CASCADES, clusters.a_live_cascade(name="other", namespace="elsewhere"))
    noting.told.clear()
    noting.store.put(kube.PROFILES, clusters.a_live_profile())
    assert noting.told == [PHOTOS]


def test_only_the_owners_own_objects_and_pods_are_its() -> None:
    store = Store()
    store.put(kube.SERVICES, a_service())
    foreign = a_service(name="foreign")
    foreign["metadata"]["ownerReferences"] = []
    store.put(kube.SERVICES, foreign)
    assert [live["metadata"]["name"] for live in store.owned(kube.SERVICES, OWNER)] == ["photos"]
    store.put(kube.PODS, clusters.a_live_pod("w0", slot="w0"))
    predecessor = clusters.a_live_pod("old", slot="w0")
    predecessor["metadata"]["labels"][objects.CASCADE_UID_LABEL] = "ffffffff"
    store.put(kube.PODS, predecessor)
    assert [live["metadata"]["name"] for live in store.pods(OWNER)] == ["w0"]


def test_a_namesake_in_another_namespace_has_its_own() -> None:
    store = Store()
    store.put(kube.SERVICES, a_service())
    store.put(kube.SERVICES, a_service(namespace="elsewhere", uid="v"))
    assert len(store.owned(kube.SERVICES, OWNER)) == 1
    assert len(list(store.all(kube.SERVICES))) == 2
    assert len(list(store.all(kube.SERVICES, "elsewhere"))) == 1


def listed(*services: Manifest) -> list[Manifest]:
    return [{"metadata": live["metadata"]} for live in services]


PLACE = ("services", "images", "photos")


def test_a_list_tells_what_was_missed_and_what_is_gone() -> None:
    known = [a_service(10)]
    assert sweeping.compare(kube.SERVICES, listed(a_service(10)), 50, known) == Findings()
    newer = sweeping.compare(kube.SERVICES, listed(a_service(12)), 50, known)
    assert newer == Findings(missed=(PLACE,))
    assert sweeping.compare(kube.SERVICES, listed(a_service()), 50, []).missed == (PLACE,)
    assert sweeping.compare(kube.SERVICES, [], 50, known).gone == (PLACE,)


def test_what_was_made_after_the_list_is_not_gone() -> None:
    assert sweeping.compare(kube.SERVICES, [], 50, [a_service(51)]) == Findings()
    # And an event that was faster than the list is not missed.
    assert sweeping.compare(kube.SERVICES, listed(a_service(10)), 50, [a_service(51)]) == Findings()


async def test_a_sweep_mends_the_store(server: ApiServer, api: Kube) -> None:
    noting = Noting()
    sweeper = Sweeper(api, noting.store)
    server.put(clusters.a_live_cascade(), clusters.a_live_profile(), a_service())
    await sweeper.fill()
    assert noting.store.get(kube.SERVICES, "images", "photos") is not None
    assert not await sweeper.sweep()
    assert sum(sweeper.mended.values()) == 0
    server.remove("services", "photos")
    changed = clusters.a_live_cascade(("workers.count", 5))
    server.put(changed)
    noting.told.clear()
    assert not await sweeper.sweep()
    assert noting.store.get(kube.SERVICES, "images", "photos") is None
    known = noting.store.get(kube.CASCADES, "images", "photos")
    assert known is not None
    assert known["spec"]["workers"]["count"] == 5
    assert PHOTOS in noting.told
    assert sweeper.mended["services"] == 1


async def test_a_watch_that_misses_again_and_again_is_deaf(server: ApiServer, api: Kube) -> None:
    store = Store()
    sweeper = Sweeper(api, store)
    await sweeper.fill()
    for count in (2, 3):
        server.put(clusters.a_live_cascade(("workers.count", count)))
        is_deaf = await sweeper.sweep()
        assert is_deaf is (count == 3)
    assert not await sweeper.sweep()


async def test_a_watch_that_is_heard_is_not_deaf_however_much_it_is_behind(
    server: ApiServer, api: Kube
) -> None:
    store = Store()
    sweeper = Sweeper(api, store)
    await sweeper.fill()
    for count in range(2, 8):
        server.put(clusters.a_live_cascade(("workers.count", count)))
        sweeper.note_heard(kube.CASCADES, "anywhere")
        assert not await sweeper.sweep()
    # Another kind's watch says nothing about it.
    for count in (8, 9):
        server.put(clusters.a_live_cascade(("workers.count", count)))
        sweeper.note_heard(kube.PODS, "images")
        is_deaf = await sweeper.sweep()
        assert is_deaf is (count == 9)


async def test_what_was_missed_in_numbers_is_listed_and_not_fetched_one_by_one(
    server: ApiServer, api: Kube
) -> None:
    store = Store()
    sweeper = Sweeper(api, store)
    await sweeper.sweep()
    requests = server.requests
    await sweeper.sweep()
    quiet = server.requests - requests
    server.put(*(clusters.a_live_pod(f"w{index}", slot=f"w{index}") for index in range(100)))
    requests = server.requests
    await sweeper.sweep()
    assert server.requests - requests == quiet + 1
    assert len(store.pods(OWNER)) == 100


LAB = {"namespace": "lab", "uid": "0a1b2c3d-1111-5555-6666-777788889999"}


def names_in(store: Store, namespace: str) -> set[str]:
    return {
        f"{kind.plural}/{live['metadata']['name']}"
        for kind in watching.WATCHED
        for live in store.all(kind, namespace)
    }


async def test_a_namespace_that_is_refused_is_forgotten_and_the_others_go_on(
    server: ApiServer, api: Kube, caplog: pytest.LogCaptureFixture
) -> None:
    noting = Noting()
    store = noting.store
    sweeper = Sweeper(api, store, namespaces=["lab", "images"])
    server.put(
        clusters.a_live_cascade(), clusters.a_live_cascade(**LAB), a_service(namespace="lab")
    )
    await sweeper.fill()
    there = {"hadiscascades/photos", "services/photos"}
    assert names_in(store, "lab") == there
    assert sweeper.readable == {"lab": True, "images": True}
    # It is deleted, and its RoleBinding with it.
    server.forbidden.add("lab")
    server.put(clusters.a_live_cascade(("workers.count", 5)))
    for _ in range(3):
        assert not await sweeper.sweep()
    assert names_in(store, "lab") == set()
    assert sweeper.readable == {"lab": False, "images": True}
    assert sweeper.is_lost("lab")
    known = store.get(kube.CASCADES, "images", "photos")
    assert known is not None
    assert known["spec"]["workers"]["count"] == 5
    assert sum("namespace lab cannot be read" in line for line in caplog.messages) == 1
    # It is made again.
    server.forbidden.clear()
    noting.told.clear()
    assert not await sweeper.sweep()
    assert names_in(store, "lab") == there
    assert sweeper.readable == {"lab": True, "images": True}
    assert CascadeKey("lab", "photos") in noting.told


async def test_who_hears_of_a_cascade_finds_its_objects_there(server: ApiServer, api: Kube) -> None:
    """Or it would take them for missing, or for gone."""
    found: list[set[str]] = []
    store = Store(lambda key: found.append(names_in(store, key.namespace)))
    server.put(clusters.a_live_cascade(**LAB), a_service(namespace="lab"))
    sweeper = Sweeper(api, store, namespaces=["images", "lab"])
    await sweeper.fill()
    assert found[-1] == {"hadiscascades/photos", "services/photos"}
    found.clear()
    server.forbidden.add("lab")
    await sweeper.sweep()
    assert found[0] == {"services/photos"}
    assert found[-1] == set()


async def test_a_refusal_of_everything_is_trouble(server: ApiServer, api: Kube) -> None:
    server.forbidden = {"images", "lab", ""}
    for namespaces in (["images", "lab"], ()):
        sweeper = Sweeper(api, Store(), namespaces=namespaces)
        with pytest.raises(ClusterRefused):
            await sweeper.fill()
    with pytest.raises(ClusterRefused):
        await Sweeper(api, Store()).sweep()
    # Once it has begun it waits for the first of them to come back.
    begun = Sweeper(api, Store(), namespaces=["images", "lab"])
    assert not await begun.sweep()
    server.forbidden = {"lab"}
    await begun.fill()
    assert begun.readable == {"images": True, "lab": False}


async def test_an_api_that_is_away_loses_no_namespace(server: ApiServer, api: Kube) -> None:
    store = Store()
    server.put(clusters.a_live_cascade())
    sweeper = Sweeper(api, store, namespaces=["images", "lab"])
    await sweeper.fill()
    server.down = True
    with pytest.raises(ClusterUnreachable):
        await sweeper.sweep()
    assert names_in(store, "images") == {"hadiscascades/photos"}
    assert sweeper.readable == {"images": True, "lab": True}


async def test_a_sweep_keeps_to_its_namespaces(server: ApiServer, api: Kube) -> None:
    store = Store()
    server.put(
        clusters.a_live_cascade(),
        clusters.a_live_cascade(namespace="elsewhere", uid="0a1b2c3d-1111-5555-6666-777788889999"),
    )
    await Sweeper(api, store, namespaces=["elsewhere"]).fill()
    assert [live["metadata"]["namespace"] for live in store.all(kube.CASCADES)] == ["elsewhere"]
    assert await sweeping.kinds_are_there(api)


async def test_a_sweep_takes_its_time_until_somebody_waits_for_it(
    server: ApiServer, api: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "REST_TIMES", 1e9)
    monkeypatch.setattr(sweeping, "LONGEST_REST_S", 60.0)
    server.put(clusters.a_live_cascade())
    hurry = asyncio.Event()
    sweep = asyncio.create_task(Sweeper(api, Store(), hurry=hurry).sweep())
    done, _ = await asyncio.wait([sweep], timeout=0.5)
    assert not done
    hurry.set()
    assert not await asyncio.wait_for(sweep, 10.0)

"""What only a real API server shows of the operator's parts: apply, managers, watches, elections.

The parts run in this process, by KUBECONFIG, in namespaces of their own and with no operator in the
cluster; whole operators are tested in their pods.
"""

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from cluster.lab.clusters import Cluster
from cluster.lab.releases import Release
from hadis import resources
from hadis_operator import annotating, applying, kube, naming, objects, surveying, sweeping
from hadis_operator.electing import Elector
from hadis_operator.kube import ClusterRefused, Conflicting, Kube
from hadis_operator.objects import Manifest, Owner
from hadis_operator.renderings import Renderer
from hadis_operator.storing import Store
from hadis_operator.watching import Watcher
from support import clusters, rendered


@pytest.fixture(scope="module")
def alone(cluster: Cluster, release: Release) -> Cluster:
    """The cluster with the definitions and without an operator."""
    release.uninstall()
    for plural in ("hadiscascades", "hadisprofiles"):
        file = str(resources.crd_path(plural))
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", file)
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{plural}.hadis.dev")
    return cluster


@pytest.fixture
def namespace(alone: Cluster) -> Iterator[str]:
    name = f"hadis-{uuid.uuid4().hex[:8]}"
    alone.kubectl("create", "namespace", name)
    yield name
    alone.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubeconfig(alone: Cluster) -> str:
    return alone.access.environment["KUBECONFIG"]


@pytest.fixture
async def api(kubeconfig: str) -> AsyncIterator[Kube]:
    connected = await Kube.connect(kubeconfig)
    yield connected
    await connected.close()


async def until(condition: Callable[[], Any], within_s: float = 30.0) -> Any:
    """Wait for something that comes about; what it awaits must not hold up the operator."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.1)


def a_cascade(namespace: str, *changes: tuple[str, Any], **metadata: Any) -> Manifest:
    live = clusters.a_live_cascade(*changes)
    live["metadata"] = {"name": "photos", "namespace": namespace, **metadata}
    return live


def a_profile(namespace: str) -> Manifest:
    live = clusters.a_live_profile()
    live["metadata"] = {"name": "pair", "namespace": namespace}
    return live


async def an_owner(api: Kube, namespace: str) -> Owner:
    live = await api.apply(a_cascade(namespace), manager="a-person")
    return Owner("photos", namespace, live["metadata"]["uid"])


async def test_everything_that_is_rendered_is_taken_and_taken_once(
    api: Kube, namespace: str
) -> None:
    owner = await an_owner(api, namespace)
    given = clusters.reading.read(
        await api.get(kube.CASCADES, namespace, "photos"), a_profile(namespace)
    )
    renderer = Renderer(rendered.an_installation())
    for manifest in [*renderer.fleet(given, None, {}), *renderer.slots(given).values()]:
        first = await api.apply(manifest, manager=objects.OPERATOR_MANAGER)
        assert objects.is_controlled_by(first, owner)
        second = await api.apply(manifest, manager=objects.OPERATOR_MANAGER)
        # Applying the same again changes nothing; controllers may have written its status.
        for part in ("spec", "data"):
            assert first.get(part) == second.get(part)
        assert first["metadata"].get("generation") == second["metadata"].get("generation")


async def test_the_annotation_and_the_rest_have_managers_that_leave_each_other_alone(
    api: Kube, namespace: str
) -> None:
    await an_owner(api, namespace)
    given = clusters.reading.read(
        await api.get(kube.CASCADES, namespace, "photos"), a_profile(namespace)
    )
    slot = Renderer(rendered.an_installation()).slots(given)["w0"]
    live = await api.apply(slot, manager=objects.OPERATOR_MANAGER)
    patch = annotating.annotation_patch(live, '{"version":4}')
    noted = await api.apply(patch, manager=objects.ASSIGNMENT_MANAGER)
    assert noted["spec"] == live["spec"]
    again = await api.apply(slot, manager=objects.OPERATOR_MANAGER)
    assert objects.annotation(again, objects.ASSIGNMENT_ANNOTATION) == '{"version":4}'
    # A namesake is not touched, and one that has gone is not made.
    other = {**patch, "metadata": {**patch["metadata"], "uid": str(uuid.uuid4())}}
    with pytest.raises(ClusterRefused):
        await api.apply(other, manager=objects.ASSIGNMENT_MANAGER)
    await api.delete(
        kube.DEPLOYMENTS, namespace, live["metadata"]["name"], uid=live["metadata"]["uid"]
    )
    with pytest.raises(ClusterRefused):
        await api.apply(patch, manager=objects.ASSIGNMENT_MANAGER)


def a_foreign_service(namespace: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "photos", "namespace": namespace},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 1}]},
    }


async def test_a_service_in_the_place_of_ours_is_never_taken_over(
    api: Kube, namespace: str
) -> None:
    owner = await an_owner(api, namespace)
    live = await api.get(kube.CASCADES, namespace, "photos")
    renderer = Renderer(rendered.an_installation())
    given = clusters.reading.read(live, a_profile(namespace))
    service = next(
        one
        for one in renderer.fleet(given, None, {})
        if objects.identity(one) == ("Service", "photos")
    )
    store = Store()
    applier = applying.Applier(api, store, may_act=lambda: True, clock=lambda: 0.0)
    assert (await applier.shape(owner, [service])).taken == ()
    ours = await api.get(kube.SERVICES, namespace, "photos")
    await api.delete(kube.SERVICES, namespace, "photos", uid=ours["metadata"]["uid"])
    # With the UID of one that has gone nothing is made.
    with pytest.raises(ClusterRefused):
        await api.apply(service, manager=objects.OPERATOR_MANAGER, uid=ours["metadata"]["uid"])
    theirs = await api.create(a_foreign_service(namespace), manager="a-person")
    # The store still has ours; without it, an apply of what should be new is refused.
    changed = {**service, "metadata": {**service["metadata"], "annotations": {"a": "new"}}}
    assert (await applier.shape(owner, [changed])).taken == ("Service photos",)
    with pytest.raises(Conflicting):
        await api.apply_new(service, manager=objects.OPERATOR_MANAGER)
    now = await api.get(kube.SERVICES, namespace, "photos")
    assert now["spec"] == theirs["spec"]
    assert "ownerReferences" not in now["metadata"]


async def test_a_field_that_the_api_does_not_know_is_a_fault_of_its_object(
    api: Kube, namespace: str
) -> None:
    changes = ("workers.template", {"affinity": {"nodeAfinity": {}}})
    live = await api.apply(a_cascade(namespace, changes), manager="a-person")
    given = clusters.reading.read(live, a_profile(namespace))
    slots = Renderer(rendered.an_installation()).slots(given)
    applier = applying.Applier(api, Store(), may_act=lambda: True, clock=lambda: 0.0)
    survey = surveying.survey(given, rendered.an_installation(), slots, {})
    found = await applier.shape_slots(given, survey)
    assert len(found.faults) == len(slots)
    assert all("nodeAfinity" in fault for fault in found.faults)


async def test_a_quantity_in_another_unit_is_refused_where_it_is_applied(
    api: Kube, namespace: str
) -> None:
    cascade = a_cascade(namespace)
    cascade["spec"]["workers"]["template"] = {"resources": {"limits": {"memory": "48GB"}}}
    with pytest.raises(ClusterRefused, match="memory"):
        await api.apply(cascade, manager="a-person")


async def test_rescaling_touches_replicas_only(api: Kube, alone: Cluster, namespace: str) -> None:
    await an_owner(api, namespace)
    given = clusters.reading.read(
        await api.get(kube.CASCADES, namespace, "photos"), a_profile(namespace)
    )
    slot = Renderer(rendered.an_installation()).slots(given)["w0"]
    live = await api.apply(slot, manager=objects.OPERATOR_MANAGER)
    name = live["metadata"]["name"]
    alone.kubectl("-n", namespace, "scale", "deployment", name, "--replicas=0")
    store = Store()
    store.put(kube.DEPLOYMENTS, await api.get(kube.DEPLOYMENTS, namespace, name))
    applier = applying.Applier(api, store, may_act=lambda: True, clock=lambda: 0.0)
    survey = surveying.survey(
        given, rendered.an_installation(), {"w0": slot}, surveying.live_slots(store, given.owner)
    )
    await applier.shape_slots(given, survey)
    healed = await api.get(kube.DEPLOYMENTS, namespace, name)
    assert healed["spec"]["replicas"] == 1
    assert healed["spec"]["template"] == live["spec"]["template"]


async def test_a_watch_tells_what_happens_and_writes_nothing(
    api: Kube, kubeconfig: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    told: list[tuple[str, str | None, str]] = []
    watcher = Watcher(
        lambda kind, event, live: told.append((kind.plural, event, live["metadata"]["name"])),
        namespaces=[namespace],
        kubeconfig=kubeconfig,
    )
    await api.apply(a_cascade(namespace), manager="a-person")
    watcher.start()
    try:
        await until(lambda: ("hadiscascades", None, "photos") in told)
        await api.apply(a_profile(namespace), manager="a-person")
        await until(lambda: any(name == "pair" for _, _, name in told))
        owner = await an_owner(api, namespace)
        manifest = objects.stamp(
            objects.build(
                owner, "v1", "ConfigMap", naming.plan(owner), objects.Component.PLAN, data={}
            )
        )
        await api.apply(manifest, manager=objects.OPERATOR_MANAGER)
        await until(lambda: any(name == naming.plan(owner) for _, _, name in told))
        # What is not ours is not looked at: every namespace has this one.
        assert all(name != "kube-root-ca.crt" for _, _, name in told)
        watcher.restart()
        # It lists again; before that a deletion would go unseen, which is what sweeps are for.
        await until(lambda: told.count(("hadiscascades", None, "photos")) == 2)
        assert watcher.starts == 2
        live = await api.get(kube.CASCADES, namespace, "photos")
        assert "finalizers" not in live["metadata"]
        assert "annotations" not in live["metadata"]
        await api.delete(kube.CASCADES, namespace, "photos", uid=owner.uid)
        await until(lambda: ("hadiscascades", "DELETED", "photos") in told)
    finally:
        await watcher.stop()


async def test_a_sweep_reads_metadata_only(api: Kube, namespace: str) -> None:
    await api.apply(a_cascade(namespace), manager="a-person")
    items, version = await api.list(kube.CASCADES, namespace, metadata_only=True)
    assert [item["metadata"]["name"] for item in items] == ["photos"]
    assert "spec" not in items[0]
    assert int(version) > 0
    store = Store()
    await sweeping.Sweeper(api, store, namespaces=[namespace]).fill()
    known = store.get(kube.CASCADES, namespace, "photos")
    assert known is not None
    assert known["kind"] == "HadisCascade"


async def test_a_lease_has_one_holder(api: Kube, namespace: str) -> None:
    clock = asyncio.get_running_loop().time
    rivals = [Elector(api, namespace, "hadis", name, clock=clock) for name in "abc"]
    await asyncio.gather(*(rival._attempt() for rival in rivals))
    assert sum(rival.leading for rival in rivals) == 1
    [leader] = [rival for rival in rivals if rival.leading]
    others = [rival for rival in rivals if rival is not leader]
    leader._was_leading = True
    await leader.release()
    await others[0]._attempt()
    assert others[0].leading


async def test_a_claim_template_stays_as_it_was_given(api: Kube, namespace: str) -> None:
    def cached(cache: Manifest | None) -> Manifest:
        template = {} if cache is None else {"modelCache": cache}
        return a_cascade(namespace, ("workers.template", template))

    claim = {"storage": "1Gi", "accessModes": ["ReadWriteMany"]}
    # One may be given later ...
    for cache in (None, {"emptyDir": {}}, {"claimTemplate": claim}):
        await api.apply(cached(cache), manager="a-person")
    # ... and is then neither changed nor taken away, the first half of giving another one.
    for cache in ({"claimTemplate": {**claim, "storage": "2Gi"}}, {"emptyDir": {}}, None):
        with pytest.raises(ClusterRefused, match="cannot be changed or taken away"):
            await api.apply(cached(cache), manager="a-person")
    await api.apply(cached({"claimTemplate": claim}), manager="a-person")

"""What only a real API server shows: apply, its managers, watches, elections, garbage.

Needs a cluster whose KUBECONFIG may do everything, kubectl, and no operator in it; run it for
instance inside a cluster made for tests. It makes namespaces of its own and installs the CRDs.
"""

import asyncio
import inspect
import os
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hadis import resources
from hadis_operator import applying, electing, kube, naming, objects, sweeping
from hadis_operator.electing import Elector
from hadis_operator.kube import ClusterRefused, Kube
from hadis_operator.metrics import Metrics
from hadis_operator.objects import Manifest, Owner
from hadis_operator.operating import Operator
from hadis_operator.renderings import Renderer
from hadis_operator.settings import Settings
from hadis_operator.storing import Store
from hadis_operator.watching import Watcher
from support import clusters, rendered

KUBECONFIG = os.environ.get("KUBECONFIG", "")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        not KUBECONFIG or shutil.which("kubectl") is None,
        reason="needs a cluster: KUBECONFIG and kubectl",
    ),
    pytest.mark.timeout(120),
]


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def definitions() -> None:
    for plural in ("hadiscascades", "hadisprofiles"):
        kubectl("apply", "--server-side", "-f", str(resources.crd_path(plural)))
        kubectl("wait", "--for=condition=Established", f"crd/{plural}.hadis.dev")


@pytest.fixture
def namespace(definitions: None) -> Iterator[str]:
    name = f"hadis-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def cluster() -> AsyncIterator[Kube]:
    connected = await Kube.connect(KUBECONFIG)
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


async def an_owner(cluster: Kube, namespace: str) -> Owner:
    live = await cluster.apply(a_cascade(namespace), manager="a-person")
    return Owner("photos", namespace, live["metadata"]["uid"])


async def test_everything_that_is_rendered_is_taken_and_taken_once(
    cluster: Kube, namespace: str
) -> None:
    owner = await an_owner(cluster, namespace)
    given = clusters.reading.read(
        await cluster.get(kube.CASCADES, namespace, "photos"), a_profile(namespace)
    )
    renderer = Renderer(rendered.an_installation())
    for manifest in [*renderer.fleet(given, None, {}), *renderer.slots(given).values()]:
        first = await cluster.apply(manifest, manager=objects.OPERATOR_MANAGER)
        assert objects.is_controlled_by(first, owner)
        second = await cluster.apply(manifest, manager=objects.OPERATOR_MANAGER)
        # Applying the same again changes nothing; controllers may have written its status.
        for part in ("spec", "data"):
            assert first.get(part) == second.get(part)
        assert first["metadata"].get("generation") == second["metadata"].get("generation")


async def test_the_annotation_and_the_rest_have_managers_that_leave_each_other_alone(
    cluster: Kube, namespace: str
) -> None:
    await an_owner(cluster, namespace)
    given = clusters.reading.read(
        await cluster.get(kube.CASCADES, namespace, "photos"), a_profile(namespace)
    )
    slot = Renderer(rendered.an_installation()).slots(given)["w0"]
    live = await cluster.apply(slot, manager=objects.OPERATOR_MANAGER)
    patch = applying.annotation_patch(live, '{"version":4}')
    noted = await cluster.apply(patch, manager=objects.ASSIGNMENT_MANAGER)
    assert noted["spec"] == live["spec"]
    again = await cluster.apply(slot, manager=objects.OPERATOR_MANAGER)
    assert objects.annotation(again, objects.ASSIGNMENT_ANNOTATION) == '{"version":4}'
    # A namesake is not touched, and one that has gone is not made.
    other = {**patch, "metadata": {**patch["metadata"], "uid": str(uuid.uuid4())}}
    with pytest.raises(ClusterRefused):
        await cluster.apply(other, manager=objects.ASSIGNMENT_MANAGER)
    await cluster.delete(
        kube.DEPLOYMENTS, namespace, live["metadata"]["name"], uid=live["metadata"]["uid"]
    )
    with pytest.raises(ClusterRefused):
        await cluster.apply(patch, manager=objects.ASSIGNMENT_MANAGER)


async def test_rescaling_touches_replicas_only(cluster: Kube, namespace: str) -> None:
    await an_owner(cluster, namespace)
    given = clusters.reading.read(
        await cluster.get(kube.CASCADES, namespace, "photos"), a_profile(namespace)
    )
    slot = Renderer(rendered.an_installation()).slots(given)["w0"]
    live = await cluster.apply(slot, manager=objects.OPERATOR_MANAGER)
    name = live["metadata"]["name"]
    kubectl("-n", namespace, "scale", "deployment", name, "--replicas=0")
    store = Store()
    store.put(kube.DEPLOYMENTS, await cluster.get(kube.DEPLOYMENTS, namespace, name))
    applier = applying.Applier(cluster, store, may_act=lambda: True, clock=lambda: 0.0)
    survey = applying.survey(
        given, rendered.an_installation(), {"w0": slot}, applying.live_slots(store, given.owner)
    )
    await applier.shape_slots(given, survey)
    healed = await cluster.get(kube.DEPLOYMENTS, namespace, name)
    assert healed["spec"]["replicas"] == 1
    assert healed["spec"]["template"] == live["spec"]["template"]


async def test_a_watch_tells_what_happens_and_writes_nothing(cluster: Kube, namespace: str) -> None:
    told: list[tuple[str, str | None, str]] = []
    watcher = Watcher(
        lambda kind, event, live: told.append((kind.plural, event, live["metadata"]["name"])),
        namespaces=[namespace],
        kubeconfig=KUBECONFIG,
    )
    await cluster.apply(a_cascade(namespace), manager="a-person")
    watcher.start()
    try:
        await until(lambda: ("hadiscascades", None, "photos") in told)
        await cluster.apply(a_profile(namespace), manager="a-person")
        await until(lambda: any(name == "pair" for _, _, name in told))
        owner = await an_owner(cluster, namespace)
        manifest = objects.stamp(
            objects.build(
                owner, "v1", "ConfigMap", naming.plan(owner), objects.Component.PLAN, data={}
            )
        )
        await cluster.apply(manifest, manager=objects.OPERATOR_MANAGER)
        await until(lambda: any(name == naming.plan(owner) for _, _, name in told))
        # What is not ours is not looked at: every namespace has this one.
        assert all(name != "kube-root-ca.crt" for _, _, name in told)
        watcher.restart()
        # It lists again; before that a deletion would go unseen, which is what sweeps are for.
        await until(lambda: told.count(("hadiscascades", None, "photos")) == 2)
        assert watcher.starts == 2
        live = await cluster.get(kube.CASCADES, namespace, "photos")
        assert "finalizers" not in live["metadata"]
        assert "annotations" not in live["metadata"]
        await cluster.delete(kube.CASCADES, namespace, "photos", uid=owner.uid)
        await until(lambda: ("hadiscascades", "DELETED", "photos") in told)
    finally:
        await watcher.stop()


async def test_a_sweep_reads_metadata_only(cluster: Kube, namespace: str) -> None:
    await cluster.apply(a_cascade(namespace), manager="a-person")
    items, version = await cluster.list(kube.CASCADES, namespace, metadata_only=True)
    assert [item["metadata"]["name"] for item in items] == ["photos"]
    assert "spec" not in items[0]
    assert int(version) > 0
    store = Store()
    await sweeping.Sweeper(cluster, store, namespaces=[namespace]).fill()
    known = store.get(kube.CASCADES, namespace, "photos")
    assert known is not None
    assert known["kind"] == "HadisCascade"


async def test_a_lease_has_one_holder(cluster: Kube, namespace: str) -> None:
    clock = asyncio.get_running_loop().time
    rivals = [Elector(cluster, namespace, "hadis", name, clock=clock) for name in "abc"]
    await asyncio.gather(*(rival._attempt() for rival in rivals))
    assert sum(rival.leading for rival in rivals) == 1
    [leader] = [rival for rival in rivals if rival.leading]
    others = [rival for rival in rivals if rival is not leader]
    leader._was_leading = True
    await leader.release()
    await others[0]._attempt()
    assert others[0].leading


class Running:
    """An operator in this process that serves one namespace."""

    def __init__(self, namespace: str, tmp_path: Path, name: str) -> None:
        file = tmp_path / "installation.yaml"
        extra = f"\nwatchNamespaces: [{namespace}]\n"
        file.write_text(rendered.INSTALLATION + extra)
        self.installation = rendered.an_installation(extra)
        self.settings = Settings(
            installation=file,
            namespace=namespace,
            lease="hadis",
            identity=name,
            kubeconfig=KUBECONFIG,
        )
        self.metrics = Metrics()
        self.operator = Operator(self.settings, self.installation, self.metrics)
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.operator.run(self.stop))

    def leads(self) -> bool:
        return self.metrics.registry.get_sample_value("hadis_operator_leader") == 1

    async def end(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 30)


async def status_of(cluster: Kube, namespace: str) -> dict[str, Any]:
    live = await cluster.get(kube.CASCADES, namespace, "photos")
    return dict(live.get("status") or {})


async def plan_version(cluster: Kube, namespace: str) -> int:
    plan = (await status_of(cluster, namespace)).get("plan") or {}
    return int(plan.get("version") or 0)


async def reasons(cluster: Kube, namespace: str) -> dict[str, str]:
    found = (await status_of(cluster, namespace)).get("conditions") or ()
    return {one["type"]: one["reason"] for one in found}


async def left_over(cluster: Kube, namespace: str) -> list[str]:
    """The objects of the cascade that the garbage collector has not deleted yet."""
    found: list[str] = []
    for kind in kube.OWN_KINDS:
        if kind is not kube.PODS:
            items, _ = await cluster.list(kind, namespace, selector="hadis.dev/cascade=photos")
            found += [item["metadata"]["name"] for item in items]
    return found


async def test_an_operator_makes_what_a_cascade_needs_and_deletion_needs_no_operator(
    cluster: Kube, namespace: str, tmp_path: Path
) -> None:
    running = Running(namespace, tmp_path, "one")
    try:
        await until(running.leads)
        await cluster.apply(a_profile(namespace), manager="a-person")
        live = await cluster.apply(a_cascade(namespace), manager="a-person")
        owner = Owner("photos", namespace, live["metadata"]["uid"])
        await until(lambda: plan_version(cluster, namespace))
        told = await reasons(cluster, namespace)
        assert (told["ProfileValid"], told["PlanFeasible"]) == ("Valid", "Optimal")
        status = await status_of(cluster, namespace)
        assert {one["observedGeneration"] for one in status["conditions"]} == {1}
        for slot in ("w0", "w1"):
            deployment = await cluster.get(kube.DEPLOYMENTS, namespace, naming.worker(owner, slot))
            assert objects.annotation(deployment, objects.ASSIGNMENT_ANNOTATION)
        events, _ = await cluster.list(kube.EVENTS, namespace)
        ours = [one for one in events if one["reportingComponent"] == "hadis.dev/operator"]
        assert "spec.router.apiKeys" in ours[0]["message"]
        # At rest nothing is written.
        await asyncio.sleep(8)
        writes = _writes(running)
        await asyncio.sleep(12)
        assert _writes(running) == writes
    finally:
        await running.end()
    await cluster.delete(kube.CASCADES, namespace, "photos", uid=owner.uid)

    async def all_gone() -> bool:
        return not await left_over(cluster, namespace)

    await until(all_gone)


def _writes(running: Running) -> float:
    return sum(
        sample.value
        for family in running.metrics.registry.collect()
        if family.name == "hadis_operator_writes"
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels["resource"] != "leases"
    )


async def test_a_standby_takes_over_at_once_when_the_leader_leaves(
    cluster: Kube, namespace: str, tmp_path: Path
) -> None:
    await cluster.apply(a_profile(namespace), manager="a-person")
    await cluster.apply(a_cascade(namespace), manager="a-person")
    first = Running(namespace, tmp_path, "one")
    second: Running | None = None
    try:
        version = await until(lambda: plan_version(cluster, namespace))
        second = Running(namespace, tmp_path, "two")
        await until(lambda: second is not None and second.operator.unready() is None)
        assert not second.leads()
        await first.end()
        await until(second.leads, within_s=2 * electing.RETRY_S + 3)
        await asyncio.sleep(8)
        assert await plan_version(cluster, namespace) >= version
        assert second.operator.unhealthy() is None
    finally:
        for one in (first, second):
            if one is not None and not one.task.done():
                await one.end()


async def test_a_cascade_of_a_foreign_name_is_told_of_and_left_alone(
    cluster: Kube, namespace: str, tmp_path: Path
) -> None:
    kubectl("-n", namespace, "create", "service", "clusterip", "photos", "--tcp=1234")
    await cluster.apply(a_profile(namespace), manager="a-person")
    await cluster.apply(a_cascade(namespace), manager="a-person")
    running = Running(namespace, tmp_path, "one")
    try:

        async def is_told() -> bool:
            return (await reasons(cluster, namespace)).get("Ready") == "NameTaken"

        await until(is_told)
        service = await cluster.get(kube.SERVICES, namespace, "photos")
        assert service["spec"]["ports"][0]["port"] == 1234
    finally:
        await running.end()

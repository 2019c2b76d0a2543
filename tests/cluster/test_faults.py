"""What dies or goes wrong in single pods, under load and with the client's books kept."""

import json
import time
from typing import Any

from cluster.lab.cascades import Cascade, pod_ready, restarts
from cluster.lab.clients import Load
from cluster.lab.figures import Figures
from cluster.lab.hands import Hands
from cluster.lab.images import reference
from cluster.lab.releases import GPU, Release, gpu_resources
from cluster.lab.waiting import NotYet, until
from cluster.lab.writes import Writes
from hadis_operator import kube

REROUTED_S = 2.0
BACK_S = 90.0
TAKEN_OVER_S = 20.0
TOLD_S = 60.0


def test_a_killed_worker_costs_its_requests_two_seconds(
    scenes: Cascade, hands: Hands, load: Load, figures: Figures
) -> None:
    workers, slot = scenes.workers(), "w0"
    before = restarts([workers[slot]])
    with hands.poised(workers[slot]) as kill:
        # Two loads' worth, so that the worker that is killed soon has something in hand.
        load.rate *= 2
        until("it is drawing", lambda: slot in scenes.running(), 60, every_s=0.02)
        killed_s = time.monotonic()
        kill()
    load.rate /= 2
    until("it has been started anew", lambda: restarts([scenes.workers()[slot]]) != before, 30)
    until("it is ready again", lambda: pod_ready(scenes.workers()[slot]), BACK_S)
    figures.note("killed worker is ready again", time.monotonic() - killed_s)
    scenes.wait_ready(2, BACK_S)
    entries = [entry for entry in load.entries if entry.is_served and entry.ended_s >= killed_s]
    assert [entry for entry in entries if entry.sent_s <= killed_s], "it was not drawing"
    touched = [entry.lost_s for entry in entries if entry.sent_s <= killed_s + 10]
    figures.within("most that a request lost to a killed worker", max(touched), REROUTED_S)
    assert load.lost() == []
    assert scenes.workers()[slot]["metadata"]["uid"] == workers[slot]["metadata"]["uid"]


def test_a_killed_operator_is_replaced_by_its_standby(
    scenes: Cascade,
    installed: Release,
    hands: Hands,
    load: Load,
    writes: Writes,
    figures: Figures,
) -> None:
    leader = until("an operator leads", installed.leader, 60)
    name = leader["metadata"]["name"]
    [standby] = [pod for pod in installed.operators() if pod["metadata"]["name"] != name]
    pods = restarts(scenes.pods())
    cycles, before = installed.cycles(standby, scenes.namespace), scenes.version
    began_s = time.monotonic()
    hands.kill(leader)
    until(
        "the standby has planned",
        lambda: installed.cycles(standby, scenes.namespace) > cycles,
        3 * TAKEN_OVER_S + 10,
    )
    planned_s = time.monotonic() - began_s
    figures.within("killed operator: the standby has planned", planned_s, TAKEN_OVER_S)
    assert (
        until("an operator leads", installed.leader, 60)["metadata"]["name"]
        == (standby["metadata"]["name"])
    )
    # It goes on from what it found: another plan comes above it.
    scenes.wait_replanned()
    plans = writes.those(kube.CONFIG_MAPS, namespace=scenes.namespace, since_s=began_s)
    versions = [_version(write.live) for write in plans if _is_plan(write.live)]
    assert versions == sorted(set(versions))
    assert versions[0] > before
    assert restarts(scenes.pods()) == pods
    assert load.lost() == []


def _is_plan(live: dict[str, Any]) -> bool:
    return "routing.json" in (live.get("data") or {})


def _version(live: dict[str, Any]) -> int:
    return int(json.loads(live["data"]["routing.json"])["version"])


def _parts(told: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {worker["name"]: (worker["model"], worker["role"]) for worker in told["workers"]}


def test_what_dies_without_an_operator_returns_serving(
    scenes: Cascade, installed: Release, hands: Hands, load: Load, figures: Figures
) -> None:
    before = scenes.told()
    plan, parts = before["plan"], _parts(before)
    installed.scale(0)
    try:
        worker, [router] = scenes.workers()["w0"], scenes.routers()
        load.wait_served(1)
        killed_s = time.monotonic()
        hands.kill(worker)
        hands.kill(router)
        gone = restarts([worker, router])

        def back() -> bool:
            pods = [scenes.workers()["w0"], *scenes.routers()]
            if restarts(pods) == gone or not all(map(pod_ready, pods)):
                raise NotYet(str([pod["status"] for pod in pods]))
            return len(scenes.told()["workers"]) == 2

        until("both are back", back, BACK_S)
        back_s = time.monotonic()
        figures.note("worker and router killed without an operator: both serve", back_s - killed_s)
        told = scenes.told()
        assert (told["plan"]["version"], told["plan"]["lanes"]) == (plan["version"], plan["lanes"])
        assert _parts(told) == parts
        load.wait_served(4)
        # With its only router gone an endpoint is gone; before and after nothing is lost.
        assert load.lost(until_s=killed_s - 10) == []
        assert load.lost(since_s=back_s) == []
        away = [entry for entry in load.lost() if entry.sent_s < back_s]
        figures.note("requests lost to the only router's death", len(away), "")
    finally:
        installed.scale(2)
    scenes.wait_replanned()


def test_bad_weights_in_one_slot_are_told_and_the_others_serve(
    scenes: Cascade, load: Load, figures: Figures
) -> None:
    slot, other = scenes.slots()["w1"], scenes.workers()["w0"]
    began_s = time.monotonic()
    _damage(scenes, slot["metadata"]["name"])

    def told() -> bool:
        condition = scenes.condition("ModelsAvailable")
        if condition["reason"] != "NotFound":
            raise NotYet(str(condition))
        return "w1" in condition["message"] and "scenes-l" in condition["message"]

    until("the condition names the slot and the model", told, BACK_S)
    figures.note("bad weights told", time.monotonic() - began_s)
    assert scenes.condition("Ready")["status"] == "True"
    load.wait_served(2)
    assert load.lost() == []
    assert scenes.workers()["w0"]["metadata"]["uid"] == other["metadata"]["uid"]
    # The operator makes the slot anew, as it should be.
    scenes.cluster.kubectl("delete", "deployment", slot["metadata"]["name"], "-n", scenes.namespace)
    scenes.wait_ready(2)
    until("all models are there", lambda: scenes.reason("ModelsAvailable") == "Cached", 30)
    assert load.lost() == []


def _damage(scenes: Cascade, deployment: str) -> None:
    """Let one slot read a copy of the weights in which the denoiser's are cut short."""
    copy = "cp -rL /opt/cascade/. /damaged && find /damaged -path '*/unet/*.safetensors' "
    copy += "-exec truncate -s 1000 {} +"
    place = [{"name": "damaged", "mountPath": "/damaged"}]
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    pod = {
        "volumes": [{"name": "damaged", "emptyDir": {}}],
        "initContainers": [
            {
                "name": "damage",
                "image": reference("worker"),
                "command": ["sh", "-c", copy],
                "securityContext": security,
                "volumeMounts": place,
            }
        ],
        "containers": [
            {
                "name": "worker",
                "env": [{"name": "HADIS_CASCADE_DIR", "value": "/damaged"}],
                "volumeMounts": place,
            }
        ],
    }
    patch = {"spec": {"template": {"spec": pod}}}
    scenes.cluster.kubectl(
        *("patch", "deployment", deployment, "-n", scenes.namespace),
        *("--type=strategic", "-p", json.dumps(patch)),
    )


def test_a_worker_out_of_memory_is_told_and_holds_up_the_rollout(
    scenes: Cascade, installed: Release, load: Load, figures: Figures
) -> None:
    resources = gpu_resources(scenes.cluster)
    limits = {**resources.get("limits", {}), "memory": "200Mi"}
    before = {slot: pod["metadata"]["uid"] for slot, pod in scenes.workers().items()}
    began_s = time.monotonic()
    scenes.patch(workers={"template": {"resources": {**resources, "limits": limits}}})

    def told() -> bool:
        condition = scenes.condition("WorkersReady")
        if condition["reason"] != "OutOfMemory":
            raise NotYet(str(condition))
        return "resources.limits.memory" in condition["message"]

    until("the condition tells of the limit and the fix", told, BACK_S)
    figures.note("worker out of memory told", time.monotonic() - began_s)
    time.sleep(10)  # were it to go on, it would within two turns
    after = {slot: pod["metadata"]["uid"] for slot, pod in scenes.workers().items()}
    assert sum(before[slot] != after.get(slot) for slot in before) == 1
    assert scenes.condition("Ready")["status"] == "True"
    assert load.lost() == []
    limits = {"memory": None, **({GPU: 1} if GPU in limits else {})}
    scenes.patch(workers={"template": {"resources": {"limits": limits}}})
    scenes.wait_ready(2, 2 * BACK_S)
    assert load.lost() == []

"""All objects of a cascade together: order, ownership, security, what is written and what goes.

`golden/*.yaml` hold whole cascades as they were reviewed. After a change of the rendering that is
meant: `python tests/operator/test_rendering_fleet.py`, and read the difference.
"""

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hadis_operator import installation, naming, objects
from hadis_operator.objects import Manifest
from hadis_operator.rendering import fleet, workers
from support import rendered

GOLDEN = Path(__file__).parent / "golden"
OWNER = rendered.an_owner()
FULL_INSTALLATION = """
version: 0.1.0
images:
  router: {reference: registry.example/hadis-router:0.1.0, pullPolicy: IfNotPresent}
  worker: {reference: registry.example/hadis-worker:0.1.0, pullPolicy: IfNotPresent}
imagePullSecrets: [registry]
networkPolicy:
  enabled: true
  monitoringFrom:
  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
  - ipBlock: {cidr: 192.0.2.1/32}
  operator:
    namespace: hadis-system
    podSelector: {app.kubernetes.io/name: hadis-operator, app.kubernetes.io/instance: hadis}
dataPlaneServiceAccount: hadis-data-plane
huggingFace: {tokenSecret: {name: hugging-face, key: token}}
defaults:
  worker:
    nodeSelector: {nvidia.com/gpu.product: NVIDIA-L40S}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
    runtimeClassName: nvidia
    priorityClassName: images
    resources:
      requests: {cpu: 4, memory: 48Gi, ephemeral-storage: 10Gi}
      limits: {memory: 48Gi, ephemeral-storage: 10Gi, nvidia.com/gpu: 1}
  router:
    resources:
      requests: {cpu: 200m, memory: 512Mi, ephemeral-storage: 100Mi}
      limits: {memory: 1Gi, ephemeral-storage: 1Gi}
"""
FULL: list[tuple[str, Any]] = [
    (
        "models",
        [
            {
                "name": name,
                "source": {"repository": f"example/{name}", "revision": "0" * 39 + "1"},
                "steps": steps,
                "guidance": 4,
                "size": "1024x1024",
                "dtype": "bfloat16",
            }
            for name, steps in (("turbo", 4), ("large", 28))
        ],
    ),
    ("profile", {"name": "photos-l40s"}),
    ("stages.discriminator", "Enabled"),
    ("discriminator", {"source": {"repository": "example/judge"}, "kind": "real-fake"}),
    ("workers.count", 4),
    (
        "workers.template",
        {
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "topology.kubernetes.io/zone",
                    "whenUnsatisfiable": "ScheduleAnyway",
                }
            ],
            "labels": {"team": "images"},
            "annotations": {"example.com/cost-centre": "42"},
            "env": [{"name": "HF_ENDPOINT", "value": "http://mirror.example:8090"}],
            "sharedMemory": "2Gi",
            "modelCache": {"claimTemplate": {"storage": "200Gi", "storageClassName": "nfs"}},
        },
    ),
    ("router.replicas", 2),
    ("router.apiKeys", {"secretName": "photos-keys"}),
    (
        "router.service",
        {"type": "LoadBalancer", "annotations": {"example.com/internal": "true"}},
    ),
]


def everything(*changes: tuple[str, Any], text: str = FULL_INSTALLATION) -> list[Manifest]:
    chosen = installation.read(text, source="installation.yaml")
    spec = rendered.a_spec(*changes)
    return [
        *fleet.render(OWNER, spec, chosen, rendered.a_record(*changes)),
        workers.render(OWNER, spec, chosen, naming.slot(0)),
    ]


def goldens() -> Iterator[tuple[str, list[Manifest]]]:
    yield "plain", everything(text=rendered.INSTALLATION)
    yield "full", everything(*FULL)


class NoAliases(yaml.SafeDumper):
    """A golden file repeats itself rather than refer to itself."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def dump(manifests: list[Manifest]) -> str:
    return yaml.dump_all(
        manifests, Dumper=NoAliases, sort_keys=False, width=1000, explicit_start=True
    )


@pytest.mark.parametrize(("name", "manifests"), list(goldens()))
def test_whole_cascades_are_rendered_as_reviewed(name: str, manifests: list[Manifest]) -> None:
    want = (GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")
    assert dump(manifests) == want


def test_objects_come_in_the_order_of_writing() -> None:
    assert [objects.identity(manifest) for manifest in everything(*FULL)] == [
        ("ConfigMap", "photos-plan-0a1b2c3d"),
        ("PersistentVolumeClaim", "photos-models-0a1b2c3d"),
        ("NetworkPolicy", "photos-router-0a1b2c3d"),
        ("NetworkPolicy", "photos-workers-0a1b2c3d"),
        ("NetworkPolicy", "photos-fetch-0a1b2c3d"),
        ("Service", "photos-workers-0a1b2c3d"),
        ("Service", "photos"),
        ("PodDisruptionBudget", "photos-workers-0a1b2c3d"),
        ("PodDisruptionBudget", "photos-router-0a1b2c3d"),
        ("Job", everything(*FULL)[9]["metadata"]["name"]),
        ("Deployment", "photos-router-0a1b2c3d"),
        ("Deployment", "photos-w0-0a1b2c3d"),
    ]


@pytest.mark.parametrize("manifest", everything(*FULL), ids=lambda m: f"{m['kind']}")
def test_every_object_belongs_to_its_cascade(manifest: Manifest) -> None:
    metadata = manifest["metadata"]
    assert metadata["namespace"] == "images"
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "hadis.dev/v1alpha1",
            "kind": "HadisCascade",
            "name": "photos",
            "uid": OWNER.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    assert objects.is_controlled_by(manifest, OWNER)
    labels = metadata["labels"]
    assert labels["app.kubernetes.io/name"] == "hadis"
    assert labels["app.kubernetes.io/instance"] == labels["hadis.dev/cascade"] == "photos"
    assert labels["app.kubernetes.io/managed-by"] == "hadis-operator"
    if metadata["name"] != "photos":
        assert metadata["name"].endswith("-0a1b2c3d")


PODS = [m for m in everything(*FULL) if m["kind"] in ("Deployment", "Job")]


@pytest.mark.parametrize("manifest", PODS, ids=lambda m: m["metadata"]["name"])
def test_pods_satisfy_the_restricted_standard_and_carry_no_token(manifest: Manifest) -> None:
    pod = rendered.pod_of(manifest)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["serviceAccountName"] == "hadis-data-plane"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    for name in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
        assert name not in pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= allowed
    for container in rendered.all_containers(manifest):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        for port in container.get("ports", ()):
            assert "hostPort" not in port
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in pod["volumes"]}


def test_every_volume_is_mounted_somewhere() -> None:
    for manifest in PODS:
        mounted = {m["name"] for c in rendered.all_containers(manifest) for m in c["volumeMounts"]}
        assert mounted == {volume["name"] for volume in rendered.pod_of(manifest)["volumes"]}


def test_switches_leave_their_objects_out() -> None:
    kinds = [m["kind"] for m in everything(text=rendered.INSTALLATION)]
    assert "Job" not in kinds
    assert "PersistentVolumeClaim" not in kinds
    closed = rendered.INSTALLATION.replace("enabled: true", "enabled: false")
    assert "NetworkPolicy" not in [m["kind"] for m in everything(text=closed)]


# What is written.


def rendering(*changes: tuple[str, Any], text: str = FULL_INSTALLATION) -> list[Manifest]:
    return everything(*changes, text=text)[:-1]


def names(manifests: list[Manifest]) -> list[tuple[str, str]]:
    return [objects.identity(manifest) for manifest in manifests]


def test_everything_is_written_once_and_then_nothing() -> None:
    first = rendering(*FULL)
    assert fleet.unwritten(first, {}) == first
    assert fleet.unwritten(rendering(*FULL), rendered.live_of(first)) == []


def test_what_the_api_server_adds_changes_nothing() -> None:
    live = rendered.live_of(rendering(*FULL))
    for manifest in live.values():
        manifest["metadata"] |= {"resourceVersion": "17", "generation": 2, "uid": "x"}
        manifest["status"] = {"more": "things"}
    live["Deployment", "photos-router-0a1b2c3d"]["spec"]["template"]["spec"]["dnsPolicy"] = "x"
    assert fleet.unwritten(rendering(*FULL), live) == []


@pytest.mark.parametrize(
    ("change", "want"),
    [
        (("router.replicas", 3), [("Deployment", "photos-router-0a1b2c3d")]),
        (
            ("workers.maxUnavailable", 2),
            [("PodDisruptionBudget", "photos-workers-0a1b2c3d")],
        ),
        (
            ("slo.latency", "30s"),
            [("ConfigMap", "photos-plan-0a1b2c3d"), ("Deployment", "photos-router-0a1b2c3d")],
        ),
        (("planner.interval", "1s"), [("ConfigMap", "photos-plan-0a1b2c3d")]),
        (("workers.template.sharedMemory", "1Gi"), []),
    ],
)
def test_only_what_a_change_concerns_is_written(
    change: tuple[str, Any], want: list[tuple[str, str]]
) -> None:
    live = rendered.live_of(rendering(*FULL))
    assert names(fleet.unwritten(rendering(*FULL, change), live)) == want


def test_a_new_chart_rolls_routers() -> None:
    live = rendered.live_of(rendering(*FULL))
    newer = FULL_INSTALLATION.replace("hadis-router:0.1.0", "hadis-router:0.2.0")
    want = [("Deployment", "photos-router-0a1b2c3d")]
    assert names(fleet.unwritten(rendering(*FULL, text=newer), live)) == want


def test_claims_and_jobs_are_made_but_never_changed() -> None:
    live = rendered.live_of(rendering(*FULL))
    for kind_and_name in live:
        if kind_and_name[0] in ("Job", "PersistentVolumeClaim"):
            live[kind_and_name]["metadata"]["annotations"]["hadis.dev/rendered-hash"] = "older"
    assert fleet.unwritten(rendering(*FULL), live) == []
    gone = {key: value for key, value in live.items() if key[0] != "Job"}
    assert [kind for kind, _ in names(fleet.unwritten(rendering(*FULL), gone))] == ["Job"]


# What goes.


def test_nothing_goes_while_nothing_changes() -> None:
    live = rendered.live_of(everything(*FULL))
    assert fleet.superfluous(rendering(*FULL), live) == []


def test_the_job_of_earlier_models_goes_and_the_claim_stays() -> None:
    live = rendered.live_of(everything(*FULL))
    lean = [change for change in FULL if change[0] != "workers.template"]
    gone = names(fleet.superfluous(rendering(*lean), live))
    assert [kind for kind, _ in gone] == ["NetworkPolicy", "Job"]
    assert gone[0] == ("NetworkPolicy", "photos-fetch-0a1b2c3d")


def test_policies_go_when_they_are_switched_off() -> None:
    live = rendered.live_of(rendering(text=rendered.INSTALLATION))
    closed = rendered.INSTALLATION.replace("enabled: true", "enabled: false")
    gone = names(fleet.superfluous(rendering(text=closed), live))
    assert gone == [
        ("NetworkPolicy", "photos-router-0a1b2c3d"),
        ("NetworkPolicy", "photos-workers-0a1b2c3d"),
    ]


def test_a_job_that_must_be_made_again_goes_first() -> None:
    live = rendered.live_of(rendering(*FULL))
    [key] = [key for key in live if key[0] == "Job"]
    live[key]["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    assert names(fleet.superfluous(rendering(*FULL), live)) == [key]
    assert fleet.unwritten(rendering(*FULL), live) == []


# Ownership and digests.


@pytest.mark.parametrize(
    "references",
    [
        None,
        [],
        [{**objects.owner_reference(OWNER), "uid": "another"}],
        [{**objects.owner_reference(OWNER), "controller": False}],
    ],
)
def test_a_foreign_object_is_told_from_ours(references: list[Manifest] | None) -> None:
    foreign = copy.deepcopy(everything()[0])
    foreign["metadata"]["ownerReferences"] = references
    assert not objects.is_controlled_by(foreign, OWNER)


def test_a_digest_depends_on_content_only() -> None:
    assert objects.digest({"a": 1, "b": [1, 2]}) == objects.digest({"b": [1, 2], "a": 1})
    assert objects.digest({"a": 1, "b": [1, 2]}) != objects.digest({"a": 1, "b": [2, 1]})
    stamped = objects.stamp(everything()[0])
    assert objects.is_current(stamped, stamped)
    assert not objects.is_current(None, stamped)
    # An object of our name that was never rendered by us.
    assert not objects.is_current({"metadata": {"name": "x"}}, stamped)
    # A slot's rendering carries no digest: rollouts decide what is sent of it.
    slot = everything()[-1]
    assert not objects.is_current(slot, slot)


def test_the_selector_is_written_as_kubectl_takes_it() -> None:
    assert objects.selector_text(OWNER, objects.Component.WORKER) == (
        "app.kubernetes.io/component=worker,hadis.dev/cascade=photos,hadis.dev/cascade-uid=0a1b2c3d"
    )


if __name__ == "__main__":
    for golden, content in goldens():
        (GOLDEN / f"{golden}.yaml").write_text(dump(content), encoding="utf-8")
    sys.exit(0)

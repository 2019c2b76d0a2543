"""A slot's Deployment: what its pod may do, how it starts and ends, and what its author may add."""

from typing import Any

import pytest

from hadis_operator import objects
from hadis_operator.objects import Manifest
from hadis_operator.rendering import routers, services, workers
from support import rendered

DEFAULTS = """
defaults:
  worker:
    nodeSelector: {nvidia.com/gpu.product: NVIDIA-L40S}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
    runtimeClassName: nvidia
    priorityClassName: images
    resources: {limits: {nvidia.com/gpu: 1}, requests: {cpu: 4, memory: 32Gi}}
"""


def a_worker(*changes: tuple[str, Any], extra: str = "", slot: str = "w0") -> Manifest:
    return workers.render(
        rendered.an_owner(), rendered.a_spec(*changes), rendered.an_installation(extra), slot
    )


def in_template(**fields: Any) -> list[tuple[str, Any]]:
    return [(f"workers.template.{name}", value) for name, value in fields.items()]


def test_a_slot_is_one_replica_that_is_ended_before_it_is_replaced() -> None:
    deployment = a_worker(slot="w3")
    assert deployment["metadata"]["name"] == "photos-w3-0a1b2c3d"
    assert deployment["metadata"]["labels"]["hadis.dev/slot"] == "w3"
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels.items()
    assert selector["hadis.dev/slot"] == "w3"


def test_two_slots_select_different_pods_and_are_otherwise_equal() -> None:
    first, second = a_worker(slot="w0"), a_worker(slot="w1")
    other = second["spec"]["template"]["metadata"]["labels"]
    assert not first["spec"]["selector"]["matchLabels"].items() <= other.items()
    assert rendered.arguments_of(rendered.container_of(first))["--name"] == "w0"
    assert rendered.arguments_of(rendered.container_of(second))["--name"] == "w1"


def test_the_assignment_is_left_to_its_own_field_manager() -> None:
    assert objects.ASSIGNMENT_ANNOTATION not in a_worker()["metadata"]["annotations"]


def test_a_slot_has_a_name_that_outlives_its_pod() -> None:
    deployment = a_worker(slot="w3")
    pod = rendered.pod_of(deployment)
    service = services.workers(rendered.an_owner())
    # Kubernetes publishes HOSTNAME.SUBDOMAIN where a headless Service of that name selects the pod.
    assert pod["hostname"] == "w3"
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    # It is the name under which routers look.
    router = routers.render(rendered.an_owner(), rendered.a_spec(), rendered.an_installation())
    options = rendered.container_of(router)["args"]
    assert options[options.index("--worker-domain") + 1] == pod["subdomain"]
    longest = services.workers(rendered.an_owner("a" * 40))
    assert len(longest["metadata"]["name"]) <= 63


def test_the_process_is_told_its_slot_its_pod_and_its_ports() -> None:
    container = rendered.container_of(a_worker())
    assert container["command"] == ["python", "-m", "hadis_server"]
    assert rendered.arguments_of(container) == {
        "--cascade": "/etc/hadis/plan/cascade.json",
        "--name": "w0",
        "--uid": "$(POD_UID)",
        "--host": "0.0.0.0",
        "--port": "8000",
        "--control-port": "8001",
        "--metrics-port": "9090",
        "--grace-s": "62",
    }
    uid = rendered.env_of(container)["POD_UID"]
    assert uid["fieldRef"]["fieldPath"] == "metadata.uid"
    assert [(port["name"], port["containerPort"]) for port in container["ports"]] == [
        ("requests", 8000),
        ("control", 8001),
        ("metrics", 9090),
    ]


def test_the_command_line_is_one_that_the_worker_reads() -> None:
    settings = pytest.importorskip("hadis_server.settings")
    container = rendered.container_of(a_worker(("slo.latency", "1s")))
    chosen = settings.parse(list(container["args"]))
    assert (chosen.name, chosen.port, chosen.grace_s) == ("w0", 8000, 7.0)


def test_probes_wait_for_loading_then_ask_for_readiness() -> None:
    container = rendered.container_of(a_worker(*in_template(startupTimeout="90s")))
    startup, ready, alive = (
        container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")
    )
    for probe in (startup, ready, alive):
        assert probe["httpGet"]["port"] == "metrics"
    assert startup["httpGet"]["path"] == ready["httpGet"]["path"] == "/readyz"
    assert alive["httpGet"]["path"] == "/healthz"
    assert startup["periodSeconds"] * startup["failureThreshold"] == 90


def test_start_up_may_take_half_an_hour_unless_told_otherwise() -> None:
    deployment = a_worker()
    startup = rendered.container_of(deployment)["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 1800
    assert deployment["spec"]["progressDeadlineSeconds"] > 1800


@pytest.mark.parametrize(
    ("slo", "given", "want_grace_s"),
    [
        ("60s", None, 70),
        ("1s", None, 11),
        ("1500ms", None, 12),
        ("1h", None, 3610),
        ("60s", "5m", 300),
        ("60s", "500ms", 1),
        ("60s", "3s", 3),
        ("60s", "0s", 0),
    ],
)
def test_the_grace_leaves_time_for_the_hook_the_drain_and_the_last_words(
    slo: str, given: str | None, want_grace_s: int
) -> None:
    changes = [] if given is None else in_template(terminationGracePeriod=given)
    deployment = a_worker(("slo.latency", slo), *changes)
    container = rendered.container_of(deployment)
    grace_s = rendered.pod_of(deployment)["terminationGracePeriodSeconds"]
    drain_s = int(rendered.arguments_of(container)["--grace-s"])
    hook_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert grace_s == want_grace_s
    assert 0 <= hook_s + drain_s <= grace_s
    # The API server refuses a sleep of no time, and one that is as long as the grace.
    assert "lifecycle" not in container if hook_s == 0 else 0 < hook_s < grace_s
    if given is None:
        assert drain_s >= float(slo.removesuffix("s").replace("1h", "3600").replace("1500m", "1.5"))


def test_everything_that_is_written_lies_in_a_volume() -> None:
    deployment = a_worker()
    container = rendered.container_of(deployment)
    writable = {
        mount["mountPath"]: mount["name"]
        for mount in container["volumeMounts"]
        if not mount.get("readOnly")
    }
    assert set(writable) == {
        "/tmp",
        "/home/hadis",
        "/var/cache/torch",
        "/var/cache/huggingface",
        "/dev/shm",
    }
    volumes = {volume["name"]: volume for volume in rendered.pod_of(deployment)["volumes"]}
    for name in writable.values():
        assert "emptyDir" in volumes[name]
    env = rendered.env_of(container)
    assert env["HOME"] == "/home/hadis"
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "HF_HUB_CACHE"):
        assert any(env[name].startswith(f"{path}/") for path in writable), name


def test_shared_memory_has_the_size_that_was_asked_for() -> None:
    def shm(*changes: tuple[str, Any]) -> Manifest:
        pod = rendered.pod_of(a_worker(*changes))
        [volume] = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
        return dict(volume["emptyDir"])

    assert shm() == {"medium": "Memory"}
    assert shm(*in_template(sharedMemory="2Gi")) == {"medium": "Memory", "sizeLimit": "2Gi"}
    assert shm(*in_template(sharedMemory=1000000))["sizeLimit"] == "1000000"


def test_the_plan_is_mounted_as_a_folder_so_that_it_follows_changes() -> None:
    deployment = a_worker()
    [mount] = [m for m in rendered.container_of(deployment)["volumeMounts"] if m["name"] == "plan"]
    assert mount == {"name": "plan", "mountPath": "/etc/hadis/plan", "readOnly": True}
    [volume] = [v for v in rendered.pod_of(deployment)["volumes"] if v["name"] == "plan"]
    assert volume["configMap"]["name"] == "photos-plan-0a1b2c3d"


# What the installation and the author decide.


def test_the_installation_places_workers_of_whom_nothing_is_said() -> None:
    deployment = a_worker(extra=DEFAULTS)
    pod = rendered.pod_of(deployment)
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L40S"}
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["priorityClassName"] == "images"
    assert rendered.container_of(deployment)["resources"] == {
        "limits": {"nvidia.com/gpu": "1"},
        "requests": {"cpu": "4", "memory": "32Gi"},
    }


def test_the_author_goes_before_the_installation() -> None:
    deployment = a_worker(
        *in_template(
            nodeSelector={"pool": "mine"},
            tolerations=[],
            runtimeClassName="gvisor",
            priorityClassName="low",
            resources={"limits": {"nvidia.com/gpu": 2}},
            serviceAccountName="painter",
            imagePullSecrets=[{"name": "mine"}],
            affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        ),
        extra=DEFAULTS + "dataPlaneServiceAccount: nobody\nimagePullSecrets: [theirs]\n",
    )
    pod = rendered.pod_of(deployment)
    assert pod["nodeSelector"] == {"pool": "mine"}
    assert "tolerations" not in pod
    assert (pod["runtimeClassName"], pod["priorityClassName"]) == ("gvisor", "low")
    assert pod["serviceAccountName"] == "painter"
    assert pod["imagePullSecrets"] == [{"name": "mine"}]
    assert "nodeAffinity" in pod["affinity"]
    assert rendered.container_of(deployment)["resources"] == {"limits": {"nvidia.com/gpu": "2"}}


def test_without_a_word_a_pod_has_none_of_these_fields() -> None:
    pod = rendered.pod_of(a_worker())
    for name in (
        "nodeSelector",
        "tolerations",
        "affinity",
        "runtimeClassName",
        "priorityClassName",
        "serviceAccountName",
        "imagePullSecrets",
        "topologySpreadConstraints",
        "initContainers",
    ):
        assert name not in pod


def test_the_installation_names_an_account_without_rights() -> None:
    pod = rendered.pod_of(a_worker(extra="dataPlaneServiceAccount: nobody\n"))
    assert pod["serviceAccountName"] == "nobody"
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("template", "want"),
    [
        (
            {},
            {"image": "registry.example/hadis-worker:0.1.0", "imagePullPolicy": "IfNotPresent"},
        ),
        ({"image": "mine:latest"}, {"image": "mine:latest"}),
        (
            {"image": "mine:1", "imagePullPolicy": "Never"},
            {"image": "mine:1", "imagePullPolicy": "Never"},
        ),
        (
            {"imagePullPolicy": "Always"},
            {"image": "registry.example/hadis-worker:0.1.0", "imagePullPolicy": "Always"},
        ),
    ],
)
def test_the_image_is_the_authors_or_the_charts(template: Manifest, want: Manifest) -> None:
    container = rendered.container_of(a_worker(*in_template(**template)))
    assert {k: v for k, v in container.items() if k.startswith("image")} == want


def test_workers_spread_by_the_cascades_workers_unless_told_otherwise() -> None:
    plain = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    own = {**plain, "labelSelector": {"matchLabels": {"team": "a"}}}
    deployment = a_worker(*in_template(topologySpreadConstraints=[plain, own]))
    first, second = rendered.pod_of(deployment)["topologySpreadConstraints"]
    assert second == own
    selector = first["labelSelector"]["matchLabels"]
    assert {key: first[key] for key in plain} == plain
    # All slots of the cascade, not this one only.
    other = a_worker(slot="w1")["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= other.items()
    assert "hadis.dev/slot" not in selector


def test_workers_spread_as_the_chart_says_unless_their_cascade_does() -> None:
    extra = (
        "defaults: {worker: {topologySpreadConstraints: "
        "[{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}\n"
    )
    [found] = rendered.pod_of(a_worker(extra=extra))["topologySpreadConstraints"]
    [same] = rendered.pod_of(
        a_worker(
            *in_template(
                topologySpreadConstraints=[
                    {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
                ]
            )
        )
    )["topologySpreadConstraints"]
    assert found == same
    none = a_worker(*in_template(topologySpreadConstraints=[]), extra=extra)
    assert "topologySpreadConstraints" not in rendered.pod_of(none)


# Clashes.


def test_labels_of_an_author_never_replace_ours() -> None:
    deployment = a_worker(
        *in_template(
            labels={
                "team": "images",
                "app.kubernetes.io/name": "theirs",
                "app.kubernetes.io/component": "router",
                "hadis.dev/slot": "w9",
                "hadis.dev/more": "x",
            }
        )
    )
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    plain = a_worker()["spec"]["template"]["metadata"]["labels"]
    assert labels == {**plain, "team": "images"}


def test_annotations_of_an_author_never_replace_ours() -> None:
    deployment = a_worker(
        *in_template(
            annotations={
                "sidecar.istio.io/inject": "false",
                "kubectl.kubernetes.io/default-container": "sidecar",
                "hadis.dev/assignment": "{}",
            }
        )
    )
    assert deployment["spec"]["template"]["metadata"]["annotations"] == {
        "kubectl.kubernetes.io/default-container": "worker",
        "sidecar.istio.io/inject": "false",
    }
    assert "sidecar.istio.io/inject" not in deployment["metadata"]["annotations"]


def test_variables_of_an_author_never_replace_ours_and_come_after_them() -> None:
    deployment = a_worker(
        *in_template(
            env=[
                {"name": "HF_ENDPOINT", "value": "http://mirror"},
                {"name": "POD_UID", "value": "forged"},
                {"name": "HF_HUB_OFFLINE", "value": "0"},
                {"name": "TWICE", "value": "$(POD_UID)"},
            ]
        )
    )
    container = rendered.container_of(deployment)
    env = rendered.env_of(container)
    assert env["HF_ENDPOINT"] == "http://mirror"
    assert "fieldRef" in env["POD_UID"]
    assert env["HF_HUB_OFFLINE"] == "1"
    names = [entry["name"] for entry in container["env"]]
    assert names[-2:] == ["HF_ENDPOINT", "TWICE"]
    assert names.index("POD_UID") < names.index("TWICE")


def test_rendering_leaves_what_it_was_given_alone() -> None:
    spec = rendered.a_spec(*in_template(env=[{"name": "A", "value": "b"}], labels={"a": "b"}))
    before = objects.digest(spec)
    first = workers.render(rendered.an_owner(), spec, rendered.an_installation(DEFAULTS), "w0")
    first["spec"]["template"]["spec"]["containers"][0]["env"].clear()
    first["spec"]["template"]["spec"]["nodeSelector"].clear()
    second = workers.render(rendered.an_owner(), spec, rendered.an_installation(DEFAULTS), "w0")
    assert objects.digest(spec) == before
    assert rendered.container_of(second)["env"]

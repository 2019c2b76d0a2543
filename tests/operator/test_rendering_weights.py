"""Who fetches weights, into which cache, and the Job that does it once."""

import copy
import json
from typing import Any

import pytest

from hadis_operator import objects
from hadis_operator.objects import Manifest
from hadis_operator.rendering import prefetching, weights, workers
from hadis_operator.rendering.weights import Supply
from support import rendered

OWNER = rendered.an_owner()
REPOSITORY = ("models.0.source", rendered.REPOSITORY)
CLAIM = ("workers.template.modelCache", {"claimName": "cache"})
TEMPLATE = ("workers.template.modelCache", {"claimTemplate": {"storage": "200Gi"}})
EMPTY_DIR = ("workers.template.modelCache", {"emptyDir": {"sizeLimit": "80Gi"}})
OFFLINE = ("weights", "Offline")
TOKEN = "huggingFace: {tokenSecret: {name: hub, key: hf}}\n"


def supply(*changes: tuple[str, Any], extra: str = "") -> Supply:
    return weights.supply(rendered.a_spec(*changes), rendered.an_installation(extra))


def a_worker(*changes: tuple[str, Any], extra: str = "") -> Manifest:
    return workers.render(OWNER, rendered.a_spec(*changes), rendered.an_installation(extra), "w0")


def a_job(*changes: tuple[str, Any], extra: str = "") -> Manifest:
    job = prefetching.render(OWNER, rendered.a_spec(*changes), rendered.an_installation(extra))
    assert job is not None
    return job


def cache_mount(container: Manifest) -> Manifest:
    [mount] = [m for m in container["volumeMounts"] if m["mountPath"] == "/var/cache/huggingface"]
    return dict(mount)


def cache_volume(deployment: Manifest) -> Manifest:
    [volume] = [v for v in rendered.pod_of(deployment)["volumes"] if v["name"] == "models"]
    return dict(volume)


# Who fetches.


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ((), Supply.FOLDERS),
        ((CLAIM,), Supply.FOLDERS),
        ((REPOSITORY,), Supply.WORKERS),
        ((REPOSITORY, EMPTY_DIR), Supply.WORKERS),
        ((REPOSITORY, CLAIM), Supply.JOB),
        ((REPOSITORY, TEMPLATE), Supply.JOB),
        ((REPOSITORY, CLAIM, OFFLINE), Supply.CACHE),
        ((REPOSITORY, OFFLINE), Supply.CACHE),
        ((("models.0.loras", ["example/style"]), CLAIM), Supply.JOB),
        ((("models.0.loras", ["./style"]), CLAIM), Supply.FOLDERS),
        ((("models.0.source.overrides", {"vae": "example/vae"}), CLAIM), Supply.JOB),
        ((("models.0.source.overrides", {"vae": "/weights/vae"}), CLAIM), Supply.FOLDERS),
        (
            (
                (
                    "models.0.source.overrides",
                    {"scheduler": "DDIMScheduler", "scheduler.steps": "1"},
                ),
                CLAIM,
            ),
            Supply.FOLDERS,
        ),
        (
            (("discriminator", {"source": {"repository": "a/judge"}, "kind": "clip"}), CLAIM),
            Supply.JOB,
        ),
    ],
)
def test_who_brings_the_weights(changes: tuple[tuple[str, Any], ...], want: Supply) -> None:
    assert supply(*changes) is want


def test_the_installation_may_forbid_fetching() -> None:
    assert supply(REPOSITORY, CLAIM, extra="huggingFace: {offline: true}\n") is Supply.CACHE


def test_a_claim_for_one_pod_only_leaves_the_fetching_to_its_worker() -> None:
    one = {"claimTemplate": {"storage": "1Gi", "accessModes": ["ReadWriteOncePod"]}}
    changes = [REPOSITORY, ("workers.count", 1), ("workers.template.modelCache", one)]
    assert supply(*changes) is Supply.WORKERS
    container = rendered.container_of(a_worker(*changes))
    assert "readOnly" not in cache_mount(container)
    one["claimTemplate"]["accessModes"] = ["ReadWriteOnce"]
    assert supply(*changes) is Supply.JOB


# The cache.


def test_without_a_word_the_cache_goes_with_the_pod() -> None:
    assert cache_volume(a_worker(REPOSITORY)) == {"name": "models", "emptyDir": {}}
    assert cache_volume(a_worker(REPOSITORY, EMPTY_DIR))["emptyDir"] == {"sizeLimit": "80Gi"}


@pytest.mark.parametrize(
    ("cache", "want_claim"), [(CLAIM, "cache"), (TEMPLATE, "photos-models-0a1b2c3d")]
)
def test_all_workers_mount_the_claim_and_only_read_it(
    cache: tuple[str, Any], want_claim: str
) -> None:
    deployment = a_worker(REPOSITORY, cache)
    assert cache_volume(deployment)["persistentVolumeClaim"] == {"claimName": want_claim}
    assert cache_mount(rendered.container_of(deployment))["readOnly"] is True


def test_a_claim_template_makes_one_claim_for_the_cascade() -> None:
    spec = rendered.a_spec(
        (
            "workers.template.modelCache",
            {"claimTemplate": {"storage": 1000, "storageClassName": "fast"}},
        )
    )
    claim = weights.claim(OWNER, spec)
    assert claim is not None
    assert claim["metadata"]["name"] == "photos-models-0a1b2c3d"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "1000"}},
        "storageClassName": "fast",
    }
    plain = weights.claim(OWNER, rendered.a_spec(TEMPLATE))
    assert plain is not None
    assert "storageClassName" not in plain["spec"]


@pytest.mark.parametrize("changes", [(), (CLAIM,), (EMPTY_DIR,)])
def test_nobody_elses_claim_is_made(changes: tuple[tuple[str, Any], ...]) -> None:
    assert weights.claim(OWNER, rendered.a_spec(*changes)) is None


def test_only_a_pod_that_fetches_goes_online_with_the_token() -> None:
    env = rendered.env_of(rendered.container_of(a_worker(REPOSITORY, extra=TOKEN)))
    assert env["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "hf", "optional": True}}
    assert "HF_HUB_OFFLINE" not in env
    for changes in ([], [REPOSITORY, CLAIM], [REPOSITORY, OFFLINE]):
        env = rendered.env_of(rendered.container_of(a_worker(*changes, extra=TOKEN)))
        assert "HF_TOKEN" not in env
        assert env["HF_HUB_OFFLINE"] == env["TRANSFORMERS_OFFLINE"] == "1"
    assert "HF_TOKEN" not in rendered.env_of(rendered.container_of(a_worker(REPOSITORY)))


# Waiting for the Job.


def test_workers_wait_for_the_marker_that_the_plan_names() -> None:
    deployment = a_worker(REPOSITORY, CLAIM, ("workers.template.image", "mine:1"))
    [waiting] = rendered.pod_of(deployment)["initContainers"]
    assert waiting["image"] == "mine:1"
    shell, option, script = waiting["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    assert script.startswith("trap 'exit 143' TERM;")
    assert "/var/cache/huggingface/.hadis/$(cat /etc/hadis/plan/models.hash)" in script
    assert all(mount["readOnly"] for mount in waiting["volumeMounts"])


def test_waiting_asks_for_no_gpu_and_keeps_the_quality_of_service() -> None:
    amounts = {"cpu": 4, "memory": "32Gi"}
    resources = {"requests": amounts, "limits": {**amounts, "nvidia.com/gpu": 1}}
    deployment = a_worker(REPOSITORY, CLAIM, ("workers.template.resources", resources))
    [waiting] = rendered.pod_of(deployment)["initContainers"]
    want = {"cpu": "4", "memory": "32Gi"}
    assert waiting["resources"] == {"requests": want, "limits": want}
    gpu_only = ("workers.template.resources", {"limits": {"nvidia.com/gpu": 1}})
    [waiting] = rendered.pod_of(a_worker(REPOSITORY, CLAIM, gpu_only))["initContainers"]
    assert waiting["resources"] == {}


@pytest.mark.parametrize("changes", [(), (CLAIM,), (REPOSITORY,), (REPOSITORY, CLAIM, OFFLINE)])
def test_nobody_waits_for_a_job_that_is_not_there(changes: tuple[tuple[str, Any], ...]) -> None:
    assert "initContainers" not in rendered.pod_of(a_worker(*changes))
    spec, installation = rendered.a_spec(*changes), rendered.an_installation()
    assert prefetching.render(OWNER, spec, installation) is None


# The Job.


def test_the_job_fetches_into_the_claim_and_leaves_a_marker() -> None:
    job = a_job(REPOSITORY, CLAIM, extra=TOKEN)
    models_hash = weights.models_hash(rendered.a_spec(REPOSITORY, CLAIM))
    assert job["metadata"]["name"] == f"photos-fetch-{models_hash}-0a1b2c3d"
    container = rendered.container_of(job)
    assert container["command"] == ["python", "-m", "hadis_server.prefetching"]
    options = rendered.arguments_of(container)
    assert options["--marker"] == f"/var/cache/huggingface/.hadis/{models_hash}"
    assert json.loads(options["--sources"]) == {
        "models": [{"source": rendered.REPOSITORY, "dtype": "float32"}]
    }
    assert "readOnly" not in cache_mount(container)
    env = rendered.env_of(container)
    assert "HF_HUB_OFFLINE" not in env
    assert env["HF_TOKEN"]["secretKeyRef"]["name"] == "hub"
    assert env["HF_HUB_CACHE"] == "/var/cache/huggingface/hub"


def test_the_job_is_tried_again_until_people_have_mended_what_is_wrong() -> None:
    job = a_job(REPOSITORY, CLAIM)
    assert job["spec"]["backoffLimit"] > 1000
    assert rendered.pod_of(job)["restartPolicy"] == "OnFailure"
    # A Job that its time to live removed would be made again, and again.
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert "activeDeadlineSeconds" not in job["spec"]


def test_what_looks_like_a_variable_in_a_source_stays_as_it_is() -> None:
    job = a_job(REPOSITORY, ("models.0.source.overrides", {"vae": "x/$(HOME)"}), CLAIM)
    sources = rendered.arguments_of(rendered.container_of(job))["--sources"]
    assert "x/$$(HOME)" in sources


def test_the_job_runs_where_workers_may_and_beside_them_if_it_can() -> None:
    own: Manifest = {
        "nodeSelector": {"pool": "gpu"},
        "affinity": {
            "nodeAffinity": {"a": 1},
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}],
            },
        },
        "modelCache": {"claimName": "cache"},
        "runtimeClassName": "nvidia",
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "env": [{"name": "HF_ENDPOINT", "value": "http://mirror"}],
        "labels": {"team": "a"},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
        ],
    }
    before = copy.deepcopy(own)
    job = a_job(REPOSITORY, ("workers.template", own))
    pod = rendered.pod_of(job)
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["affinity"]["nodeAffinity"] == {"a": 1}
    first, beside = pod["affinity"]["podAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert first == {"weight": 1}
    term = beside["podAffinityTerm"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    worker = a_worker()["spec"]["template"]["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"].items() <= worker.items()
    container = rendered.container_of(job)
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert "runtimeClassName" not in pod
    assert rendered.env_of(container)["HF_ENDPOINT"] == "http://mirror"
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "a"
    assert labels["app.kubernetes.io/component"] == "fetcher"
    # The author's own affinity is not changed by rendering it.
    assert own == before


def test_pods_that_fetch_are_no_workers() -> None:
    job = a_job(REPOSITORY, CLAIM)
    labels = job["spec"]["template"]["metadata"]["labels"]
    worker = objects.selector(OWNER, objects.Component.WORKER)
    assert not worker.items() <= labels.items()
    assert "hadis.dev/slot" not in labels


# The name of a set of models.


def models_hash(*changes: tuple[str, Any]) -> str:
    return weights.models_hash(rendered.a_spec(REPOSITORY, CLAIM, *changes))


@pytest.mark.parametrize(
    "change",
    [
        ("models.0.steps", 50),
        ("models.0.guidance", 7),
        ("models.0.size", "1024x1024"),
        ("models.0.name", "renamed"),
        ("slo.latency", "5s"),
        ("workers.template.image", "mine:2"),
        ("workers.count", 4),
    ],
)
def test_the_same_files_have_the_same_name(change: tuple[str, Any]) -> None:
    assert models_hash(change) == models_hash()


@pytest.mark.parametrize(
    "change",
    [
        ("models.0.source", {"repository": "example/large", "revision": "main"}),
        ("models.0.source.overrides", {"vae": "example/vae"}),
        ("models.0.loras", ["example/style"]),
        ("models.0.pipeline", "FluxPipeline"),
        ("models.0.dtype", "bfloat16"),
        ("discriminator", {"source": {"repository": "a/judge"}, "kind": "clip"}),
    ],
)
def test_other_files_have_another_name(change: tuple[str, Any]) -> None:
    assert models_hash(change) != models_hash()


def test_neither_order_nor_variants_of_the_same_files_matter() -> None:
    small = {**rendered.SMALL, "name": "a", "source": {"repository": "example/small"}}
    large = {**rendered.SMALL, "name": "b", "source": {"repository": "example/large"}}
    profile = ("profile", {"name": "photos"})
    one = models_hash(("models", [small, large]), profile)
    assert models_hash(("models", [large, small]), profile) == one
    fast = {**large, "name": "c", "steps": 1}
    assert models_hash(("models", [small, large, fast]), profile) == one


# A Job that exists.


def ended(job: Manifest, how: str | None) -> Manifest:
    live = copy.deepcopy(job)
    live["status"] = {} if how is None else {"conditions": [{"type": how, "status": "True"}]}
    return live


def test_a_job_at_work_or_done_is_left_alone() -> None:
    job = a_job(REPOSITORY, CLAIM)
    changed = a_job(REPOSITORY, CLAIM, ("workers.template.image", "mine:2"))
    assert not prefetching.must_be_replaced(ended(job, None), job)
    assert not prefetching.must_be_replaced(ended(job, "Complete"), job)
    assert not prefetching.must_be_replaced(ended(job, "Complete"), changed)


def test_a_job_that_failed_or_works_by_an_older_word_is_made_again() -> None:
    job = a_job(REPOSITORY, CLAIM)
    changed = a_job(REPOSITORY, CLAIM, ("workers.template.image", "mine:2"))
    assert changed["metadata"]["name"] == job["metadata"]["name"]
    assert prefetching.must_be_replaced(ended(job, "Failed"), job)
    assert prefetching.must_be_replaced(ended(job, None), changed)
    suspended = ended(job, None)
    suspended["status"]["conditions"] = [{"type": "Complete", "status": "False"}]
    assert not prefetching.is_complete(suspended)
    assert prefetching.is_complete(ended(job, "Complete"))
    assert not prefetching.is_complete(None)

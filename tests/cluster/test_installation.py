"""From nothing to images: chart, cascade, and the endpoint as its clients use it."""

import json
import time
from datetime import datetime
from pathlib import Path

import openai
import pytest

from cluster.lab.cascades import Cascade, pod_ready
from cluster.lab.clusters import Cluster
from cluster.lab.commands import Told
from cluster.lab.figures import Figures
from cluster.lab.releases import Release
from cluster.lab.waiting import until
from hadis_operator import kube
from support import openai_tour
from support.commands import hadis
from support.images import pixels
from support.scenes_fleet import held_out_prompts

INSTALLED_S = 30.0
BESIDE_LOADING_S = 5.0
WARNINGS = ("would violate", "Warning:", "warnings.go")


def _assert_no_warning(told: Told) -> None:
    assert not [word for word in WARNINGS if word in told.text + told.aside], told.aside


def test_the_chart_is_there_in_time_and_without_a_warning(
    installed: Release, figures: Figures
) -> None:
    _assert_no_warning(installed.told)
    figures.within("chart installed and Ready", installed.took_s, INSTALLED_S)
    assert installed.leader()


def test_helm_test_passes(installed: Release) -> None:
    assert "Succeeded" in installed.test()


@pytest.fixture(scope="module")
def ready_after_s(installed: Release, applied: Told) -> float:
    """Seconds from applying the cascade to its condition Ready."""
    cascade = Cascade(installed.cluster, "images")
    began_s = time.monotonic()
    until("the cascade is Ready", lambda: cascade.condition("Ready").get("status") == "True", 180)
    return time.monotonic() - began_s


def test_a_cascade_is_ready_as_soon_as_its_models_are_loaded(
    ready_after_s: float, applied: Told, scenes: Cascade, figures: Figures
) -> None:
    _assert_no_warning(applied)
    # The operator asks the workers themselves; kubelets tell it a moment later.
    until("pods are ready", lambda: all(map(pod_ready, scenes.workers().values())), 30)
    load_s = min(_loaded_s(scenes, slot) for slot in scenes.workers())
    figures.note("model load: container start to loaded and warm", load_s)
    figures.note("apply to Ready", ready_after_s)
    figures.within(
        "apply to Ready, beside the model load", ready_after_s - load_s, BESIDE_LOADING_S
    )
    assert scenes.status["endpoint"] == "http://scenes.images.svc/v1"


def _loaded_s(cascade: Cascade, slot: str) -> float:
    """Seconds from a container's start until its pod counted as ready, in whole seconds."""
    status = cascade.workers()[slot]["status"]
    started = status["containerStatuses"][0]["state"]["running"]["startedAt"]
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    stamps = [datetime.fromisoformat(text) for text in (started, ready["lastTransitionTime"])]
    return (stamps[1] - stamps[0]).total_seconds()


def test_nothing_that_was_made_offends_restricted_pod_security(
    scenes: Cascade, installed: Release
) -> None:
    cluster = installed.cluster
    for namespace in (scenes.namespace, installed.namespace):
        # Labels are tried against the pods that run, without being written.
        level = "pod-security.kubernetes.io/enforce=restricted"
        arguments = ("label", "--overwrite", "--dry-run=server", f"namespace/{namespace}", level)
        _assert_no_warning(cluster.kubectl(*arguments))
        for kind in (kube.DEPLOYMENTS, kube.JOBS):
            for live in cluster.api.listed(kind, namespace):
                _assert_no_warning(_applied_again(cluster, live))


def _applied_again(cluster: Cluster, live: dict[str, object]) -> Told:
    """Create an object's twin without writing it: warnings are told about its pod template."""
    metadata = live["metadata"]
    assert isinstance(metadata, dict)
    twin = {
        **{key: value for key, value in live.items() if key != "status"},
        "metadata": {"name": f"{metadata['name'][:50]}-twin", "namespace": metadata["namespace"]},
    }
    return cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(twin))


def test_the_official_client_gets_images_through_the_service(scenes: Cascade) -> None:
    told = openai_tour.tour(f"{scenes.url}/v1")
    assert told["models"][0] == "scenes"
    assert pixels(told["plain"]["b64_json"]).shape == (64, 64, 3)
    assert told["plain"]["hadis"]["plan_version"] >= 1
    assert told["events"][-1] == "image_generation.completed"
    assert {mistake["status"] for mistake in told["mistakes"]} == {400, 404}
    with openai.OpenAI(base_url=f"{scenes.url}/v1", api_key="none", max_retries=0) as client:
        drawn = client.images.generate(prompt="three blue squares", n=2)
    assert len(drawn.data or []) == 2


def test_hadis_bench_measures_the_endpoint(
    scenes: Cascade, tmp_path: Path, figures: Figures
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(held_out_prompts()[:50]), encoding="utf-8")
    ran = hadis(
        *("bench", "--url", scenes.url, "--prompts", str(prompts), "--json"),
        *("--rate", "0.5", "--duration", "12", "--slo", "10"),
    )
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout)
    assert summary["requests"] > 0
    assert summary["slo_violation_ratio"] == 0
    figures.note("mean latency at 0.5 images a second", summary["mean_latency_s"])


def test_the_specs_hold_where_kubelets_are_slower(scenes: Cascade) -> None:
    """A test cluster probes, evicts and backs off sooner than others: nothing may count on it."""
    slo_s = 10
    worker, router = next(iter(scenes.workers().values())), scenes.routers()[0]
    for pod in (worker, router):
        container = pod["spec"]["containers"][0]
        pause_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        # What was accepted with the last second before the end still has its whole deadline.
        assert pod["spec"]["terminationGracePeriodSeconds"] >= pause_s + slo_s
        assert _patience_s(container["livenessProbe"]) >= 60
        assert _patience_s(container["readinessProbe"]) <= 10
    assert _patience_s(worker["spec"]["containers"][0]["startupProbe"]) >= 1800
    assert _patience_s(router["spec"]["containers"][0]["startupProbe"]) >= 120
    for slot in scenes.slots().values():
        assert slot["spec"]["strategy"] == {"type": "Recreate"}


def _patience_s(probe: dict[str, int]) -> int:
    return probe["periodSeconds"] * probe["failureThreshold"]

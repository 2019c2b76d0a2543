"""Models from a repository into a claim: one Job fetches them, once, and workers only read them.

The hub is a real HTTP server on this machine, and the claim a folder of it, which all nodes see.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from cluster.lab.cascades import NO_GPU, Cascade
from cluster.lab.clusters import Cluster, Manifest
from cluster.lab.figures import Figures
from cluster.lab.releases import HUB_SECRET, HUB_SECRET_KEY, Release
from cluster.lab.waiting import NotYet, until
from hadis_operator import kube
from support.images import pixels
from support.pretended_hub import TOKEN, PretendedHub

NAMESPACE = "fetching"
REPOSITORY = "example/tiny"
VOLUME, CLAIM = "hadis-fetching", "cache"
TOLD_S = 120.0
FETCHED_S = 120.0


@dataclass(frozen=True, slots=True)
class Fetching:
    """A cascade whose one model is in a gated repository."""

    cascade: Cascade
    hub: PretendedHub
    folder: Path


@pytest.fixture(scope="module")
def fetching(installed: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetching]:
    cluster = installed.cluster
    if not cluster.access.shares_files:
        pytest.skip("the nodes do not see this machine's folders")
    from support import tiny_pipelines  # only here, because it brings torch along

    weights = tiny_pipelines.save_stable_diffusion(tmp_path_factory.mktemp("weights") / "tiny")
    folder = tmp_path_factory.mktemp("claim")
    _open_to_pods(folder)
    cluster.make_namespace(NAMESPACE)
    try:
        cluster.apply(*_volume(folder), namespace=NAMESPACE)
        with PretendedHub(host=cluster.host) as hub:
            hub.add(REPOSITORY, weights, gated=True)
            cascade = Cascade(cluster, NAMESPACE, "tiny")
            cascade.apply(_cascade(hub.url))
            yield Fetching(cascade, hub, folder)
    finally:
        for kind, name in (("namespace", NAMESPACE), ("persistentvolume", VOLUME)):
            cluster.kubectl("delete", kind, name, "--wait=false", "--ignore-not-found")


def _open_to_pods(folder: Path) -> None:
    """Let the pods' user through to the folder; a claim of a real class comes with its group."""
    folder.chmod(0o777)
    for parent in folder.parents[:4]:
        parent.chmod(parent.stat().st_mode | 0o011)


def _volume(folder: Path) -> list[Manifest]:
    common = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": VOLUME},
        "spec": {
            **common,
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": str(folder), "type": "Directory"},
            "claimRef": {"namespace": NAMESPACE, "name": CLAIM},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM},
        "spec": {
            **common,
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": VOLUME,
        },
    }
    return [volume, claim]


def _cascade(hub: str) -> Manifest:
    return {
        "apiVersion": "hadis.dev/v1alpha1",
        "kind": "HadisCascade",
        "metadata": {"name": "tiny"},
        "spec": {
            "slo": {"latency": "30s"},
            "models": [
                {
                    "name": "tiny",
                    "source": {"repository": REPOSITORY},
                    "steps": 2,
                    "size": "32x32",
                }
            ],
            "stages": {"discriminator": "Disabled"},
            "workers": {
                "count": 2,
                "template": {
                    "resources": NO_GPU,
                    "env": [{"name": "HF_ENDPOINT", "value": hub}],
                    "modelCache": {"claimName": CLAIM},
                },
            },
        },
    }


def test_a_gated_model_without_a_token_is_told_with_the_fix(fetching: Fetching) -> None:
    cascade = fetching.cascade

    def told() -> bool:
        condition = cascade.condition("ModelsAvailable")
        if condition.get("reason") != "Gated":
            raise NotYet(str(cascade.status.get("conditions")))
        return True

    until("the condition tells that the model is gated", told, TOLD_S)
    condition = cascade.condition("ModelsAvailable")
    assert condition["status"] == "False"
    assert REPOSITORY in condition["message"]
    assert "huggingFace.tokenSecret" in condition["message"]
    assert cascade.condition("Ready")["status"] == "False"
    assert fetching.hub.downloads() == []


def test_with_a_token_each_file_is_fetched_once_and_workers_read_it(
    fetching: Fetching, figures: Figures, cluster: Cluster
) -> None:
    cascade = fetching.cascade
    cluster.kubectl(
        *("create", "secret", "generic", HUB_SECRET, "-n", NAMESPACE),
        f"--from-literal={HUB_SECRET_KEY}={TOKEN}",
    )
    until(
        "the models are there",
        lambda: cascade.reason("ModelsAvailable") == "Cached",
        FETCHED_S,
    )
    cascade.wait_ready(2)
    fetched = fetching.hub.downloads()
    assert len(fetched) == len(set(fetched)) > 3
    jobs = cluster.api.listed(kube.JOBS, NAMESPACE, "hadis.dev/cascade=tiny")
    assert [job["status"].get("succeeded") for job in jobs] == [1]
    assert len(list((fetching.folder / ".hadis").iterdir())) >= 1
    with openai.OpenAI(base_url=f"{cascade.url}/v1", api_key="none") as client:
        drawn = client.images.generate(prompt="a red circle")
    assert pixels((drawn.data or [])[0].b64_json or "").shape == (32, 32, 3)
    asked = len(fetching.hub.asked)
    # A worker made anew finds everything in the claim, and asks nobody.
    worker = cascade.workers()["w0"]
    cluster.kubectl("delete", "pod", worker["metadata"]["name"], "-n", NAMESPACE)
    cascade.wait_ready(2)
    assert len(fetching.hub.asked) == asked

"""Who may do what: rights by a golden file, the network by trying, tokens by their absence."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster.lab.cascades import Cascade
from cluster.lab.clusters import Cluster, Manifest
from cluster.lab.commands import Refused
from cluster.lab.images import reference
from cluster.lab.releases import Release
from cluster.lab.waiting import until
from hadis_operator import kube

GOLDEN = Path(__file__).parent / "rights.golden.yaml"
ROW = re.compile(r"^(\S*)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]$")
STRANGERS = "strangers"
TRY = """
import sys, urllib.request
method, url = sys.argv[1:]
body = b"{}" if method == "PUT" else None
request = urllib.request.Request(url, data=body, method=method)
try:
    print(urllib.request.urlopen(request, timeout=3).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print("unreachable")
"""


def _rights(cluster: Cluster, account: str, namespace: str) -> set[str]:
    """Return the rows of `kubectl auth can-i --list`, each as one line."""
    told = cluster.kubectl("auth", "can-i", "--list", f"--as={account}", "-n", namespace)
    rows = [ROW.match(line.rstrip()) for line in told.text.splitlines()[1:]]
    assert all(rows), told.text
    return {
        " ".join(
            [
                row[1] or row[2],
                *([f"named {row[3]}"] if row[3] else []),
                "/".join(sorted(row[4].split())),
            ]
        )
        for row in rows
        if row
    }


def test_rights_equal_the_golden_file(scenes: Cascade, installed: Release) -> None:
    """Each account's rights in each namespace, beyond those that every account has."""
    cluster = installed.cluster
    cluster.make_namespace(STRANGERS)
    nobody = f"system:serviceaccount:{STRANGERS}:default"
    accounts = {
        "operator": f"system:serviceaccount:{installed.namespace}:hadis",
        "data plane": f"system:serviceaccount:{scenes.namespace}:default",
        "beside the operator": f"system:serviceaccount:{installed.namespace}:default",
    }
    places = {
        "where cascades are": scenes.namespace,
        "where the operator is": installed.namespace,
    }
    found = {
        f"{who} {where}": sorted(
            _rights(cluster, account, namespace) - _rights(cluster, nobody, namespace)
        )
        for who, account in accounts.items()
        for where, namespace in places.items()
    }
    assert found == yaml.safe_load(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def strangers(scenes: Cascade) -> Iterator[dict[str, Manifest]]:
    """A pod that is nobody's, in the cascade's namespace and in another one."""
    cluster = scenes.cluster
    cluster.make_namespace(STRANGERS)
    places = (STRANGERS, scenes.namespace)
    for namespace in places:
        cluster.apply(_stranger(namespace))

    def running() -> dict[str, Manifest]:
        pods = {
            namespace: cluster.api.get(kube.PODS, namespace, "stranger") for namespace in places
        }
        ready = {
            name: pod for name, pod in pods.items() if pod and pod["status"]["phase"] == "Running"
        }
        return ready if len(ready) == len(places) else {}

    yield until("strangers are there", running, 60)
    for namespace in places:
        cluster.kubectl("delete", "pod", "stranger", "-n", namespace, "--wait=false")


def _stranger(namespace: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger", "namespace": namespace, "labels": {"app": "stranger"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "stranger",
                    "image": reference("operator"),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", "import time; time.sleep(1e9)"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def _tries(cluster: Cluster, stranger: Manifest, method: str, url: str) -> str:
    metadata = stranger["metadata"]
    return cluster.kubectl(
        *("exec", "-n", metadata["namespace"], metadata["name"], "--"),
        *("python", "-c", TRY, method, url),
    ).text.strip()


def test_a_foreign_pod_cannot_steer_workers_or_routers(
    scenes: Cascade, strangers: dict[str, Manifest]
) -> None:
    worker, router = next(iter(scenes.workers().values())), scenes.routers()[0]
    at_worker, at_router = (f"http://{pod['status']['podIP']}" for pod in (worker, router))
    for stranger in strangers.values():
        tried = {
            (method, url): _tries(scenes.cluster, stranger, method, url)
            for method, url in (
                ("PUT", f"{at_worker}:8001/assignment"),
                ("PUT", f"{at_worker}:8001/cascade"),
                ("PUT", f"{at_router}:8001/routing"),
                ("GET", f"{at_worker}:8000/healthz"),
                ("GET", f"{at_worker}:9090/metrics"),
                ("GET", f"{at_router}:9090/metrics"),
            )
        }
        assert set(tried.values()) == {"unreachable"}, tried
        # It is not that the stranger reaches nothing at all: requests are open to everyone.
        assert _tries(scenes.cluster, stranger, "GET", f"{at_router}:8000/v1/models") == "200"


def test_pods_of_the_data_plane_carry_no_api_token(scenes: Cascade) -> None:
    pods = scenes.pods()
    assert {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods} == {
        "router", "worker",
    }  # fmt: skip
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        projected = [volume for volume in pod["spec"]["volumes"] if "projected" in volume]
        assert projected == []
        with pytest.raises(Refused, match="No such file"):
            scenes.cluster.kubectl(
                *("exec", "-n", scenes.namespace, pod["metadata"]["name"], "--"),
                *("ls", "/var/run/secrets/kubernetes.io"),
            )

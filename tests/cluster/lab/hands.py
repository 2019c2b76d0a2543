"""Hands on the nodes that kill processes of pods, as a kernel or a careless person would.

A container's first process ignores every signal that it has not asked for, SIGKILL included, when
it comes from inside; so the hands are pods that see the processes of their whole node.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cluster.lab.clusters import Cluster, Manifest
from cluster.lab.images import reference
from cluster.lab.waiting import until
from hadis_operator import kube

NAMESPACE = "hadis-hands"
LABELS = {"app": "hands"}
POISED = """
print("poised", flush=True)
input()
"""
KILL = """
import os, signal, sys
from pathlib import Path
wanted = {word.encode() for word in sys.argv[1:]}
killed = 0
for folder in Path("/proc").glob("[0-9]*"):
    try:
        if wanted & set((folder / "environ").read_bytes().split(b"\\0")):
            os.kill(int(folder.name), signal.SIGKILL)
            killed += 1
    except OSError:
        pass
sys.exit(0 if killed else f"no process of {sys.argv[1]} runs here")
"""


class Hands:
    """One on each node. Make them with `reach_in`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def reach_in(self) -> None:
        """Put a hand on each node, and wait for all of them."""
        self._cluster.make_namespace(NAMESPACE, security="privileged")
        self._cluster.apply(_manifest())
        nodes = set(self._cluster.nodes())
        until("a hand on each node", lambda: nodes <= set(self._on_nodes()), 60)

    def kill(self, pod: Manifest) -> None:
        """Kill all processes of a pod at once; its containers start anew in the same pod."""
        self._cluster.kubectl("exec", *self._blow(pod, KILL))

    @contextmanager
    def poised(self, pod: Manifest) -> Iterator[Callable[[], None]]:
        """Yield what kills all processes of a pod within milliseconds of being called."""
        program = str(self._cluster.access.program("kubectl"))
        hand = subprocess.Popen(
            [program, "exec", "-i", *self._blow(pod, POISED + KILL)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(self._cluster.access.environment),
        )

        def strike() -> None:
            hand.communicate(b"now\n", timeout=30)
            assert hand.returncode == 0, f"the hand ended with {hand.returncode}"

        try:
            assert hand.stdout is not None
            assert hand.stdout.readline() == b"poised\n"
            yield strike
        finally:
            hand.kill()
            hand.wait()

    def _blow(self, pod: Manifest, program: str) -> list[str]:
        hand = self._on_nodes()[pod["spec"]["nodeName"]]
        # Every container of ours is told its pod's name or UID.
        told = [f"POD_{key.upper()}={pod['metadata'][key]}" for key in ("name", "uid")]
        return ["-n", NAMESPACE, hand, "--", "python", "-c", program, *told]

    def _on_nodes(self) -> dict[str, str]:
        pods = self._cluster.api.listed(kube.PODS, NAMESPACE, "app=hands")
        return {
            pod["spec"]["nodeName"]: pod["metadata"]["name"]
            for pod in pods
            if pod["status"].get("phase") == "Running"
        }


def _manifest() -> Manifest:
    container = {
        "name": "hand",
        "image": reference("operator"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", "import time; time.sleep(1e9)"],
        "securityContext": {"privileged": True, "runAsUser": 0, "runAsNonRoot": False},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "hands", "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "hostPID": True,
                    "terminationGracePeriodSeconds": 0,
                    "automountServiceAccountToken": False,
                    "containers": [container],
                },
            },
        },
    }

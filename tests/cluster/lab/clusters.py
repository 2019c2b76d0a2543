"""The cluster that tests run in, whoever made it.

KUBECONFIG
    the cluster to use; without it one is made for the tests: `cluster.lab.testcluster`
HADIS_CLUSTER_LOAD
    command that hands image archives, its further arguments, to every node
HADIS_CLUSTER_FAULT
    command that takes `stop PART` and `start PART`, where a part is kube-apiserver, etcd or a
    node's name, which is then cut off; without it such tests are skipped
HADIS_CLUSTER_BUILD
    command that takes `-t TAG -o ARCHIVE -f DOCKERFILE FOLDER`
HADIS_CLUSTER_FULL
    not empty: scenarios last as long as for the figures
HADIS_CLUSTER_FIGURES
    file for the figures, as JSON

The tests reach pods and Services by address and let Prometheus run beside them, so they must run on
a machine of the cluster's network, as root where it is made for them.
"""

import os
import shlex
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from cluster.lab import commands
from cluster.lab.api import Api
from cluster.lab.commands import Told
from hadis_operator import kube

Manifest = dict[str, Any]
NODES = kube.Kind("", "v1", "Node", "nodes")


@dataclass(frozen=True, slots=True)
class Access:
    """How a cluster is reached and harmed. `load` and `fault` are commands to be continued.

    `shares_files` tells whether its nodes see the folders of this machine.
    """

    environment: Mapping[str, str]
    load: tuple[str, ...]
    fault: tuple[str, ...] | None = None
    shares_files: bool = False

    @classmethod
    def given(cls) -> Self | None:
        """Return the access to the cluster of KUBECONFIG; None without one."""
        told = os.environ
        if not told.get("KUBECONFIG"):
            return None
        # Inside `testcluster run` both commands are there without being told.
        inside = "TESTCLUSTER" in told
        load = told.get("HADIS_CLUSTER_LOAD") or ("testcluster load" if inside else "")
        fault = told.get("HADIS_CLUSTER_FAULT") or ("testcluster" if inside else "")
        commands_given = tuple(shlex.split(load)), tuple(shlex.split(fault)) or None
        return cls(dict(told), *commands_given, shares_files=inside)

    def lacking(self) -> str | None:
        """Return why this access will not do; None when it will."""
        if not self.load:
            return "HADIS_CLUSTER_LOAD does not say how nodes get images"
        missing = [name for name in ("kubectl", "helm") if self.program(name) is None]
        return f"{' and '.join(missing)} missing" if missing else None

    def program(self, name: str) -> str | None:
        """Return where a program is, by the PATH that belongs to the cluster."""
        return shutil.which(name, path=self.environment.get("PATH"))


class Cluster:
    """A running cluster: what people do with kubectl and helm, what tests read, and faults."""

    def __init__(self, access: Access, api: Api) -> None:
        self.access = access
        self.api = api
        self.host = _address_towards(access)

    @classmethod
    @contextmanager
    def open(cls, access: Access) -> Iterator[Self]:
        """Talk to a cluster for a while."""
        kubectl = access.program("kubectl")
        assert kubectl is not None
        with Api.through_proxy(kubectl, access.environment) as api:
            yield cls(access, api)

    # What people do.

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = 120.0) -> Told:
        """Run kubectl. Raises Refused with its words."""
        return self._run("kubectl", arguments, stdin=stdin, timeout_s=timeout_s)

    def helm(self, *arguments: str, stdin: str | None = None, timeout_s: float = 300.0) -> Told:
        """Run helm. Raises Refused with its words."""
        return self._run("helm", arguments, stdin=stdin, timeout_s=timeout_s)

    def apply(self, *manifests: Manifest, namespace: str | None = None) -> Told:
        """Apply manifests as `kubectl apply -f` does."""
        where = ["--namespace", namespace] if namespace else []
        return self.kubectl("apply", "-f", "-", *where, stdin=yaml.safe_dump_all(manifests))

    def make_namespace(self, name: str, *, security: str = "restricted") -> None:
        """Make a namespace that enforces a pod security standard, and warns of less."""
        modes = ("enforce", "warn", "audit")
        labels = {f"pod-security.kubernetes.io/{mode}": security for mode in modes}
        metadata = {"name": name, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def load(self, archives: Iterable[Path]) -> None:
        """Give every node the images of some archives."""
        command = [*self.access.load, *map(str, archives)]
        commands.run(command, environment=self.access.environment, timeout_s=900)

    # What befalls them.

    @property
    def can_fail(self) -> bool:
        """Whether parts of the cluster can be stopped."""
        return self.access.fault is not None

    def stop(self, part: str) -> None:
        """Kill a part of the control plane, or cut a node off."""
        self._fault("stop", part)

    def start(self, part: str) -> None:
        """Bring a part back."""
        self._fault("start", part)

    # What there is.

    def nodes(self) -> dict[str, Manifest]:
        """Return the nodes that take pods, by name."""
        found = self.api.listed(NODES)
        return {
            node["metadata"]["name"]: node
            for node in found
            if not node["spec"].get("unschedulable") and not node["spec"].get("taints")
        }

    def _fault(self, verb: str, part: str) -> None:
        assert self.access.fault is not None
        commands.run([*self.access.fault, verb, part], environment=self.access.environment)

    def _run(
        self, name: str, arguments: Iterable[str], *, stdin: str | None, timeout_s: float
    ) -> Told:
        program = self.access.program(name)
        assert program is not None, name
        return commands.run(
            [program, *arguments],
            environment=self.access.environment,
            stdin=stdin,
            timeout_s=timeout_s,
        )


def _address_towards(access: Access) -> str:
    """Return this machine's address as the cluster sees it: the one towards the API server."""
    told = commands.run(
        [str(access.program("kubectl")), "config", "view", "--minify", "-o", "json"],
        environment=access.environment,
    )
    server = urlsplit(yaml.safe_load(told.text)["clusters"][0]["cluster"]["server"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: a datagram socket only looks up its way.
        probe.connect((server.hostname, server.port or 443))
        return str(probe.getsockname()[0])

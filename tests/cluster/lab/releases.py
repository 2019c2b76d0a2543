"""The chart as it is installed in the cluster, and the operators that run from it."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from cluster.lab.cascades import pod_ready
from cluster.lab.clusters import Cluster, Manifest
from cluster.lab.commands import Refused, Told
from cluster.lab.images import BEFORE, ROLES, ROLES_BEFORE, TAG, VERSION_BEFORE
from cluster.lab.waiting import NotYet, Unanswered, until
from hadis_operator import kube
from support import charts

GPU = "nvidia.com/gpu"
POOL_LABEL = "node.example/gpu-pool"
SELECTOR = "app.kubernetes.io/name=hadis-operator"
HUB_SECRET, HUB_SECRET_KEY = "hugging-face", "token"
OPERATORS = 2
WAIT_S = 180
RUNTIME_CLASSES = kube.Kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses")
DEFINITIONS = kube.Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"
)


class Release:
    """One release of the chart. Changes of it wait until its operators are ready."""

    def __init__(
        self,
        cluster: Cluster,
        prometheus_url: str,
        *,
        name: str = "hadis",
        namespace: str = "hadis-system",
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.namespace = namespace
        self.took_s = 0.0
        """How long the last change took."""
        self.told = Told("", "")
        """What helm said about it."""
        self.prometheus_url = prometheus_url
        self._is = ""

    def values(self, **changes: Any) -> Manifest:
        """Return the values that tests install, with top fields replaced."""
        host = {"ipBlock": {"cidr": f"{self.cluster.host}/32"}}
        monitored = self._has_monitoring_kinds()
        return {
            "images": {role: {"tag": TAG} for role in ROLES},
            "operator": {"replicas": OPERATORS},
            "defaults": {"worker": self._worker_defaults()},
            "monitoring": {
                "prometheus": {"url": self.prometheus_url},
                **{kind: {"enabled": monitored} for kind in MONITORS},
            },
            "dashboards": {"enabled": True},
            "huggingFace": {"tokenSecret": {"name": HUB_SECRET, "key": HUB_SECRET_KEY}},
            "networkPolicy": {"prometheus": {"to": [host]}, "monitoring": {"from": [host]}},
            **changes,
        }

    def ensure(self, **changes: Any) -> None:
        """Have this version of the chart installed with these values; nothing if it is."""
        values = self.values(**changes)
        if self._is != json.dumps(values, sort_keys=True):
            # Another release may have left the definitions behind.
            self.upgrade(charts.CHART, values, "--take-ownership")

    def upgrade(self, chart: Path, values: Mapping[str, Any], *arguments: str) -> None:
        """Install or upgrade, and wait for the operators."""
        self.cluster.make_namespace(self.namespace)
        self._run(
            *("upgrade", "--install", self.name, str(chart), "-f", "-", *self._wait, *arguments),
            stdin=json.dumps(values),
        )
        self._is = json.dumps(dict(values), sort_keys=True) if chart == charts.CHART else ""
        self._settle(int(values["operator"]["replicas"]))

    def rollback(self) -> None:
        """Go back to the revision before, and wait for the operators."""
        self._run("rollback", self.name, *self._wait)
        self._is = ""
        self._settle(OPERATORS)

    def uninstall(self) -> None:
        """Remove the release, if it is there."""
        self._is = ""
        if self._run("list", "-q", "--filter", f"^{self.name}$").text.strip():
            self._run("uninstall", self.name, "--wait", f"--timeout={WAIT_S}s")

    def test(self) -> str:
        """Run `helm test`; return what it says."""
        return self._run("test", self.name).text

    # The operators.

    def operators(self) -> list[Manifest]:
        """Return the operators' pods that are not leaving."""
        selector = f"{SELECTOR},app.kubernetes.io/instance={self.name}"
        pods = self.cluster.api.listed(kube.PODS, self.namespace, selector)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def holder(self) -> str:
        """Return who holds the Lease; empty when nobody does."""
        lease = self.cluster.api.get(kube.LEASES, self.namespace, self.name) or {}
        return str((lease.get("spec") or {}).get("holderIdentity") or "")

    def leader(self) -> Manifest:
        """Return the pod of the operator that acts; NotYet without one."""
        holder = self.holder()
        for pod in self.operators():
            if holder.startswith(f"{pod['metadata']['name']}_"):
                if samples(pod).get("hadis_operator_leader") == 1:
                    return pod
                raise NotYet(f"{holder} holds the Lease and does not act yet")
        raise NotYet(f"the Lease is held by {holder or 'nobody'}")

    def scale(self, count: int) -> None:
        """Run so many operators; with none, wait until they are gone."""
        self.cluster.kubectl(
            "scale", "deployment", self.name, "-n", self.namespace, f"--replicas={count}"
        )
        if count == 0:
            selector = f"{SELECTOR},app.kubernetes.io/instance={self.name}"
            until(
                "no operator is left",
                lambda: not self.cluster.api.listed(kube.PODS, self.namespace, selector),
                60,
            )
        else:
            self._settle(count)

    def cycles(self, pod: Manifest, namespace: str, cascade: str = "scenes") -> float:
        """Return how many control cycles of a cascade went well in an operator."""
        who = f'cascade="{cascade}",cascade_namespace="{namespace}"'
        counts = samples(pod)
        results = ("optimal", "feasible", "overload")
        name = "hadis_operator_cycles_total"
        return sum(counts.get(f'{name}{{{who},result="{one}"}}', 0.0) for one in results)

    @property
    def _wait(self) -> tuple[str, ...]:
        return "--wait", f"--timeout={WAIT_S}s"

    def _settle(self, count: int) -> None:
        def settled() -> bool:
            pods = self.operators()
            return len(pods) == count and all(map(pod_ready, pods)) and bool(self.leader())

        until(f"{count} operators are ready and one acts", settled, WAIT_S)

    def _run(self, *arguments: str, stdin: str | None = None) -> Told:
        began_s = time.monotonic()
        try:
            self.told = self.cluster.helm(*arguments, "-n", self.namespace, stdin=stdin)
        except Refused as error:
            pods = self.cluster.kubectl("get", "pods", "-n", self.namespace, "-o", "wide").text
            raise Refused(f"{error}\n{pods}") from error
        self.took_s = time.monotonic() - began_s
        return self.told

    def _worker_defaults(self) -> Manifest:
        """Return what a GPU pool asks of workers, as far as this cluster is one."""
        nodes = self.cluster.nodes().values()
        defaults: Manifest = {"resources": gpu_resources(self.cluster)}
        pools = {node["metadata"]["labels"].get(POOL_LABEL) for node in nodes}
        if len(pools) == 1 and None not in pools:
            defaults["nodeSelector"] = {POOL_LABEL: pools.pop()}
        if self.cluster.api.get(RUNTIME_CLASSES, None, "nvidia"):
            defaults["runtimeClassName"] = "nvidia"
        return defaults

    def _has_monitoring_kinds(self) -> bool:
        name = "podmonitors.monitoring.coreos.com"
        return self.cluster.api.get(DEFINITIONS, None, name) is not None


MONITORS = ("serviceMonitor", "podMonitor", "rules")


def gpu_resources(cluster: Cluster, **requests: str) -> Manifest:
    """Return a worker's resources: a GPU where nodes have some, and these requests."""
    has_gpus = any(GPU in node["status"]["allocatable"] for node in cluster.nodes().values())
    # What else the tests start is not to take these workers' time: they share the cores.
    given: Manifest = {"requests": {"cpu": "400m", **requests}}
    return {**given, "limits": {GPU: 1}} if has_gpus else given


def samples(pod: Manifest) -> dict[str, float]:
    """Return what a pod exposes at `/metrics`, each sample by its name with sorted labels."""
    try:
        reply = httpx.get(
            f"http://{pod['status'].get('podIP')}:9090/metrics", timeout=3, trust_env=False
        ).raise_for_status()
    except httpx.HTTPError as error:
        raise Unanswered(f"{pod['metadata']['name']}: {error!r}") from error
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def chart_before(target: Path) -> Path:
    """Return a copy of the chart as the version before would have had it."""
    shutil.copytree(charts.CHART, target)
    file = target / "Chart.yaml"
    lines = file.read_text(encoding="utf-8").splitlines()
    changed = [
        f"{line.partition(':')[0]}: {VERSION_BEFORE}"
        if line.partition(":")[0] in ("version", "appVersion")
        else line
        for line in lines
    ]
    file.write_text("\n".join(changed) + "\n", encoding="utf-8")
    return target


def images_before() -> Manifest:
    """Return the values' images for the version before: its operator and router, these workers."""
    return {role: {"tag": BEFORE if role in ROLES_BEFORE else TAG} for role in ROLES}

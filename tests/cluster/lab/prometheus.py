"""A real Prometheus beside the cluster, which finds and labels pods as the chart's monitors do.

Debian builds it without discovery in Kubernetes, so a thread here writes what that would find,
under the names that it would have, into a file of targets.
"""

import json
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster.lab.clusters import Cluster, Manifest
from cluster.lab.waiting import Unanswered, until
from hadis_operator import kube

SCRAPE_EVERY_S = 2
DISCOVER_EVERY_S = 1.0
META = "__meta_kubernetes_"
POD_LABEL = f"{META}pod_label_"
SELECTOR = "app.kubernetes.io/name in (hadis, hadis-operator)"


def lacking() -> str | None:
    """Return why there can be no Prometheus; None when there can."""
    return None if shutil.which("prometheus") else "prometheus is missing (make ci-packages)"


class Prometheus:
    """One server on this machine's address in the cluster's network, on a port of its own."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port(cluster.host)
        self.url = f"http://{cluster.host}:{self._port}"
        self._targets = folder / "targets.json"
        self._ending = threading.Event()
        config = _config(cluster.api.address, sorted(cluster.nodes()), self._targets)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self._discover()
        self._discovery = threading.Thread(target=self._go_on_discovering, daemon=True)
        self._discovery.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        until("Prometheus answers", lambda: self.ask("vector(1)"), 30)

    def kill(self) -> None:
        """Kill it; connections to it are refused from now on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Kill it, and look for pods no more."""
        self._ending.set()
        self._discovery.join()
        self.kill()

    def freeze(self) -> None:
        """Let it fall silent: connections are taken, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End the silence."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the result of a query: series with `value`, or `values` for a range."""
        try:
            reply = httpx.get(
                f"{self.url}/api/v1/query", params={"query": query}, timeout=5, trust_env=False
            )
        except httpx.HTTPError as error:
            raise Unanswered(f"Prometheus: {error!r}") from error
        if reply.status_code != 200:
            raise Unanswered(f"Prometheus: {reply.status_code} {reply.text[:500]}")
        answer = reply.json()["data"]
        if answer["resultType"] == "scalar":
            return [{"metric": {}, "value": answer["result"]}]
        return list(answer["result"])

    def _go_on_discovering(self) -> None:
        while not self._ending.wait(DISCOVER_EVERY_S):
            try:
                self._discover()
            except Unanswered:
                continue  # the targets stay, as they do without the API server

    def _discover(self) -> None:
        pods = self._cluster.api.listed(kube.PODS, selector=SELECTOR)
        targets = json.dumps([target for pod in pods for target in _targets(pod)], indent=1)
        if not self._targets.exists() or self._targets.read_text(encoding="utf-8") != targets:
            part = self._targets.with_suffix(".part")
            part.write_text(targets, encoding="utf-8")
            part.rename(self._targets)


def _targets(pod: Manifest) -> Iterator[dict[str, Any]]:
    """Yield what discovery in Kubernetes tells of a pod: a target for each port."""
    address = pod["status"].get("podIP")
    if not address:
        return
    metadata = pod["metadata"]
    told = {
        f"{META}namespace": metadata["namespace"],
        f"{META}pod_name": metadata["name"],
        f"{META}pod_phase": pod["status"].get("phase", ""),
    }
    for name, value in sorted((metadata.get("labels") or {}).items()):
        told[POD_LABEL + re.sub(r"[^a-zA-Z0-9_]", "_", name)] = value
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            labels = {**told, f"{META}pod_container_port_name": port.get("name", "")}
            yield {"targets": [f"{address}:{port['containerPort']}"], "labels": labels}


def _config(api: str, nodes: list[str], targets: Path) -> dict[str, Any]:
    """Return the configuration; `api` is where the API server can be asked without credentials."""
    scheme, _, address = api.partition("://")
    return {
        "global": {"scrape_interval": f"{SCRAPE_EVERY_S}s", "scrape_timeout": "2s"},
        "scrape_configs": [
            {
                "job_name": "hadis",
                "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "5s"}],
                "relabel_configs": [*_kept(), *_labelled()],
            },
            {
                "job_name": "cadvisor",
                "scrape_interval": "10s",
                "scheme": scheme,
                "static_configs": [
                    {
                        "targets": [address],
                        "labels": {
                            "node": node,
                            "__metrics_path__": f"/api/v1/nodes/{node}/proxy/metrics/cadvisor",
                        },
                    }
                    for node in nodes
                ],
                "metric_relabel_configs": [
                    {
                        "action": "keep",
                        "source_labels": ["__name__"],
                        "regex": "container_memory_working_set_bytes",
                    }
                ],
            },
        ],
    }


def _kept() -> list[dict[str, Any]]:
    return [
        {
            "action": "keep",
            "source_labels": [f"{POD_LABEL}app_kubernetes_io_name"],
            "regex": "hadis|hadis-operator",
        },
        {
            "action": "keep",
            "source_labels": ["__meta_kubernetes_pod_container_port_name"],
            "regex": "metrics",
        },
        {
            "action": "drop",
            "source_labels": ["__meta_kubernetes_pod_phase"],
            # As the Prometheus operator has it, and the chart's PodMonitor.
            "regex": "Succeeded|Failed|Pending",
        },
    ]


def _labelled() -> list[dict[str, Any]]:
    """Return the labels that the chart's ServiceMonitor and PodMonitor give."""
    sources = {
        "namespace": "__meta_kubernetes_namespace",
        "pod": "__meta_kubernetes_pod_name",
        "hadis_component": f"{POD_LABEL}app_kubernetes_io_component",
        "hadis_cascade": f"{POD_LABEL}hadis_dev_cascade",
        "slot": f"{POD_LABEL}hadis_dev_slot",
    }
    operators = {
        "source_labels": [f"{POD_LABEL}app_kubernetes_io_name"],
        "regex": "hadis-operator",
        "target_label": "hadis_component",
        "replacement": "operator",
    }
    named = [
        {"source_labels": [source], "target_label": label} for label, source in sources.items()
    ]
    return [*named, operators]


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])

"""A real Prometheus beside the cluster, which finds and labels pods as the chart's monitors do."""

import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster.lab.clusters import Cluster
from cluster.lab.waiting import Unanswered, until

SCRAPE_EVERY_S = 2
POD_LABEL = "__meta_kubernetes_pod_label_"


def lacking() -> str | None:
    """Return why there can be no Prometheus; None when there can."""
    return None if shutil.which("prometheus") else "prometheus is missing (make ci-packages)"


class Prometheus:
    """One server on this machine's address in the cluster's network, on a port of its own."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port(cluster.host)
        self.url = f"http://{cluster.host}:{self._port}"
        config = _config(cluster.api.address)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")

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


def _config(api: str) -> dict[str, Any]:
    """Return the configuration; `api` is where the API server can be asked without credentials."""
    scheme, _, address = api.partition("://")
    pods = {"role": "pod", "api_server": api}
    nodes = {"role": "node", "api_server": api}
    return {
        "global": {"scrape_interval": f"{SCRAPE_EVERY_S}s", "scrape_timeout": "2s"},
        "scrape_configs": [
            {
                "job_name": "hadis",
                "kubernetes_sd_configs": [pods],
                "relabel_configs": [*_kept(), *_labelled()],
            },
            {
                "job_name": "cadvisor",
                "scrape_interval": "10s",
                "scheme": scheme,
                "kubernetes_sd_configs": [nodes],
                "relabel_configs": [
                    {"target_label": "__address__", "replacement": address},
                    {
                        "source_labels": ["__meta_kubernetes_node_name"],
                        "target_label": "__metrics_path__",
                        "replacement": "/api/v1/nodes/$1/proxy/metrics/cadvisor",
                    },
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
            "regex": "Succeeded|Failed",
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

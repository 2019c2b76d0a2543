"""What the operator's process is told on its command line and by its pod."""

import argparse
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hadis_operator import kube


@dataclass(frozen=True, slots=True)
class Settings:
    """Fixed for the life of the process."""

    installation: Path
    """The chart's decisions, a YAML file."""
    namespace: str
    """Where the Lease is: the operator's own namespace."""
    lease: str = "hadis-operator"
    """Name of the Lease; one for each installation."""
    identity: str = ""
    """Who holds the Lease and reports events: the pod's name, and something of this process."""
    host: str = "0.0.0.0"
    """Address of probes and metrics; kubelets and Prometheus come from outside the pod."""
    metrics_port: int = 9090
    """Port of `/metrics`, `/healthz` and `/readyz`; 0 picks a free one."""
    kubeconfig: str | None = None
    """How to reach the API from outside a pod; None takes the pod's service account."""
    log_level: str = "INFO"
    """Level of the log on stderr."""


def parse(argv: list[str], environment: Mapping[str, str] | None = None) -> Settings:
    """Read the command line; exits with a message where it makes no sense."""
    told = os.environ if environment is None else environment
    parser = argparse.ArgumentParser(
        prog="hadis_operator", description="Run HadisCascades on Kubernetes."
    )
    parser.add_argument(
        "--installation", type=Path, default=Path("/etc/hadis/installation.yaml"), metavar="FILE"
    )
    parser.add_argument("--lease", default="hadis-operator", help="name of the Lease")
    parser.add_argument("--namespace", help="where the Lease is; default: the pod's namespace")
    parser.add_argument("--host", default="0.0.0.0", help="address of probes and metrics")
    parser.add_argument("--metrics-port", type=int, default=9090, help="0 picks a free one")
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="default: KUBECONFIG, else the pod's service account"
    )
    parser.add_argument(
        "--log-level", default="INFO", type=str.upper, choices=["DEBUG", "INFO", "WARNING", "ERROR"]
    )
    options = parser.parse_args(argv)
    pod = told.get("POD_NAME") or socket.gethostname()
    return Settings(
        installation=options.installation,
        namespace=kube.namespace_of_pod(options.namespace or told.get("POD_NAMESPACE")),
        lease=options.lease,
        identity=f"{pod}_{uuid.uuid4().hex[:8]}",
        host=options.host,
        metrics_port=options.metrics_port,
        kubeconfig=options.kubeconfig or told.get("KUBECONFIG") or None,
        log_level=options.log_level,
    )

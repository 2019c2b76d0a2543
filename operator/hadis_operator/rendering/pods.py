"""What the pods of workers, routers and fetchers share: security, probes, folders, environment.

Every pod satisfies the restricted pod security standard, carries no API token and has a read-only
root; what needs to be written lies in volumes. Labels, annotations and variables of a cascade's
author are taken as far as they do not clash with ours: ours always stand.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from hadis.wire import durations
from hadis_operator.installation import Image, Installation
from hadis_operator.objects import Manifest

REQUESTS_PORT = 8000
CONTROL_PORT = 8001
METRICS_PORT = 9090
REQUESTS, CONTROL, METRICS = "requests", "control", "metrics"

USER_ID = 10001
"""The images' own user, said again for images of an author; above 10,000 it is nobody on a node."""
HOME = "/home/hadis"
PLAN_DIR = "/etc/hadis/plan"
CASCADE_FILE = f"{PLAN_DIR}/cascade.json"
READ_MODE = 0o440
"""Files of Secrets and ConfigMaps: for the pod's group (`fsGroup`) only."""

LIVENESS_PERIOD_S = 10
LIVENESS_FAILURES = 6
"""A minute of silence: a worker that swaps tens of gigabytes may well say nothing for a while."""
PROBE_TIMEOUT_S = 5
"""Importing torch and loading weights keep Python's lock for seconds."""
READINESS_PERIOD_S = 2
READINESS_FAILURES = 3

RESERVED_PREFIX = "hadis.dev/"
CONTAINER_ANNOTATION = "kubectl.kubernetes.io/default-container"


def template(
    labels: Mapping[str, str],
    spec: Manifest,
    *,
    container: str,
    author: Mapping[str, Any] | None = None,
) -> Manifest:
    """Return a pod template; of the `author`'s own, labels and annotations are taken."""
    given = author or {}
    return {
        "metadata": {
            "labels": merged(labels, given.get("labels")),
            "annotations": merged({CONTAINER_ANNOTATION: container}, given.get("annotations")),
        },
        "spec": spec,
    }


def merged(ours: Mapping[str, str], theirs: Mapping[str, str] | None) -> dict[str, str]:
    """Return their labels or annotations with ours, which stand where both name one.

    The prefix `hadis.dev/` is ours alone: selectors and policies rest on it.
    """
    kept = {key: value for key, value in (theirs or {}).items() if not _is_reserved(key)}
    return {**kept, **ours}


def environment(
    ours: Iterable[Manifest], theirs: Iterable[Mapping[str, Any]] | None = None
) -> list[Manifest]:
    """Return our variables, then theirs that ours do not name, in their order.

    Ours come first, so that theirs may refer to them as `$(NAME)`.
    """
    first = [dict(entry) for entry in ours]
    taken = {entry["name"] for entry in first}
    return first + [dict(entry) for entry in theirs or () if entry["name"] not in taken]


def variable(name: str, value: str) -> Manifest:
    """Return a variable with a fixed value."""
    return {"name": name, "value": value}


def field_variable(name: str, path: str) -> Manifest:
    """Return a variable that holds a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def security() -> Manifest:
    """Return the pod's security context."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        # A cache of a hundred gigabytes is not walked through at each start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """Return a container's security context."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsGroup": USER_ID,
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
    }


def identity(installation: Installation, author: Mapping[str, Any] | None = None) -> Manifest:
    """Return the fields by which a pod is nobody: no token, no rights, no neighbours' variables."""
    given = author or {}
    account = given.get("serviceAccountName") or installation.data_plane_service_account
    pull_secrets = given.get("imagePullSecrets")
    if pull_secrets is None:
        pull_secrets = [{"name": name} for name in installation.image_pull_secrets]
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security(),
    }
    if account:
        spec["serviceAccountName"] = account
    if pull_secrets:
        spec["imagePullSecrets"] = [dict(entry) for entry in pull_secrets]
    return spec


def image(default: Image, author: Mapping[str, Any] | None = None) -> Manifest:
    """Return a container's image and pull policy.

    An author's own image without a policy gets the API server's, which pulls `:latest` anew.
    """
    given = author or {}
    own, policy = given.get("image"), given.get("imagePullPolicy")
    if own is None:
        return {"image": default.reference, "imagePullPolicy": policy or default.pull_policy}
    return {"image": own} if policy is None else {"image": own, "imagePullPolicy": policy}


def ports() -> list[Manifest]:
    """Return the three ports that every router and worker has."""
    return [
        {"name": name, "containerPort": port, "protocol": "TCP"}
        for name, port in (
            (REQUESTS, REQUESTS_PORT),
            (CONTROL, CONTROL_PORT),
            (METRICS, METRICS_PORT),
        )
    ]


def startup_probe(path: str, *, within_s: float, period_s: int = 1) -> Manifest:
    """Return a probe that gives a container `within_s` to answer `path` well for the first time."""
    return _probe(path, period_s, math.ceil(within_s / period_s))


def readiness_probe() -> Manifest:
    """Return the probe of `/readyz`."""
    return _probe("/readyz", READINESS_PERIOD_S, READINESS_FAILURES)


def liveness_probe() -> Manifest:
    """Return the probe of `/healthz`."""
    return _probe("/healthz", LIVENESS_PERIOD_S, LIVENESS_FAILURES)


def pre_stop(sleep_s: int) -> Manifest:
    """Return the hook that lets everyone hear of the pod's end before it refuses requests.

    Empty for no time at all, which the API server does not take as a sleep.
    """
    return {"lifecycle": {"preStop": {"sleep": {"seconds": sleep_s}}}} if sleep_s > 0 else {}


def folder(name: str, *, size: object = None, in_memory: bool = False) -> Manifest:
    """Return an empty folder that goes with the pod."""
    content: Manifest = {"medium": "Memory"} if in_memory else {}
    if size is not None:
        content["sizeLimit"] = quantity(size)
    return {"name": name, "emptyDir": content}


def config_folder(name: str, config_map: str) -> Manifest:
    """Return a folder with the files of a ConfigMap, which follow its changes."""
    return {"name": name, "configMap": {"name": config_map, "defaultMode": READ_MODE}}


def secret_folder(name: str, secret: str) -> Manifest:
    """Return a folder with the files of a Secret, which follow its changes."""
    return {"name": name, "secret": {"secretName": secret, "defaultMode": READ_MODE}}


def mount(name: str, path: str, *, read_only: bool = False) -> Manifest:
    """Return where a container sees a volume."""
    found = {"name": name, "mountPath": path}
    return {**found, "readOnly": True} if read_only else found


def resources(author: Mapping[str, Any] | None, default: Mapping[str, Any]) -> Manifest:
    """Return requests and limits: the author's, or else the default's.

    The author's replace the default's as a whole: merged by name, a cascade could not do without
    the chart's GPU, nor ask for a slice of one (`nvidia.com/mig-1g.10gb`) in its place.
    """
    given = default if author is None else author
    return {
        kind: {name: quantity(value) for name, value in amounts.items()}
        for kind, amounts in sorted(given.items())
        if amounts
    }


def quantity(value: object) -> str:
    """Return a quantity as text: the API server writes `4` and `"4"` alike."""
    return str(value)


def seconds(duration: str) -> float:
    """Return the seconds of a manifest's duration."""
    return durations.seconds(duration)


def number(value_s: float) -> str:
    """Return seconds for a command line, without a needless fraction."""
    return f"{value_s:g}"


def _probe(path: str, period_s: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": METRICS, "scheme": "HTTP"},
        "periodSeconds": period_s,
        "timeoutSeconds": PROBE_TIMEOUT_S,
        "failureThreshold": failures,
        "successThreshold": 1,
    }


def _is_reserved(key: str) -> bool:
    return key.startswith(RESERVED_PREFIX)

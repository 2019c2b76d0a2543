"""The routers of a cascade: a Deployment that is replaced one pod at a time, without a gap."""

import math
from collections.abc import Mapping
from typing import Any

from hadis_operator import naming, objects
from hadis_operator.installation import Installation, RouterDefaults
from hadis_operator.objects import Component, Manifest, Owner
from hadis_operator.rendering import pods

CONTAINER = "router"
PLAN, TEMPORARY, KEYS = "plan", "tmp", "api-keys"
KEYS_DIR = "/etc/hadis/api-keys"
"""A folder with one file a key, as a Secret is mounted."""

STARTUP_S = 120
"""spaCy and the word lists take seconds, on a crowded node a minute."""
PRE_STOP_S = 5
"""Services and ingresses take a few seconds to stop sending requests to a pod that leaves."""
FAREWELL_S = 5
"""Clients that keep a connection are not led elsewhere by a Service: their next answer ends it."""
LAST_ANSWERS_S = 15
"""After the drain: answers that are still on the way to slow clients."""


def render(owner: Owner, spec: Mapping[str, Any], installation: Installation) -> Manifest:
    """Return the routers' Deployment."""
    selected = objects.selector(owner, Component.ROUTER)
    return objects.build(
        owner,
        "apps/v1",
        "Deployment",
        naming.router(owner),
        Component.ROUTER,
        annotations={objects.VERSION_ANNOTATION: installation.version},
        spec={
            "replicas": spec["router"]["replicas"],
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 600,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "selector": {"matchLabels": selected},
            "template": pods.template(
                objects.labels(owner, Component.ROUTER),
                _pod(owner, spec, installation),
                container=CONTAINER,
            ),
        },
    )


def _pod(owner: Owner, spec: Mapping[str, Any], installation: Installation) -> Manifest:
    slo_s = pods.seconds(spec["slo"]["latency"])
    return {
        **pods.identity(installation),
        **_placement(installation.router_defaults),
        "terminationGracePeriodSeconds": PRE_STOP_S
        + FAREWELL_S
        + math.ceil(slo_s)
        + LAST_ANSWERS_S,
        # A wish only: on one node all routers share it.
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": objects.selector(owner, Component.ROUTER)},
            }
        ],
        "containers": [_container(owner, spec, installation, slo_s)],
        "volumes": _volumes(owner, spec),
    }


def _placement(defaults: RouterDefaults) -> Manifest:
    chosen = {
        "nodeSelector": dict(defaults.node_selector),
        "tolerations": list(defaults.tolerations),
        "priorityClassName": defaults.priority_class_name,
    }
    return {name: value for name, value in chosen.items() if value}


def _container(
    owner: Owner, spec: Mapping[str, Any], installation: Installation, slo_s: float
) -> Manifest:
    return {
        "name": CONTAINER,
        **pods.image(installation.router_image),
        "command": ["python", "-m", "hadis_router"],
        "args": _arguments(owner, spec, slo_s),
        "env": pods.environment(
            [
                pods.field_variable("POD_NAME", "metadata.name"),
                pods.field_variable("POD_UID", "metadata.uid"),
                pods.variable("HOME", "/tmp"),
            ]
        ),
        "ports": pods.ports(),
        "resources": pods.resources(
            spec["router"].get("resources"), installation.router_defaults.resources
        ),
        "startupProbe": pods.startup_probe("/healthz", within_s=STARTUP_S),
        "readinessProbe": pods.readiness_probe(),
        "livenessProbe": pods.liveness_probe(),
        **pods.pre_stop(PRE_STOP_S),
        "securityContext": pods.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(spec),
    }


def _arguments(owner: Owner, spec: Mapping[str, Any], slo_s: float) -> list[str]:
    options = {
        "cascade": pods.CASCADE_FILE,
        "host": "0.0.0.0",
        "port": pods.REQUESTS_PORT,
        "control-host": "0.0.0.0",
        "control-port": pods.CONTROL_PORT,
        "metrics-port": pods.METRICS_PORT,
        "name": "$(POD_NAME)",
        "uid": "$(POD_UID)",
        "drain-seconds": pods.number(slo_s),
        "farewell-seconds": FAREWELL_S,
        # A pod that is made while the operator is away is found by its slot's name.
        "worker-domain": naming.workers(owner),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [*words, *(["--insecure"] if _keys(spec) is None else ["--api-keys-file", KEYS_DIR])]


def _volumes(owner: Owner, spec: Mapping[str, Any]) -> list[Manifest]:
    volumes = [pods.config_folder(PLAN, naming.plan(owner)), pods.folder(TEMPORARY)]
    secret = _keys(spec)
    return volumes if secret is None else [*volumes, pods.secret_folder(KEYS, secret)]


def _mounts(spec: Mapping[str, Any]) -> list[Manifest]:
    mounts = [
        pods.mount(PLAN, pods.PLAN_DIR, read_only=True),
        pods.mount(TEMPORARY, "/tmp"),
    ]
    if _keys(spec) is None:
        return mounts
    return [*mounts, pods.mount(KEYS, KEYS_DIR, read_only=True)]


def _keys(spec: Mapping[str, Any]) -> str | None:
    """Return the Secret with the keys that clients must show; None: everyone is served."""
    found = spec["router"].get("apiKeys")
    return None if found is None else str(found["secretName"])

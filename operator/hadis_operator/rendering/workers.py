"""A slot: a Deployment of one worker.

`Recreate`, because a second pod would wait for the GPU that the first one holds. What it serves is
told to the running process; its pod changes only when `hadis_operator.rollouts` says so.
"""

import math
from collections.abc import Mapping
from typing import Any

from hadis_operator import naming, objects, rollouts
from hadis_operator.installation import Installation
from hadis_operator.objects import Component, Manifest, Owner
from hadis_operator.rendering import pods, weights
from hadis_operator.rendering.weights import Supply

CONTAINER = "worker"
AWAIT_CONTAINER = "await-models"
PLAN, TEMPORARY, HOME, COMPILED, SHARED = "plan", "tmp", "home", "compiled", "shm"
COMPILED_DIR = "/var/cache/torch"

DEFAULT_STARTUP = "30m"
"""The schema's default, for a cascade without a template."""
GRACE_AFTER_SLO_S = 10
PRE_STOP_S = 3
"""Operator and routers hear of a pod's end within a second; until then it is still asked."""
LAST_WORDS_S = 5
"""After the drain: replies that are still being written, and threads that end."""
STUCK_AFTER_S = 600
"""Beyond the start-up time: pulling an image of several gigabytes comes before it."""
AWAIT_SCRIPT = (
    "trap 'exit 143' TERM; "
    f'until [ -e "{weights.MARKER_DIR}/$(cat {pods.PLAN_DIR}/{weights.HASH_FILE})" ];'
    " do sleep 1; done"
)
"""The set of models is read each time, so that a pod that waits follows a changed cascade. A first
process ignores the signal to end unless it says otherwise, and would sit out its whole grace."""


def render(
    owner: Owner,
    spec: Mapping[str, Any],
    installation: Installation,
    slot: str,
    *,
    roll: str | None = None,
) -> Manifest:
    """Return a slot's Deployment; `roll` is the cascade's annotation `hadis.dev/roll-workers`."""
    template = pod_template(owner, spec, installation, slot)
    return objects.build(
        owner,
        "apps/v1",
        "Deployment",
        naming.worker(owner, slot),
        Component.WORKER,
        slot=slot,
        annotations=rollouts.annotations(
            template, rollouts.spec_hash(spec, roll), installation.version
        ),
        spec={
            "replicas": 1,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": math.ceil(_startup_s(spec)) + STUCK_AFTER_S,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": objects.selector(owner, Component.WORKER, slot)},
            "template": template,
        },
    )


def pod_template(
    owner: Owner, spec: Mapping[str, Any], installation: Installation, slot: str
) -> Manifest:
    """Return the template of a slot's pod."""
    author = _author(spec)
    awaits = weights.supply(spec, installation) is Supply.JOB
    content: Manifest = {
        **pods.identity(installation, author),
        **_placement(owner, author, installation),
        # With the headless Service: a name that outlives the pod, for routers without an operator.
        "hostname": slot,
        "subdomain": naming.workers(owner),
        "terminationGracePeriodSeconds": _grace_s(spec),
        "containers": [_container(owner, spec, installation, slot)],
        "volumes": _volumes(owner, spec),
    }
    if awaits:
        content["initContainers"] = [_await_models(spec, installation)]
    return pods.template(
        objects.labels(owner, Component.WORKER, slot), content, container=CONTAINER, author=author
    )


def placement(author: Mapping[str, Any], installation: Installation) -> Manifest:
    """Return on which nodes pods of this cascade may run, for workers and what serves them."""
    defaults = installation.worker_defaults
    chosen = {
        "nodeSelector": author.get("nodeSelector", dict(defaults.node_selector)),
        "tolerations": author.get("tolerations", list(defaults.tolerations)),
        "affinity": author.get("affinity"),
    }
    return {name: value for name, value in chosen.items() if value}


def _placement(owner: Owner, author: Mapping[str, Any], installation: Installation) -> Manifest:
    defaults = installation.worker_defaults
    spread = author.get("topologySpreadConstraints", defaults.topology_spread_constraints)
    chosen = {
        **placement(author, installation),
        "topologySpreadConstraints": [_spread(owner, constraint) for constraint in spread],
        "runtimeClassName": author.get("runtimeClassName", defaults.runtime_class_name),
        "priorityClassName": author.get("priorityClassName", defaults.priority_class_name),
    }
    return {name: value for name, value in chosen.items() if value}


def _spread(owner: Owner, constraint: Mapping[str, Any]) -> Manifest:
    if "labelSelector" in constraint:
        return dict(constraint)
    return {
        **constraint,
        "labelSelector": {"matchLabels": objects.selector(owner, Component.WORKER)},
    }


def _container(
    owner: Owner, spec: Mapping[str, Any], installation: Installation, slot: str
) -> Manifest:
    author = _author(spec)
    grace_s = _grace_s(spec)
    return {
        "name": CONTAINER,
        **pods.image(installation.worker_image, author),
        "command": ["python", "-m", "hadis_server"],
        "args": _arguments(slot, drain_s=_drain_s(grace_s)),
        "env": _environment(spec, installation),
        "ports": pods.ports(),
        "resources": _resources(author, installation),
        "startupProbe": pods.startup_probe("/readyz", within_s=_startup_s(spec)),
        "readinessProbe": pods.readiness_probe(),
        "livenessProbe": pods.liveness_probe(),
        **pods.pre_stop(_pre_stop_s(grace_s)),
        "securityContext": pods.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(
            read_only_cache=weights.is_read_only(owner, spec, installation),
        ),
    }


def _arguments(slot: str, *, drain_s: int) -> list[str]:
    options = {
        "cascade": pods.CASCADE_FILE,
        "name": slot,
        "uid": "$(POD_UID)",
        "host": "0.0.0.0",
        "port": pods.REQUESTS_PORT,
        "control-port": pods.CONTROL_PORT,
        "metrics-port": pods.METRICS_PORT,
        "grace-s": drain_s,
    }
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _environment(spec: Mapping[str, Any], installation: Installation) -> list[Manifest]:
    fetches = weights.supply(spec, installation) is Supply.WORKERS
    ours = [
        pods.field_variable("POD_UID", "metadata.uid"),
        pods.variable("HOME", pods.HOME),
        # Caches of torch ask for the user's name, which an author's image may not know.
        pods.variable("USER", "hadis"),
        *weights.environment(installation, fetches=fetches),
        pods.variable("TORCHINDUCTOR_CACHE_DIR", f"{COMPILED_DIR}/inductor"),
        pods.variable("TRITON_CACHE_DIR", f"{COMPILED_DIR}/triton"),
    ]
    return pods.environment(ours, _author(spec).get("env"))


def _volumes(owner: Owner, spec: Mapping[str, Any]) -> list[Manifest]:
    return [
        pods.config_folder(PLAN, naming.plan(owner)),
        weights.cache_volume(owner, spec),
        pods.folder(TEMPORARY),
        pods.folder(HOME),
        pods.folder(COMPILED),
        pods.folder(SHARED, size=_author(spec).get("sharedMemory"), in_memory=True),
    ]


def _mounts(*, read_only_cache: bool) -> list[Manifest]:
    return [
        pods.mount(PLAN, pods.PLAN_DIR, read_only=True),
        pods.mount(weights.CACHE_VOLUME, weights.CACHE_DIR, read_only=read_only_cache),
        pods.mount(TEMPORARY, "/tmp"),
        pods.mount(HOME, pods.HOME),
        pods.mount(COMPILED, COMPILED_DIR),
        pods.mount(SHARED, "/dev/shm"),
    ]


def _await_models(spec: Mapping[str, Any], installation: Installation) -> Manifest:
    """Return the container that waits until the Job has fetched the models.

    It asks for the worker's own CPU and memory, which are set aside anyway: other amounts would
    change the pod's quality of service.
    """
    author = _author(spec)
    plain = {
        kind: {name: value for name, value in amounts.items() if "/" not in name}
        for kind, amounts in _resources(author, installation).items()
    }
    return {
        "name": AWAIT_CONTAINER,
        **pods.image(installation.worker_image, author),
        "command": ["/bin/sh", "-c", AWAIT_SCRIPT],
        "resources": pods.resources(plain, {}),
        "securityContext": pods.container_security(),
        "volumeMounts": [
            pods.mount(PLAN, pods.PLAN_DIR, read_only=True),
            pods.mount(weights.CACHE_VOLUME, weights.CACHE_DIR, read_only=True),
        ],
    }


def _resources(author: Mapping[str, Any], installation: Installation) -> Manifest:
    return pods.resources(author.get("resources"), installation.worker_defaults.resources)


def _author(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = spec["workers"].get("template", {})
    return found


def _startup_s(spec: Mapping[str, Any]) -> float:
    return pods.seconds(_author(spec).get("startupTimeout", DEFAULT_STARTUP))


def _grace_s(spec: Mapping[str, Any]) -> int:
    """Return the pod's grace: a batch that was begun for the last deadline ends within it."""
    given = _author(spec).get("terminationGracePeriod")
    if given is not None:
        return math.ceil(pods.seconds(given))
    return math.ceil(pods.seconds(spec["slo"]["latency"])) + GRACE_AFTER_SLO_S


def _pre_stop_s(grace_s: int) -> int:
    """Return the sleep before the signal; it is part of the grace and must be shorter."""
    return min(PRE_STOP_S, grace_s // 4)


def _drain_s(grace_s: int) -> int:
    """Return how long the process may finish what it accepted: the grace without its two ends."""
    return max(0, grace_s - _pre_stop_s(grace_s) - min(LAST_WORDS_S, grace_s // 4))

"""The Job that fetches a cascade's models into its claim, once for all workers.

A Job's template is immutable and its name that of the models, so a cluster's Job counts as good
whatever renders it now; only one that has failed, or that has not finished and would be rendered
otherwise, makes room for a new one. A Job that is made again finds the marker of its predecessor in
the cache and ends at once.
"""

import json
from collections.abc import Mapping
from typing import Any

from hadis_operator import naming, objects
from hadis_operator.installation import Installation
from hadis_operator.objects import Component, Manifest, Owner
from hadis_operator.rendering import pods, weights, workers
from hadis_operator.rendering.weights import Supply

CONTAINER = "fetch"
TEMPORARY, HOME = "tmp", "home"
TRIES = 10_000
"""Of the container, five minutes apart at most. A gated model or a missing Secret is mended by
people, and then the next try shall find it mended."""
RESOURCES: Manifest = {
    "requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "256Mi"},
    "limits": {"memory": "4Gi", "ephemeral-storage": "8Gi"},
}
"""Files stream into the claim, several at once; beside it there are only logs and leftovers."""
GRACE_S = 5


def render(owner: Owner, spec: Mapping[str, Any], installation: Installation) -> Manifest | None:
    """Return the Job; None when nothing is to be fetched or workers do it themselves."""
    if weights.supply(spec, installation) is not Supply.JOB:
        return None
    template = _template(owner, spec, installation)
    return objects.build(
        owner,
        "batch/v1",
        "Job",
        naming.fetch(owner, weights.models_hash(spec)),
        Component.FETCHER,
        annotations={objects.TEMPLATE_ANNOTATION: objects.digest(template)},
        spec={
            "backoffLimit": TRIES,
            "completions": 1,
            "parallelism": 1,
            "template": template,
        },
    )


def must_be_replaced(live: Manifest, wanted: Manifest) -> bool:
    """Return whether a live Job of the wanted one's name has to be deleted and made again."""
    ended = {
        condition["type"]
        for condition in live.get("status", {}).get("conditions") or ()
        if condition.get("status") == "True"
    }
    if "Complete" in ended:
        return False
    templates = [
        objects.annotation(manifest, objects.TEMPLATE_ANNOTATION) for manifest in (live, wanted)
    ]
    return "Failed" in ended or templates[0] != templates[1]


def is_complete(live: Manifest | None) -> bool:
    """Return whether a live Job has fetched everything."""
    return live is not None and any(
        condition.get("type") == "Complete" and condition.get("status") == "True"
        for condition in live.get("status", {}).get("conditions") or ()
    )


def _template(owner: Owner, spec: Mapping[str, Any], installation: Installation) -> Manifest:
    author: Mapping[str, Any] = spec["workers"].get("template", {})
    content: Manifest = {
        **pods.identity(installation, author),
        **_placement(owner, author, installation),
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": GRACE_S,
        "containers": [_container(spec, installation, author)],
        "volumes": [
            weights.cache_volume(owner, spec),
            pods.folder(TEMPORARY),
            pods.folder(HOME),
        ],
    }
    return pods.template(
        objects.labels(owner, Component.FETCHER), content, container=CONTAINER, author=author
    )


def _placement(owner: Owner, author: Mapping[str, Any], installation: Installation) -> Manifest:
    """Return a place among the workers: in their zone for a new volume, beside one that holds it.

    A volume that one node at a time may mount is out of reach anywhere but beside that worker.
    """
    found = workers.placement(author, installation)
    beside = {
        "weight": 100,
        "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": objects.selector(owner, Component.WORKER)},
        },
    }
    affinity = dict(found.get("affinity", {}))
    near = dict(affinity.get("podAffinity") or {})
    near["preferredDuringSchedulingIgnoredDuringExecution"] = [
        *(near.get("preferredDuringSchedulingIgnoredDuringExecution") or ()),
        beside,
    ]
    return {**found, "affinity": {**affinity, "podAffinity": near}}


def _container(
    spec: Mapping[str, Any], installation: Installation, author: Mapping[str, Any]
) -> Manifest:
    sources = json.dumps(weights.sources(spec), sort_keys=True, separators=(",", ":"))
    ours = [
        pods.variable("HOME", pods.HOME),
        pods.variable("USER", "hadis"),
        *weights.environment(installation, fetches=True),
    ]
    return {
        "name": CONTAINER,
        **pods.image(installation.worker_image, author),
        "command": ["python", "-m", "hadis_server.prefetching"],
        # The kubelet would take $(NAME) in a source for a variable.
        "args": [
            "--sources",
            sources.replace("$(", "$$("),
            "--marker",
            weights.marker(spec),
        ],
        "env": pods.environment(ours, author.get("env")),
        "resources": pods.resources(RESOURCES, {}),
        "securityContext": pods.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            pods.mount(weights.CACHE_VOLUME, weights.CACHE_DIR),
            pods.mount(TEMPORARY, "/tmp"),
            pods.mount(HOME, pods.HOME),
        ],
    }

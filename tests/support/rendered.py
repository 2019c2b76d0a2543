"""Builders of what the operator renders from: owners, admitted specs, installations."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from hadis import resources
from hadis.wire import manifests, structural
from hadis_operator import installation, objects
from hadis_operator.installation import Installation
from hadis_operator.objects import Manifest, Owner
from hadis_operator.rendering import plans, weights

SMALL = {"name": "small", "source": {"path": "models/small"}, "steps": 4, "size": "64x64"}
CASCADE: Manifest = {
    "apiVersion": "hadis.dev/v1alpha1",
    "kind": "HadisCascade",
    "metadata": {"name": "photos", "generation": 3},
    "spec": {
        "slo": {"latency": "60s"},
        "models": [SMALL],
        "stages": {"discriminator": "Disabled"},
        "workers": {"count": 2},
    },
}
INSTALLATION = """
version: 0.1.0
images:
  router: {reference: registry.example/hadis-router:0.1.0, pullPolicy: IfNotPresent}
  worker: {reference: registry.example/hadis-worker:0.1.0, pullPolicy: IfNotPresent}
networkPolicy:
  enabled: true
  monitoringFrom:
  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
  operator:
    namespace: hadis-system
    podSelector: {app.kubernetes.io/name: hadis-operator}
"""
REPOSITORY = {"repository": "example/large", "revision": "0123456789abcdef0123456789abcdef01234567"}


def an_owner(name: str = "photos", uid: str = "0a1b2c3d-4444-5555-6666-777788889999") -> Owner:
    return Owner(name, "images", uid)


def a_manifest(*changes: tuple[str, Any]) -> Manifest:
    """An admitted HadisCascade; each change sets one field of its spec by path."""
    document = copy.deepcopy(CASCADE)
    for path, value in changes:
        node, *keys = document["spec"], *path.split(".")
        for key in keys[:-1]:
            node = node[int(key)] if key.isdigit() else node.setdefault(key, {})
        node[int(keys[-1]) if keys[-1].isdigit() else keys[-1]] = copy.deepcopy(value)
    admitted, problems = structural.admit(resources.schema("hadiscascades"), document)
    assert not problems, [str(problem) for problem in problems]
    return dict(admitted)


def a_spec(*changes: tuple[str, Any]) -> Manifest:
    return dict(a_manifest(*changes)["spec"])


def an_installation(extra: str = "", *replaced: tuple[str, str]) -> Installation:
    text = INSTALLATION + extra
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return installation.read(text, source="installation.yaml")


def a_record(*changes: tuple[str, Any], **fields: Any) -> plans.Record:
    manifest = a_manifest(*changes)
    read = manifests.from_objects(manifest, source="a test")
    return plans.Record(read.cascade, weights.models_hash(manifest["spec"]), **fields)


def env_of(container: Mapping[str, Any]) -> dict[str, Any]:
    """The environment as a mapping; a name that is given twice fails."""
    names = [entry["name"] for entry in container["env"]]
    assert len(names) == len(set(names)), names
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def pod_of(manifest: Mapping[str, Any]) -> Manifest:
    return dict(manifest["spec"]["template"]["spec"])


def container_of(manifest: Mapping[str, Any]) -> Manifest:
    [container] = pod_of(manifest)["containers"]
    return dict(container)


def arguments_of(container: Mapping[str, Any]) -> dict[str, str]:
    """The options of a command line that all have values."""
    words = iter(container["args"])
    return dict(zip(words, words, strict=True))


def all_containers(manifest: Mapping[str, Any]) -> Iterator[Manifest]:
    pod = pod_of(manifest)
    yield from pod.get("initContainers", ())
    yield from pod["containers"]


def by_kind(rendered: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in rendered if manifest["kind"] == kind]


def live_of(rendered: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """The cluster right after everything was applied."""
    return {objects.identity(manifest): copy.deepcopy(manifest) for manifest in rendered}

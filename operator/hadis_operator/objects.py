"""What all objects of a cascade have in common: owner, labels, annotations, and how they compare.

The API server fills in defaults and normalises values, so a live object never equals a rendered
one. Rendered is therefore compared with rendered: each object carries the digest of what it was
rendered from, and one whose digest has not changed is not sent, unless somebody has changed it
since (`hadis_operator.ownership`). Nothing here talks to a cluster.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hadis_operator import naming

Manifest = dict[str, Any]
"""A Kubernetes object as JSON has it."""

API_VERSION = "hadis.dev/v1alpha1"
KIND = "HadisCascade"
OPERATOR_MANAGER = "hadis-operator"
"""The field manager that applies whole objects."""
ASSIGNMENT_MANAGER = "hadis-assignment"
"""The field manager of the annotation `hadis.dev/assignment` alone: the other one would give up
everything that it leaves out."""

CASCADE_LABEL = "hadis.dev/cascade"
CASCADE_UID_LABEL = "hadis.dev/cascade-uid"
"""Eight hex digits of the cascade's UID: a cascade that was made anew under its old name never
takes the pods of its predecessor for its own."""
SLOT_LABEL = "hadis.dev/slot"
NAME_LABEL = "app.kubernetes.io/name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"

ASSIGNMENT_ANNOTATION = "hadis.dev/assignment"
PAUSED_ANNOTATION = "hadis.dev/paused"
ROLL_ANNOTATION = "hadis.dev/roll-workers"
DIGEST_ANNOTATION = "hadis.dev/rendered-hash"
TEMPLATE_ANNOTATION = "hadis.dev/template-hash"
SPEC_ANNOTATION = "hadis.dev/spec-hash"
VERSION_ANNOTATION = "hadis.dev/version"

DIGEST_CHARS = 16
"""64 bits: what is compared is two renderings of one object, not a million of them."""


class Component(StrEnum):
    """The part that a pod plays."""

    WORKER = "worker"  # one slot: one GPU
    ROUTER = "router"  # the endpoint that clients talk to
    FETCHER = "fetcher"  # the Job that fetches models into the cache
    PLAN = "plan"  # not a pod: what routers and workers read at their start


@dataclass(frozen=True, slots=True)
class Owner:
    """The HadisCascade that an object belongs to. A new one of the same name is another owner."""

    name: str
    namespace: str
    uid: str

    @property
    def uid8(self) -> str:
        """The digits of the UID that names and labels carry."""
        return naming.uid8(self.uid)


def labels(owner: Owner, component: Component, slot: str | None = None) -> dict[str, str]:
    """Return the labels of an object or pod of `owner`."""
    given = {
        NAME_LABEL: "hadis",
        INSTANCE_LABEL: owner.name,
        COMPONENT_LABEL: component.value,
        MANAGED_BY_LABEL: OPERATOR_MANAGER,
        CASCADE_LABEL: owner.name,
        CASCADE_UID_LABEL: owner.uid8,
    }
    return given if slot is None else {**given, SLOT_LABEL: slot}


def selector(owner: Owner, component: Component, slot: str | None = None) -> dict[str, str]:
    """Return the labels that select the pods of a component, or of one slot.

    A Deployment's selector is immutable, so this never gains or loses a label.
    """
    given = {
        COMPONENT_LABEL: component.value,
        CASCADE_LABEL: owner.name,
        CASCADE_UID_LABEL: owner.uid8,
    }
    return given if slot is None else {**given, SLOT_LABEL: slot}


def selector_text(owner: Owner, component: Component) -> str:
    """Return the selector the way `kubectl -l` and the scale subresource write it."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector(owner, component).items()))


def build(
    owner: Owner,
    api_version: str,
    kind: str,
    name: str,
    component: Component,
    *,
    slot: str | None = None,
    annotations: Mapping[str, str] | None = None,
    **content: Any,
) -> Manifest:
    """Return an object that belongs to `owner`; `content` holds `spec`, `data` and the like.

    It shares nothing with what it was made of.
    """
    metadata: Manifest = {
        "name": name,
        "namespace": owner.namespace,
        "labels": labels(owner, component, slot),
        "ownerReferences": [owner_reference(owner)],
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **detached(content)}


def owner_reference(owner: Owner) -> Manifest:
    """Return the reference by which the garbage collector deletes what a cascade made.

    It does not block the owner's deletion: nothing needs the objects to go first, and blocking
    needs a right on the cascade's finalizers.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def is_controlled_by(live: Manifest, owner: Owner) -> bool:
    """Return whether `owner` is the controller of a live object; only then it may be changed."""
    references = live.get("metadata", {}).get("ownerReferences") or ()
    return any(ref.get("controller") and ref.get("uid") == owner.uid for ref in references)


def identity(manifest: Manifest) -> tuple[str, str]:
    """Return kind and name, which tell the objects of one namespace apart."""
    return manifest["kind"], manifest["metadata"]["name"]


def reference(live: Manifest) -> Manifest:
    """Return what names a live object, and nothing that has come under its name since."""
    metadata = live["metadata"]
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "metadata": {name: metadata[name] for name in ("name", "namespace", "uid")},
    }


def annotation(manifest: Manifest, name: str) -> str | None:
    """Return an annotation of an object; None where it has none."""
    value = (manifest.get("metadata", {}).get("annotations") or {}).get(name)
    return None if value is None else str(value)


def detached(value: Manifest) -> Manifest:
    """Return a copy that shares nothing with `value`, nor one part of it with another.

    Through JSON, in half the time of `copy.deepcopy`: a cluster may hold a thousand slots.
    """
    copied: Manifest = json.loads(json.dumps(value, allow_nan=False))
    return copied


def digest(value: object) -> str:
    """Return a hash of a JSON value that does not depend on the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def stamp(manifest: Manifest) -> Manifest:
    """Return a copy that carries the digest of all the rest of it."""
    stamped = detached(manifest)
    stamped["metadata"].setdefault("annotations", {})[DIGEST_ANNOTATION] = digest(manifest)
    return stamped


def is_current(live: Manifest | None, stamped: Manifest) -> bool:
    """Return whether a live object was applied from exactly this rendering.

    Never for a rendering without a digest, as slots are: what is sent of them is decided otherwise.
    """
    wanted = annotation(stamped, DIGEST_ANNOTATION)
    return live is not None and wanted is not None and annotation(live, DIGEST_ANNOTATION) == wanted


def rendering(manifest: Manifest) -> tuple[str | None, ...]:
    """Return what tells one rendering of an object, or of a slot, from another."""
    return tuple(
        annotation(manifest, name)
        for name in (DIGEST_ANNOTATION, TEMPLATE_ANNOTATION, SPEC_ANNOTATION, VERSION_ANNOTATION)
    )

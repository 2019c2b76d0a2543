"""What the operator knows of the cluster: the newest version of every object that concerns it.

Watchers fill it, sweeps mend it, and whoever writes an object puts the answer in at once, so that
no loop acts twice because a watch is slow. Loops read it instead of asking the API, which is what
keeps an idle operator from costing the API server anything.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from hadis_operator import kube, objects, ownership
from hadis_operator.kube import Kind
from hadis_operator.objects import Manifest, Owner


class CascadeKey(NamedTuple):
    """Namespace and name of a HadisCascade."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


Place = tuple[str, str, str]
"""Plural, namespace and name: where an object is."""


class Store:
    """Objects by place. `changed` is told the cascades that a change may matter to.

    Versions only rise: an event that arrives late never hides what a write has answered.
    """

    def __init__(self, changed: Callable[[CascadeKey], None] | None = None) -> None:
        self._changed = changed or (lambda _key: None)
        self._objects: dict[str, dict[tuple[str, str], Manifest]] = {}
        self._by_cascade: dict[CascadeKey, set[Place]] = {}
        self._cascade_of: dict[Place, CascadeKey] = {}

    def put(self, kind: Kind, live: Manifest) -> bool:
        """Take over an object unless a newer version is known; return whether it was news."""
        place = plural, namespace, name = place_of(kind, live)
        known = self.get(kind, namespace, name)
        if known is not None and not _is_newer(live, known):
            return False
        kept = condensed(kind, live)
        self._objects.setdefault(plural, {})[namespace, name] = kept
        if kind in kube.OWN_KINDS:
            self._index(place, kept)
        for key in self._concerned(kind, place):
            self._changed(key)
        return True

    def drop(self, kind: Kind, namespace: str, name: str, *, uid: str | None = None) -> bool:
        """Forget an object that is gone, unless it is another one by now; return if it was."""
        known = self.get(kind, namespace, name)
        if known is None or (uid is not None and known["metadata"].get("uid") != uid):
            return False
        place = (kind.plural, namespace, name)
        concerned = self._concerned(kind, place)
        del self._objects[kind.plural][namespace, name]
        self._unindex(place)
        for key in concerned:
            self._changed(key)
        return True

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return an object as it was last seen; callers must not change it."""
        return self._objects.get(kind.plural, {}).get((namespace, name))

    def all(self, kind: Kind, namespace: str | None = None) -> Iterator[Manifest]:
        """Yield the objects of a kind, of one namespace or of all."""
        for (inside, _), live in list(self._objects.get(kind.plural, {}).items()):
            if namespace in (None, inside):
                yield live

    def owned(self, kind: Kind, owner: Owner) -> list[Manifest]:
        """Return the objects of a kind that `owner` controls, by name."""
        return [live for live in self._of(kind, owner) if objects.is_controlled_by(live, owner)]

    def pods(self, owner: Owner) -> list[Manifest]:
        """Return the pods that came of an owner's Deployments and Jobs, by name."""
        return [
            live
            for live in self._of(kube.PODS, owner)
            if _labels(live).get(objects.CASCADE_UID_LABEL) == owner.uid8
        ]

    def _of(self, kind: Kind, owner: Owner) -> list[Manifest]:
        places = self._by_cascade.get(CascadeKey(owner.namespace, owner.name), ())
        alike = self._objects.get(kind.plural, {})
        return [
            alike[namespace, name]
            for plural, namespace, name in sorted(places)
            if plural == kind.plural
        ]

    def _index(self, place: Place, live: Manifest) -> None:
        """Note whose an object is. One whose label was taken away stays where it was."""
        name = _labels(live).get(objects.CASCADE_LABEL)
        if name is None or self._cascade_of.get(place) == (key := CascadeKey(place[1], name)):
            return
        self._unindex(place)
        self._cascade_of[place] = key
        self._by_cascade.setdefault(key, set()).add(place)

    def _unindex(self, place: Place) -> None:
        key = self._cascade_of.pop(place, None)
        if key is not None:
            self._by_cascade[key].discard(place)
            if not self._by_cascade[key]:
                del self._by_cascade[key]

    def _concerned(self, kind: Kind, place: Place) -> list[CascadeKey]:
        _, namespace, name = place
        if kind is kube.CASCADES:
            return [CascadeKey(namespace, name)]
        if kind is kube.PROFILES:
            return [
                CascadeKey(namespace, cascade["metadata"]["name"])
                for cascade in self.all(kube.CASCADES, namespace)
                if (cascade.get("spec", {}).get("profile") or {}).get("name") == name
            ]
        return [self._cascade_of[place]] if place in self._cascade_of else []


def place_of(kind: Kind, live: Manifest) -> Place:
    """Return where an object is."""
    metadata = live["metadata"]
    return kind.plural, metadata.get("namespace", ""), metadata["name"]


def version_of(live: Mapping[str, Any]) -> int:
    """Return the resource version of an object, which rises within a cluster."""
    text = str(live.get("metadata", {}).get("resourceVersion", "0"))
    return int(text) if text.isdigit() else 0


def _is_newer(live: Manifest, known: Manifest) -> bool:
    if live["metadata"].get("uid") != known["metadata"].get("uid"):
        return version_of(live) >= version_of(known)
    return version_of(live) > version_of(known)


def _labels(live: Manifest) -> Mapping[str, str]:
    return live["metadata"].get("labels") or {}


def condensed(kind: Kind, live: Manifest) -> Manifest:
    """Return what is read of an object here: a cluster may have a thousand slots with their pods.

    The items of a list say neither version nor kind.
    """
    metadata = {name: value for name, value in live["metadata"].items() if name != ownership.BOOKS}
    kept = {**live, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    if kind is kube.PODS:
        metadata.pop("annotations", None)
        kept["spec"] = {"nodeName": (live.get("spec") or {}).get("nodeName")}
    elif kind in kube.OWN_KINDS:
        metadata[ownership.BOOKS] = ownership.condensed(live)
    if kind is kube.DEPLOYMENTS:
        # What it was rendered from is compared by hashes, and whether it still says so by books.
        spec = live.get("spec") or {}
        kept["spec"] = {name: value for name, value in spec.items() if name != "template"}
    return kept

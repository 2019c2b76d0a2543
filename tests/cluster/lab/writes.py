"""Everything that is written to what the operator may write: who changed which part, and when.

Watches tell every change that the API server stores; its own counters tell requests, also those
that changed nothing. Both are needed: an operator that sends what is there already costs as much.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from cluster.lab.api import Api, Manifest
from cluster.lab.waiting import Unanswered
from hadis_operator import kube
from hadis_operator.kube import Kind

GRANTED = (
    kube.CASCADES,
    kube.DEPLOYMENTS,
    kube.SERVICES,
    kube.CONFIG_MAPS,
    kube.CLAIMS,
    kube.BUDGETS,
    kube.POLICIES,
    kube.JOBS,
    kube.EVENTS,
    kube.LEASES,
)
"""The kinds of which the operator's Roles let it write."""
PARTS = ("spec", "data", "status", "annotations", "labels")
VERBS = "APPLY|PATCH|POST|PUT|DELETE"
SETTLE_S = 0.5
CALM_S = 50.0
"""Two plans may follow a step of the load, the second 45 seconds after the first."""


@dataclass(frozen=True, slots=True)
class Write:
    """One change of one object."""

    at_s: float
    kind: Kind
    verb: str
    """ADDED, MODIFIED or DELETED."""
    live: Manifest
    """The object after it."""
    changed: frozenset[str]
    """Which of `PARTS` differ from before; all of them when it was added."""

    @property
    def namespace(self) -> str:
        """Where the object is."""
        return str(self.live["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.live["metadata"]["name"])

    def __str__(self) -> str:
        changed = ", ".join(sorted(self.changed))
        managers = {
            entry.get("manager")
            for entry in self.live["metadata"].get("managedFields") or ()
            if entry.get("time") == _newest(self.live)
        }
        return (
            f"{self.verb} {self.kind.kind} {self.namespace}/{self.name} "
            f"({changed}) by {', '.join(sorted(map(str, managers)))}"
        )


class Writes:
    """A record of all writes while it is open, one for a whole run: watches are not free."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._writes: list[Write] = []
        self._known: dict[tuple[str, str, str], Manifest] = {}
        self._ending = threading.Event()

    @classmethod
    @contextmanager
    def recorded(cls, api: Api) -> Iterator[Self]:
        """Record from now on, in all namespaces."""
        record = cls(api)
        for kind in GRANTED:
            items, version = api.listed_at(kind)
            for item in items:
                record._known[_key(kind, item)] = item
            follow = threading.Thread(target=record._follow, args=(kind, version), daemon=True)
            follow.start()
        try:
            yield record
        finally:
            record._ending.set()

    def those(
        self,
        kind: Kind | None = None,
        *,
        namespace: str | None = None,
        since_s: float = 0.0,
        where: Callable[[Write], bool] = lambda _: True,
    ) -> list[Write]:
        """Return the writes that match, in the order in which they were told."""
        time.sleep(SETTLE_S)  # what was written a moment ago is being told now
        with self._lock:
            found = list(self._writes)
        return [
            write
            for write in found
            if (kind is None or write.kind is kind)
            and (namespace is None or write.namespace == namespace)
            and write.at_s >= since_s
            and where(write)
        ]

    def are_calm(self) -> bool:
        """Whether nothing has been written for as long as a step of the load may have its plans."""
        since_s = time.monotonic() - CALM_S
        return all(write.kind is kube.LEASES for write in self.those(since_s=since_s))

    def _follow(self, kind: Kind, version: str) -> None:
        while not self._ending.is_set():
            try:
                for event in self._api.watch(kind, version):
                    if event["type"] == "ERROR":
                        break  # its version is too old: list again
                    self._note(kind, event)
                if not self._ending.is_set():
                    version = self._catch_up(kind)
            except Unanswered:
                self._ending.wait(0.2)
                version = self._caught_up(kind, version)

    def _caught_up(self, kind: Kind, version: str) -> str:
        """Return the version to go on from after a silence, the old one while it lasts."""
        try:
            return version if self._ending.is_set() else self._catch_up(kind)
        except Unanswered:
            return version

    def _catch_up(self, kind: Kind) -> str:
        """Note what changed while nothing was told, e.g. with the API server away."""
        items, version = self._api.listed_at(kind)
        there = {_key(kind, item): item for item in items}
        for key, item in there.items():
            verb = "MODIFIED" if key in self._known else "ADDED"
            self._note(kind, {"type": verb, "object": item})
        gone = [key for key in self._known if key[0] == kind.plural and key not in there]
        for key in gone:
            self._note(kind, {"type": "DELETED", "object": self._known[key]})
        return version

    def _note(self, kind: Kind, event: dict[str, Any]) -> None:
        live, verb = event["object"], event["type"]
        if verb == "BOOKMARK":
            return
        key = _key(kind, live)
        with self._lock:
            before = self._known.get(key)
            if before is not None and _version(before) == _version(live) and verb != "DELETED":
                return
            if verb == "DELETED":
                self._known.pop(key, None)
            else:
                self._known[key] = live
            changed = PARTS if before is None else _differing(before, live)
            self._writes.append(Write(time.monotonic(), kind, verb, live, frozenset(changed)))


def requests(api: Api) -> Counter[tuple[str, str, str]]:
    """Return how many requests to write each granted resource the API server has had.

    By resource, subresource and verb, whoever made them.
    """
    granted = {kind.plural for kind in GRANTED if kind not in (kube.LEASES, kube.EVENTS)}
    found: Counter[tuple[str, str, str]] = Counter()
    for line in api.text("/metrics").splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        if labels["resource"] in granted and re.fullmatch(VERBS, labels["verb"]):
            key = (labels["resource"], labels["subresource"], labels["verb"])
            found[key] += int(float(line.rpartition(" ")[2]))
    return found


def _differing(before: Manifest, live: Manifest) -> list[str]:
    return [part for part in PARTS if _part(before, part) != _part(live, part)]


def _part(live: Manifest, name: str) -> Any:
    return live["metadata"].get(name) if name in ("annotations", "labels") else live.get(name)


def _key(kind: Kind, live: Manifest) -> tuple[str, str, str]:
    metadata = live["metadata"]
    return kind.plural, metadata.get("namespace", ""), metadata["name"]


def _version(live: Manifest) -> str:
    return str(live["metadata"]["resourceVersion"])


def _newest(live: Manifest) -> str:
    stamps = [entry.get("time", "") for entry in live["metadata"].get("managedFields") or ()]
    return max(stamps, default="")

"""A second look at the cluster, now and then: what a watch missed is mended here.

kopf never tells of objects that went while it was not connected, and its watches have been known
to go deaf. A list of names and versions is cheap; whatever it knows better than the store is
fetched, whatever it lacks is dropped.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hadis_operator import kube, storing, watching
from hadis_operator.kube import Kind, Kube, NotThere
from hadis_operator.objects import Manifest
from hadis_operator.storing import Place, Store

SWEEP_EVERY_S = 30.0
DEAF_AFTER = 2
"""Sweeps in a row that had to mend a kind of which nothing was heard in between before its watch is
taken for deaf: one may have met an event that was still on its way."""
ONE_BY_ONE = 20
"""Objects that are fetched singly; more of them come as a list."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a list says against a store: objects to fetch, and objects that are gone."""

    missed: tuple[Place, ...] = ()
    gone: tuple[Place, ...] = ()


def compare(
    kind: Kind,
    listed: Sequence[Mapping[str, object]],
    list_version: int,
    known: Iterable[Manifest],
) -> Findings:
    """Return what the store has wrong, given the metadata of a list and the list's version.

    An object that the store knows in a version above the list's was made after it.
    """
    on_list = {storing.place_of(kind, dict(item)): item for item in listed}
    in_store = {storing.place_of(kind, live): live for live in known}
    missed = [
        place
        for place, item in on_list.items()
        if place not in in_store or storing.version_of(item) > storing.version_of(in_store[place])
    ]
    gone = [
        place
        for place, live in in_store.items()
        if place not in on_list and storing.version_of(live) <= list_version
    ]
    return Findings(tuple(missed), tuple(gone))


class Sweeper:
    """Compares the store with the cluster. `mended` counts by plural what watches had missed."""

    def __init__(self, api: Kube, store: Store, *, namespaces: Sequence[str] = ()) -> None:
        self._api = api
        self._store = store
        self._places: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._in_a_row: dict[tuple[str, str | None], int] = {}
        self._heard: set[tuple[str, str | None]] = set()
        self.mended: dict[str, int] = {}

    async def fill(self) -> None:
        """Put everything there is into the store, as whole lists. Raises ClusterTrouble."""
        for kind in watching.WATCHED:
            for namespace in self._places:
                await self._fill(kind, namespace)

    def note_heard(self, kind: Kind, namespace: str) -> None:
        """Note that a watch has told something: it is not deaf."""
        self._heard.add((kind.plural, None if None in self._places else namespace))

    async def sweep(self) -> bool:
        """Mend the store once; return whether a watch seems to be deaf. Raises ClusterTrouble."""
        is_deaf = False
        for kind in watching.WATCHED:
            for namespace in self._places:
                found = await self._sweep(kind, namespace)
                count = len(found.missed) + len(found.gone)
                self.mended[kind.plural] = self.mended.get(kind.plural, 0) + count
                watch = (kind.plural, namespace)
                is_suspect = count > 0 and watch not in self._heard
                self._in_a_row[watch] = self._in_a_row.get(watch, 0) + 1 if is_suspect else 0
                is_deaf = is_deaf or self._in_a_row[watch] >= DEAF_AFTER
        self._heard.clear()
        if is_deaf:
            self._in_a_row.clear()
        return is_deaf

    async def _sweep(self, kind: Kind, namespace: str | None) -> Findings:
        listed, version = await self._api.list(
            kind, namespace, selector=watching.selector_of(kind), metadata_only=True
        )
        known = list(self._store.all(kind, namespace))
        found = compare(kind, listed, int(version) if version.isdigit() else 0, known)
        for _, inside, name in found.gone:
            self._store.drop(kind, inside, name)
        if len(found.missed) > ONE_BY_ONE:
            await self._fill(kind, namespace)
        else:
            await self._fetch(kind, found.missed)
        if found.missed or found.gone:
            LOG.info(
                "%s: %d changes and %d deletions had been missed",
                kind.plural,
                len(found.missed),
                len(found.gone),
            )
        return found

    async def _fill(self, kind: Kind, namespace: str | None) -> None:
        listed, _ = await self._api.list(kind, namespace, selector=watching.selector_of(kind))
        for live in listed:
            self._store.put(kind, live)

    async def _fetch(self, kind: Kind, places: Iterable[Place]) -> None:
        for _, namespace, name in places:
            try:
                self._store.put(kind, await self._api.get(kind, namespace, name))
            except NotThere:
                continue  # gone again


async def kinds_are_there(api: Kube) -> bool:
    """Return whether the definitions of both kinds are there; kopf looks for them only once."""
    return await api.serves(kube.CASCADES) and await api.serves(kube.PROFILES)

"""A second look at the cluster, now and then: what a watch missed is mended here.

kopf never tells of objects that went while it was not connected, and its watches have been known
to go deaf. A list of names and versions is cheap; whatever it knows better than the store is
fetched, whatever it lacks is dropped.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hadis_operator import kube, storing, watching
from hadis_operator.kube import ClusterRefused, Kind, Kube, NotThere
from hadis_operator.objects import Manifest
from hadis_operator.storing import Place, Store

SWEEP_EVERY_S = 30.0
REST_TIMES = 4.0
"""For how many times as long as a page has taken a sweep rests, while nobody waits for it. A
thousand slots make a second of reading, which all at once would be missing to cycles that are due.
"""
LONGEST_REST_S = 1.0
DEAF_AFTER = 2
"""Sweeps in a row that had to mend a kind of which nothing was heard in between before its watch is
taken for deaf: one may have met an event that was still on its way."""
ONE_BY_ONE = 20
"""Objects that are fetched singly; more of them come as a list."""
UNREADABLE = (403, 404)
"""What the API answers about a namespace in which this operator has no Role, or no longer."""
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
    """Compares the store with the cluster. `mended` counts by plural what watches had missed.

    A sweep takes its time while there is a `hurry` that is not set.

    Of several watched namespaces one may become unreadable, because it is deleted and its Role with
    it. It is forgotten, as if nothing were in it, and looked at again with every sweep; what the
    others hold has nothing to do with it.
    """

    def __init__(
        self,
        api: Kube,
        store: Store,
        *,
        namespaces: Sequence[str] = (),
        hurry: asyncio.Event | None = None,
    ) -> None:
        self._api = api
        self._store = store
        self._hurry = hurry
        self._rested_s = time.monotonic()
        self._places: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._in_a_row: dict[tuple[str, str | None], int] = {}
        self._heard: set[tuple[str, str | None]] = set()
        self._lost: set[str | None] = set()
        self.mended: dict[str, int] = {}

    @property
    def readable(self) -> dict[str, bool]:
        """Whether each watched namespace could be read last; empty where all are watched."""
        return {place: place not in self._lost for place in self._places if place is not None}

    def is_lost(self, namespace: str) -> bool:
        """Return whether a namespace is left out at present."""
        return namespace in self._lost

    async def fill(self) -> None:
        """Put everything there is into the store, as whole lists.

        Raises ClusterTrouble; for a namespace that is refused only when all of them are.
        """
        refusal: ClusterRefused | None = None
        for place in self._places:
            try:
                await self._fill(place)
                self._lost.discard(place)
            except ClusterRefused as error:
                refusal = self._lose(place, error)
        if refusal is not None and not any(self.readable.values()):
            raise refusal

    def note_heard(self, kind: Kind, namespace: str) -> None:
        """Note that a watch has told something: it is not deaf."""
        self._heard.add((kind.plural, None if None in self._places else namespace))

    async def sweep(self) -> bool:
        """Mend the store once; return whether a watch seems to be deaf. Raises ClusterTrouble."""
        is_deaf = False
        self._rested_s = time.monotonic()
        for place in self._places:
            try:
                if place in self._lost:
                    await self._fill(place)
                    self._lost.discard(place)
                    LOG.info("namespace %s can be read again", place)
                else:
                    is_deaf = await self._sweep(place) or is_deaf
            except ClusterRefused as error:
                self._lose(place, error)
        self._heard.clear()
        if is_deaf:
            self._in_a_row.clear()
        return is_deaf

    async def _sweep(self, place: str | None) -> bool:
        """Mend what the store has of a namespace; return whether one of its watches seems deaf."""
        is_deaf = False
        for kind in watching.WATCHED:
            found = await self._mend(kind, place)
            await self._rest()
            count = len(found.missed) + len(found.gone)
            self.mended[kind.plural] = self.mended.get(kind.plural, 0) + count
            watch = (kind.plural, place)
            is_suspect = count > 0 and watch not in self._heard
            self._in_a_row[watch] = self._in_a_row.get(watch, 0) + 1 if is_suspect else 0
            is_deaf = is_deaf or self._in_a_row[watch] >= DEAF_AFTER
        return is_deaf

    async def _mend(self, kind: Kind, place: str | None) -> Findings:
        listed, version = await self._api.list(
            kind,
            place,
            selector=watching.selector_of(kind),
            metadata_only=True,
            rest=self._rest,
        )
        known = list(self._store.all(kind, place))
        found = compare(kind, listed, int(version) if version.isdigit() else 0, known)
        for _, inside, name in found.gone:
            self._store.drop(kind, inside, name)
        if len(found.missed) > ONE_BY_ONE:
            for live in await self._list(kind, place):
                self._store.put(kind, live)
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

    async def _rest(self) -> None:
        """Leave a moment to everybody else, unless somebody waits for this sweep."""
        if self._hurry is not None:
            worked_s = time.monotonic() - self._rested_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(REST_TIMES * worked_s, LONGEST_REST_S)):
                    await self._hurry.wait()
        self._rested_s = time.monotonic()

    async def _fill(self, place: str | None) -> None:
        """Put all of a namespace into the store at once, and the cascades last.

        Whoever looks after a cascade must not take what was not listed yet for missing.
        """
        kinds = tuple(reversed(watching.WATCHED))
        listed = [(kind, await self._list(kind, place)) for kind in kinds]
        for kind, found in listed:
            for live in found:
                self._store.put(kind, live)

    async def _list(self, kind: Kind, place: str | None) -> list[Manifest]:
        found, _ = await self._api.list(kind, place, selector=watching.selector_of(kind))
        return found

    async def _fetch(self, kind: Kind, places: Iterable[Place]) -> None:
        for _, namespace, name in places:
            try:
                self._store.put(kind, await self._api.get(kind, namespace, name))
            except NotThere:
                continue  # gone again

    def _lose(self, place: str | None, error: ClusterRefused) -> ClusterRefused:
        """Forget a namespace that may not be read; raise the error when it is about another thing.

        Cascades go first, so that nobody looks after one whose objects seem to be gone.
        """
        if place is None or error.status not in UNREADABLE:
            raise error
        if place not in self._lost:
            LOG.warning(
                "namespace %s cannot be read and is left out until it can: %s",
                place,
                kube.told_briefly(error),
            )
        self._lost.add(place)
        for kind in watching.WATCHED:
            self._in_a_row.pop((kind.plural, place), None)
            for live in self._store.all(kind, place):
                self._store.drop(kind, place, live["metadata"]["name"])
        return error


async def kinds_are_there(api: Kube) -> bool:
    """Return whether the definitions of both kinds are there; kopf looks for them only once."""
    return await api.serves(kube.CASCADES) and await api.serves(kube.PROFILES)

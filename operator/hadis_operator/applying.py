"""Writing to the cluster: what differs from what was rendered before, in one order, and no more.

The plan's ConfigMap goes first, then everything else but the slots, the slots, and each slot's
assignment on its Deployment. What does not belong to the cascade is left alone and told. What the
API does not do to one object is told, too, and keeps nothing else from being done. Every write asks
first whether this operator may still act.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from hadis.errors import RetryLater
from hadis.terms.assignments import Assignment
from hadis.terms.ids import WorkerName
from hadis_operator import annotating, kube, objects, surveying
from hadis_operator.kube import (
    ClusterRefused,
    ClusterUnreachable,
    Conflicting,
    Kind,
    Kube,
    NotThere,
)
from hadis_operator.objects import ASSIGNMENT_MANAGER, OPERATOR_MANAGER, Manifest, Owner
from hadis_operator.obstacles import InVain, Obstacles
from hadis_operator.reading import Given
from hadis_operator.rendering import fleet
from hadis_operator.restoring import Edits
from hadis_operator.storing import Store
from hadis_operator.surveying import Slots

AT_ONCE = 8
"""Assignments that are recorded at the same time: a pool of hundreds is told within seconds."""
MAX_STALLS = 3
"""Writes of one step that may go unanswered, each for seconds; the rest waits for the next turn."""
APPLY, ANNOTATE, SCALE, DELETE = "apply", "annotate", "scale", "delete"
_IN_VAIN = {
    APPLY: "was refused",
    ANNOTATE: "cannot record its assignment",
    SCALE: "cannot get its pod back",
    DELETE: "cannot be deleted",
}
LOG = logging.getLogger(__name__)


class NotLeading(RetryLater):
    """This operator may not act any more; somebody else may be acting already."""


class Applier:
    """Writes the objects of one cascade. `may_act` is asked before every write."""

    def __init__(
        self,
        api: Kube,
        store: Store,
        *,
        may_act: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._store = store
        self._may_act = may_act
        self._edits = Edits(clock)
        self._in_vain = InVain(clock)
        self._stalls = 0
        self._open = asyncio.Semaphore(AT_ONCE)

    async def shape(self, owner: Owner, rendered: Sequence[Manifest]) -> Obstacles:
        """Write everything but the slots, the plan first, and delete what is no longer wanted."""
        live = surveying.live_objects(self._store, owner)
        edited = [
            identity
            for manifest in rendered
            if self._edits.of(live.get(identity := objects.identity(manifest)), manifest)
        ]
        self._stalls = 0
        found = await self._write(owner, fleet.unwritten(rendered, live, edited=edited))
        return found + await self._delete(fleet.superfluous(rendered, live))

    def edits(
        self, rendered: Mapping[str, Manifest], live: Mapping[str, Manifest]
    ) -> dict[str, list[str]]:
        """Return the fields of slots that somebody has changed by hand, by slot."""
        return {slot: self._edits.of(live.get(slot), one) for slot, one in rendered.items()}

    async def shape_slots(self, given: Given, slots: Slots) -> Obstacles:
        """Make, roll and delete slots as was decided."""
        rollout = slots.rollout
        live = surveying.live_slots(self._store, given.owner)
        self._stalls = 0
        # One that exists after all is no reason to replace its pod: the next turn decides anew.
        found = await self._write(
            given.owner, [slots.rendered[slot] for slot in rollout.create], only_new=True
        )
        applied = (*rollout.roll, *rollout.restamp)
        found += await self._write(given.owner, [slots.rendered[slot] for slot in applied])
        for slot in rollout.rescale:
            if slot in live and slot not in applied:
                found += await self._rescale(live[slot])
        return found + await self._delete(live[slot] for slot in rollout.leave if slot in live)

    async def annotate(
        self, owner: Owner, assignments: Mapping[WorkerName, Assignment]
    ) -> Obstacles:
        """Record each slot's assignment on its Deployment, where it has changed."""
        live = surveying.live_slots(self._store, owner)
        stale = annotating.stale_annotations(assignments, live)
        self._stalls = 0
        ends = await asyncio.gather(
            *(
                self._annotate(annotating.annotation_patch(live[slot], text))
                for slot, text in stale.items()
            ),
            return_exceptions=True,
        )
        found = Obstacles()
        for end in ends:
            if isinstance(end, BaseException):
                raise end
            found += end
        return found

    async def write_status(self, manifest: Manifest, *, uid: str) -> None:
        """Write the status of the cascade with that UID. Raises ClusterTrouble.

        ClusterRefused when another cascade has its name by now.
        """
        self._require_lead()
        told = await self._api.apply(manifest, manager=OPERATOR_MANAGER, part="status", uid=uid)
        self._store.put(kube.CASCADES, told)

    async def tell(self, event: Manifest) -> bool:
        """Create an Event. One that is refused is only missed; False: it may be taken later."""
        self._require_lead()
        try:
            await self._api.create(event, manager=OPERATOR_MANAGER)
        except ClusterRefused as error:
            LOG.info("an event was refused: %s", kube.told_briefly(error))
        except ClusterUnreachable as error:
            LOG.info("an event was not taken: %s", kube.told_briefly(error))
            return False
        return True

    async def _write(
        self, owner: Owner, manifests: Iterable[Manifest], *, only_new: bool = False
    ) -> Obstacles:
        """Apply each of them; what is in the way of one does not keep the others."""
        found = Obstacles()
        for manifest in manifests:
            act = partial(self._apply, owner, manifest, only_new=only_new)
            found += await self._try(APPLY, manifest, act)
        return found

    async def _try(
        self, verb: str, request: Manifest, act: Callable[[], Awaitable[Obstacles]]
    ) -> Obstacles:
        """Do one thing to one object; return what was in the way.

        ClusterUnreachable only when the API answers nothing else about the object either.
        """
        lately = self._in_vain.lately(verb, request)
        if lately is not None:
            return lately
        if self._stalls >= MAX_STALLS:
            return Obstacles()
        try:
            found = await act()
        except ClusterRefused as error:
            found = self._fault(verb, request, error)
        except ClusterUnreachable as error:
            self._stalls += 1
            await self._require_answer(request, error)
            found = self._fault(verb, request, error)
        if found.taken or found.faults:
            return self._in_vain.note(verb, request, found)
        self._in_vain.forget(verb, request)
        return found

    def _fault(
        self, verb: str, request: Manifest, error: ClusterRefused | ClusterUnreachable
    ) -> Obstacles:
        what = " ".join(objects.identity(request))
        LOG.warning("%s %s: %s", what, _IN_VAIN[verb], error)
        return Obstacles(faults=(f"{what} {_IN_VAIN[verb]}: {kube.words_of(error)}",))

    async def _require_answer(self, request: Manifest, error: ClusterUnreachable) -> None:
        """Raise `error` unless the API answers a look at the same object.

        One that does has trouble with this write alone: a webhook that is down answers 500, one
        that hangs not at all, and so does the API itself to a field that it does not know.
        """
        if error.status is not None and error.status < 500:
            raise error
        metadata = request["metadata"]
        try:
            await self._api.get(kube.kind_of(request), metadata["namespace"], metadata["name"])
        except ClusterRefused:
            return
        except ClusterUnreachable:
            raise error from None

    async def _apply(self, owner: Owner, manifest: Manifest, *, only_new: bool) -> Obstacles:
        """Apply a manifest, to nothing but the object that was looked at."""
        kind, metadata = kube.kind_of(manifest), manifest["metadata"]
        live = self._store.get(kind, metadata["namespace"], metadata["name"])
        if live is None:
            live = await self._fetch(kind, metadata["namespace"], metadata["name"])
        if live is not None and not objects.is_controlled_by(live, owner):
            return _taken(manifest)
        edits = self._edits.of(live, manifest)
        if live is not None and (only_new or (objects.is_current(live, manifest) and not edits)):
            return Obstacles()  # the watch is behind; the store knows by now
        self._require_lead()
        try:
            if live is None:
                told = await self._api.apply_new(manifest, manager=OPERATOR_MANAGER)
            else:
                told = await self._api.apply(
                    manifest, manager=OPERATOR_MANAGER, uid=live["metadata"]["uid"]
                )
        except ClusterRefused as error:
            if live is None and not isinstance(error, Conflicting):
                raise
            return await self._look_again(owner, manifest, live, error)
        self._store.put(kind, told)
        self._edits.note_applied(told, restores=bool(edits))
        if not edits:
            return Obstacles()
        what = " ".join(objects.identity(manifest))
        LOG.warning("%s was changed by hand and is put back: %s", what, ", ".join(edits))
        return Obstacles(restored=(f"{what} ({edits[0]})",))

    async def _look_again(
        self, owner: Owner, manifest: Manifest, known: Manifest | None, error: ClusterRefused
    ) -> Obstacles:
        """See what there is instead of `known`; the next turn decides by it.

        `error` is raised when that very object is there: then it is about what was applied. The API
        has several words for another UID.
        """
        kind, metadata = kube.kind_of(manifest), manifest["metadata"]
        live = await self._fetch(kind, metadata["namespace"], metadata["name"])
        if known is not None:
            uid = str(known["metadata"]["uid"])
            if live is not None and live["metadata"]["uid"] == uid:
                raise error
            self._store.drop(kind, metadata["namespace"], metadata["name"], uid=uid)
        is_foreign = live is not None and not objects.is_controlled_by(live, owner)
        return _taken(manifest) if is_foreign else Obstacles()

    async def _fetch(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Ask for an object that the store does not have: a foreign one is not watched."""
        try:
            live = await self._api.get(kind, namespace, name)
        except NotThere:
            return None
        # Only our own go into the store, where everything is taken for watched.
        labels = live["metadata"].get("labels") or {}
        if labels.get(objects.MANAGED_BY_LABEL) == OPERATOR_MANAGER:
            self._store.put(kind, live)
        return live

    async def _annotate(self, patch: Manifest) -> Obstacles:
        async with self._open:
            return await self._try(ANNOTATE, patch, partial(self._patch, patch, self._note))

    async def _note(self, patch: Manifest) -> Manifest:
        return await self._api.apply(patch, manager=ASSIGNMENT_MANAGER)

    async def _rescale(self, live: Manifest) -> Obstacles:
        """Give a slot its one pod back without touching what that pod is made of."""
        patch = {**objects.reference(live), "spec": {"replicas": 1}}
        return await self._try(SCALE, patch, partial(self._patch, patch, self._merge))

    async def _merge(self, patch: Manifest) -> Manifest:
        return await self._api.merge(patch, manager=OPERATOR_MANAGER)

    async def _patch(
        self, patch: Manifest, write: Callable[[Manifest], Awaitable[Manifest]]
    ) -> Obstacles:
        self._require_lead()
        try:
            told = await write(patch)
        except ClusterRefused as error:
            metadata = patch["metadata"]
            live = await self._fetch(kube.DEPLOYMENTS, metadata["namespace"], metadata["name"])
            if live is not None and live["metadata"]["uid"] == metadata["uid"]:
                raise
            # It went, or another one has its name: the watch will tell, nothing is lost.
            LOG.info("%s: %s", metadata["name"], kube.told_briefly(error))
        else:
            self._store.put(kube.DEPLOYMENTS, told)
        return Obstacles()

    async def _delete(self, superfluous: Iterable[Manifest]) -> Obstacles:
        found = Obstacles()
        for live in superfluous:
            if "deletionTimestamp" not in live["metadata"]:
                one = objects.reference(live)
                found += await self._try(DELETE, one, partial(self._remove, one))
        return found

    async def _remove(self, reference: Manifest) -> Obstacles:
        metadata = reference["metadata"]
        self._require_lead()
        await self._api.delete(
            kube.kind_of(reference),
            metadata["namespace"],
            metadata["name"],
            uid=metadata["uid"],
        )
        return Obstacles()

    def _require_lead(self) -> None:
        if not self._may_act():
            raise NotLeading("another operator may be acting by now")


def _taken(manifest: Manifest) -> Obstacles:
    return Obstacles(taken=(" ".join(objects.identity(manifest)),))

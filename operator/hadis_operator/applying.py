"""Writing to the cluster: what differs from what was rendered before, in one order, and no more.

The plan's ConfigMap goes first, then everything else but the slots, the slots, and each slot's
assignment on its Deployment. What does not belong to the cascade is left alone and told. Every
write asks first whether this operator may still act.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hadis.errors import RetryLater
from hadis.terms.assignments import Assignment
from hadis.terms.ids import WorkerName
from hadis.wire.assignments import AssignmentBody
from hadis_operator import kube, objects, rollouts
from hadis_operator.installation import Installation
from hadis_operator.kube import ClusterRefused, Kind, Kube, NotThere
from hadis_operator.objects import ASSIGNMENT_MANAGER, OPERATOR_MANAGER, Manifest, Owner
from hadis_operator.reading import Given
from hadis_operator.rendering import fleet, workers
from hadis_operator.restoring import Edits
from hadis_operator.rollouts import LiveSlot, Rollout, Wanted
from hadis_operator.storing import Store

LOOK_AGAIN_S = 10.0
"""How often a foreign object in the way, or a manifest that was refused, is tried again."""
AT_ONCE = 8
"""Assignments that are recorded at the same time: a pool of hundreds is told within seconds."""
LOG = logging.getLogger(__name__)


class NotLeading(RetryLater):
    """This operator may not act any more; somebody else may be acting already."""


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What was in the way of the cluster being as it shall be.

    `taken`: foreign objects by kind and name; `faults`: the API's refusals; both could not be
    written. `restored`: what somebody had changed by hand, and was put back.
    """

    taken: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()

    def __add__(self, other: "Obstacles") -> "Obstacles":
        return Obstacles(
            self.taken + other.taken,
            self.faults + other.faults,
            self.restored + other.restored,
        )


@dataclass(frozen=True, slots=True)
class _Delay:
    """Since when one rendering (its digest) of an object is put off, and because of what."""

    at_s: float
    digest: str
    obstacles: Obstacles


@dataclass(frozen=True, slots=True)
class Slots:
    """How the slots stand, and what was decided about them."""

    rendered: Mapping[str, Manifest] = field(default_factory=dict)
    live: tuple[LiveSlot, ...] = ()
    rollout: Rollout = field(default_factory=Rollout)
    updated: int = 0
    older: int = 0


def live_objects(store: Store, owner: Owner) -> dict[tuple[str, str], Manifest]:
    """Return an owner's objects, its slots left out, by kind and name."""
    return {
        objects.identity(live): live
        for kind in kube.OWN_KINDS
        if kind is not kube.PODS
        for live in store.owned(kind, owner)
        if kind is not kube.DEPLOYMENTS or not is_slot(live)
    }


def live_slots(store: Store, owner: Owner) -> dict[str, Manifest]:
    """Return an owner's slots as they are, by name of the slot."""
    return {
        live["metadata"]["labels"][objects.SLOT_LABEL]: live
        for live in store.owned(kube.DEPLOYMENTS, owner)
        if is_slot(live)
    }


def is_slot(deployment: Manifest) -> bool:
    """Return whether a Deployment is a slot."""
    return objects.SLOT_LABEL in (deployment["metadata"].get("labels") or {})


def render_slots(given: Given, installation: Installation) -> dict[str, Manifest]:
    """Return every slot's Deployment as it would be rendered today."""
    return {
        slot: workers.render(given.owner, given.spec, installation, slot, roll=given.roll)
        for slot in rollouts.slots(given.cascade.workers)
    }


def survey(
    given: Given,
    installation: Installation,
    rendered: Mapping[str, Manifest],
    live: Mapping[str, Manifest],
    *,
    unschedulable: Collection[str] = (),
    stuck: Collection[str] = (),
    edits: Mapping[str, Sequence[str]] | None = None,
) -> Slots:
    """Return how the slots stand against what they shall be, and what to do about it now.

    `stuck` are the slots whose pods wait in vain, `edits` the fields that somebody has changed by
    hand, by slot.
    """
    wanted = Wanted.from_rendered(rendered.values())
    found = tuple(
        rollouts.with_edits(
            rollouts.without_node(LiveSlot.from_deployment(one), unschedulable, stuck),
            (edits or {}).get(slot, ()),
        )
        for slot, one in sorted(live.items())
    )
    rollout = rollouts.decide(
        wanted, found, max_unavailable=int(given.spec["workers"]["maxUnavailable"])
    )
    if given.is_held:
        # A pod of the new rendering would wait for models that are not there yet.
        kept = (*rollout.keep, *rollout.roll, *rollout.restamp, *rollout.wait)
        rollout = replace(rollout, keep=kept, roll=(), restamp=(), wait=())
    return Slots(
        rendered,
        found,
        rollout,
        updated=rollouts.updated(wanted, found),
        older=rollouts.older(found, installation.version),
    )


def stale_annotations(
    assignments: Mapping[WorkerName, Assignment], live: Mapping[str, Manifest]
) -> dict[str, str]:
    """Return the annotation of each slot whose Deployment records another assignment."""
    found: dict[str, str] = {}
    for slot, deployment in sorted(live.items()):
        assignment = assignments.get(WorkerName(slot))
        if assignment is None or "deletionTimestamp" in deployment["metadata"]:
            continue
        text = assignment_text(assignment)
        if objects.annotation(deployment, objects.ASSIGNMENT_ANNOTATION) != text:
            found[slot] = text
    return found


def assignment_text(assignment: Assignment) -> str:
    """Return an assignment as the annotation has it."""
    body = AssignmentBody.from_terms(assignment).model_dump(mode="json")
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def annotation_patch(deployment: Manifest, text: str) -> Manifest:
    """Return what the annotations' own field manager applies; its UID keeps a namesake safe."""
    metadata = deployment["metadata"]
    return {
        "apiVersion": kube.DEPLOYMENTS.api_version,
        "kind": kube.DEPLOYMENTS.kind,
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "annotations": {objects.ASSIGNMENT_ANNOTATION: text},
        },
    }


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
        self._clock = clock
        self._edits = Edits(clock)
        self._put_off: dict[tuple[str, str], _Delay] = {}
        self._open = asyncio.Semaphore(AT_ONCE)

    async def shape(self, owner: Owner, rendered: Sequence[Manifest]) -> Obstacles:
        """Write everything but the slots, the plan first, and delete what is no longer wanted."""
        live = live_objects(self._store, owner)
        edited = [
            identity
            for manifest in rendered
            if self._edits.of(live.get(identity := objects.identity(manifest)), manifest)
        ]
        found = await self._write(owner, fleet.unwritten(rendered, live, edited=edited))
        for manifest in fleet.superfluous(rendered, live):
            await self._delete(manifest)
        return found

    def edits(
        self, rendered: Mapping[str, Manifest], live: Mapping[str, Manifest]
    ) -> dict[str, list[str]]:
        """Return the fields of slots that somebody has changed by hand, by slot."""
        return {slot: self._edits.of(live.get(slot), one) for slot, one in rendered.items()}

    async def shape_slots(self, given: Given, slots: Slots) -> Obstacles:
        """Make, roll and delete slots as was decided."""
        rollout = slots.rollout
        live = live_slots(self._store, given.owner)
        # One that exists after all is no reason to replace its pod: the next turn decides anew.
        made = await self._write(
            given.owner, [slots.rendered[slot] for slot in rollout.create], only_new=True
        )
        rolled = await self._write(
            given.owner, [slots.rendered[slot] for slot in (*rollout.roll, *rollout.restamp)]
        )
        for slot in rollout.rescale:
            if slot in live and slot not in (*rollout.roll, *rollout.restamp):
                await self._rescale(live[slot])
        for slot in rollout.leave:
            if slot in live:
                await self._delete(live[slot])
        return made + rolled

    async def annotate(self, owner: Owner, assignments: Mapping[WorkerName, Assignment]) -> None:
        """Record each slot's assignment on its Deployment, where it has changed."""
        live = live_slots(self._store, owner)
        stale = stale_annotations(assignments, live)
        ends = await asyncio.gather(
            *(self._annotate(live[slot], text) for slot, text in stale.items()),
            return_exceptions=True,
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _annotate(self, live: Manifest, text: str) -> None:
        async with self._open:
            self._require_lead()
            try:
                told = await self._api.apply(
                    annotation_patch(live, text), manager=ASSIGNMENT_MANAGER
                )
            except ClusterRefused as error:
                # It went, or another one has its name: the watch will tell, nothing is lost.
                LOG.info("%s: %s", live["metadata"]["name"], kube.told_briefly(error))
                return
            self._store.put(kube.DEPLOYMENTS, told)

    async def write_status(self, manifest: Manifest) -> None:
        """Write a cascade's status. Raises ClusterTrouble."""
        self._require_lead()
        told = await self._api.apply(manifest, manager=OPERATOR_MANAGER, part="status")
        self._store.put(kube.CASCADES, told)

    async def tell(self, event: Manifest) -> None:
        """Create an Event; one that is refused is only missed."""
        self._require_lead()
        try:
            await self._api.create(event, manager=OPERATOR_MANAGER)
        except ClusterRefused as error:
            LOG.info("an event was refused: %s", kube.told_briefly(error))

    async def _write(
        self, owner: Owner, manifests: Sequence[Manifest], *, only_new: bool = False
    ) -> Obstacles:
        """Apply each of them; what is in the way of one does not keep the others."""
        found = Obstacles()
        for manifest in manifests:
            delay = self._put_off.get(objects.identity(manifest))
            if delay is not None and self._holds(delay, manifest):
                found += delay.obstacles
            else:
                found += await self._write_one(owner, manifest, only_new=only_new)
        return found

    async def _write_one(self, owner: Owner, manifest: Manifest, *, only_new: bool) -> Obstacles:
        """Apply a manifest; return what was in the way."""
        kind, metadata = kube.kind_of(manifest), manifest["metadata"]
        what = " ".join(objects.identity(manifest))
        live = self._store.get(kind, metadata["namespace"], metadata["name"])
        if live is None:
            live = await self._fetch(kind, metadata["namespace"], metadata["name"])
        if live is not None and not objects.is_controlled_by(live, owner):
            return self._put_it_off(manifest, Obstacles(taken=(what,)))
        edits = self._edits.of(live, manifest)
        if live is not None and (only_new or (objects.is_current(live, manifest) and not edits)):
            return Obstacles()  # the watch is behind; the store knows by now
        self._require_lead()
        try:
            told = await self._api.apply(manifest, manager=OPERATOR_MANAGER)
        except ClusterRefused as error:
            LOG.warning("%s was refused: %s", what, error)
            reason = f"{what} was refused: {kube.told_briefly(error)}"
            return self._put_it_off(manifest, Obstacles(faults=(reason,)))
        self._put_off.pop(objects.identity(manifest), None)
        self._store.put(kind, told)
        self._edits.note_applied(told, restores=bool(edits))
        if not edits:
            return Obstacles()
        LOG.warning("%s was changed by hand and is put back: %s", what, ", ".join(edits))
        return Obstacles(restored=(f"{what} ({edits[0]})",))

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

    async def _rescale(self, live: Manifest) -> None:
        """Give a slot its one pod back without touching what that pod is made of."""
        metadata = live["metadata"]
        self._require_lead()
        patch = {
            "apiVersion": live["apiVersion"],
            "kind": live["kind"],
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "spec": {"replicas": 1},
        }
        try:
            told = await self._api.merge(patch, manager=OPERATOR_MANAGER)
        except ClusterRefused as error:
            LOG.info("%s: %s", metadata["name"], kube.told_briefly(error))
            return
        self._store.put(kube.DEPLOYMENTS, told)

    async def _delete(self, live: Manifest) -> None:
        kind, metadata = kube.kind_of(live), live["metadata"]
        if "deletionTimestamp" in metadata:
            return
        self._require_lead()
        await self._api.delete(kind, metadata["namespace"], metadata["name"], uid=metadata["uid"])

    def _holds(self, delay: _Delay, manifest: Manifest) -> bool:
        """Whether this very manifest was in vain a moment ago."""
        is_same = delay.digest == objects.digest(manifest)
        return is_same and self._clock() - delay.at_s < LOOK_AGAIN_S

    def _put_it_off(self, manifest: Manifest, obstacles: Obstacles) -> Obstacles:
        delay = _Delay(self._clock(), objects.digest(manifest), obstacles)
        self._put_off[objects.identity(manifest)] = delay
        return obstacles

    def _require_lead(self) -> None:
        if not self._may_act():
            raise NotLeading("another operator may be acting by now")

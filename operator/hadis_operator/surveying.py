"""How a cascade's objects and slots stand against what they shall be, from the store alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hadis_operator import kube, objects, rollouts
from hadis_operator.installation import Installation
from hadis_operator.objects import Manifest, Owner
from hadis_operator.reading import Given
from hadis_operator.rendering import workers
from hadis_operator.rollouts import LiveSlot, Rollout, Wanted
from hadis_operator.storing import Store


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

"""Which slots are made, kept, rolled or deleted now.

A worker's pod costs minutes to start, so its template is kept until its author changes something
that concerns it: the template or the models of the cascade, or the annotation
`hadis.dev/roll-workers`. A new version of the operator, or its defaults alone, rolls nothing. What
was rendered is remembered on each Deployment; what the API server made of it is not compared.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from hadis import resources
from hadis_operator import naming, objects, schemas
from hadis_operator.objects import Manifest

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
FIRST_REVISION = "1"
MAX_BLOCKED_CHARS = 300


@dataclass(frozen=True, slots=True)
class LiveSlot:
    """A slot's Deployment as the cluster has it."""

    slot: str
    template_hash: str = ""
    """Of the pod template as it was rendered."""
    spec_hash: str = ""
    """Of what the author said when it was rendered."""
    version: str = ""
    """The installation's that rendered it."""
    available: bool = False
    """Whether the one pod of its newest template is ready."""
    rolled: bool = False
    """Whether its template has ever changed."""
    replicas: int = 1
    """How many pods it shall have; anything but one is somebody else's doing."""
    deleting: bool = False
    """Whether its deletion has begun, so that its name is not free yet."""
    unschedulable: bool = False
    """Whether its pod waits for a node that does not exist: see `without_node`."""
    stuck: bool = False
    """Whether its pod serves nobody and will not by waiting alone: see `without_node`."""
    edited: bool = False
    """Whether somebody has changed by hand what was rendered: see `with_edits`."""
    edited_pod: bool = False
    """Whether that concerns its pod template."""
    blocked: str = ""
    """Why no pod of it can be made; empty while one can."""

    @classmethod
    def from_deployment(cls, live: Manifest) -> Self:
        """Read a live Deployment with the label `hadis.dev/slot`."""
        metadata, spec, status = live["metadata"], live["spec"], live.get("status") or {}
        replicas = int(spec.get("replicas", 1))
        seen = int(status.get("observedGeneration", 0)) >= int(metadata.get("generation", 0))
        return cls(
            slot=metadata["labels"][objects.SLOT_LABEL],
            template_hash=objects.annotation(live, objects.TEMPLATE_ANNOTATION) or "",
            spec_hash=objects.annotation(live, objects.SPEC_ANNOTATION) or "",
            version=objects.annotation(live, objects.VERSION_ANNOTATION) or "",
            available=seen
            and int(status.get("updatedReplicas", 0)) >= 1
            and int(status.get("availableReplicas", 0)) >= 1
            and not status.get("unavailableReplicas"),
            rolled=objects.annotation(live, REVISION_ANNOTATION) not in (None, FIRST_REVISION),
            replicas=replicas,
            deleting=metadata.get("deletionTimestamp") is not None,
            blocked=blocked(live),
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the slots shall be: each one's rendered template, and what it was rendered from."""

    spec_hash: str
    template_hashes: Mapping[str, str]
    """By slot, in the order of the slots."""

    @classmethod
    def from_rendered(cls, rendered: Iterable[Manifest]) -> Self:
        """Read the hashes of rendered Deployments; without any, no slot is wanted."""
        templates: dict[str, str] = {}
        spec = ""
        for manifest in rendered:
            slot = manifest["metadata"]["labels"][objects.SLOT_LABEL]
            templates[slot] = objects.annotation(manifest, objects.TEMPLATE_ANNOTATION) or ""
            spec = objects.annotation(manifest, objects.SPEC_ANNOTATION) or ""
        return cls(spec, templates)


@dataclass(frozen=True, slots=True)
class Rollout:
    """What to do with each slot now. Every slot is in exactly one of these but `rescale`."""

    create: tuple[str, ...] = ()
    """There is no Deployment yet."""
    roll: tuple[str, ...] = ()
    """Apply the new rendering now; the pod is replaced."""
    restamp: tuple[str, ...] = ()
    """Apply the new rendering now; its pod template is the old one, so that no pod is touched."""
    wait: tuple[str, ...] = ()
    """To be rolled once others are back."""
    keep: tuple[str, ...] = ()
    """Leave it alone, whatever it would be rendered as today."""
    leave: tuple[str, ...] = ()
    """Delete it; its deletion has not begun."""
    ending: tuple[str, ...] = ()
    """Its deletion has begun; it is made again, if wanted, once it is gone."""
    rescale: tuple[str, ...] = ()
    """Set its replicas to one again; nothing else of it is touched."""

    @property
    def is_under_way(self) -> bool:
        """Whether slots of an older rendering are still to be rolled, or are just being so."""
        return bool(self.roll or self.wait)


def spec_hash(spec: Mapping[str, Any], roll: str | None) -> str:
    """Return a hash of what an author must change for a slot to take a new rendering.

    It must come out the same in every version of the operator: another one rolls every worker of
    every cluster that is upgraded. So what only says a default is left out: definitions of a later
    version may bring fields of which no author has said anything.

    Running workers load another discriminator by themselves. Only one that is the first thing of
    all to be fetched needs pods that may fetch, or wait for it.
    """
    known = resources.schema("hadiscascades")["properties"]["spec"]
    said = schemas.without_defaults(known, spec)
    return objects.digest(
        {
            "template": said["workers"].get("template") or None,
            "models": said["models"],
            "discriminator": "fetched" if _fetches_discriminator_only(spec) else None,
            "roll": roll,
        }
    )


def annotations(template: Manifest, spec: str, version: str) -> dict[str, str]:
    """Return what a worker's Deployment remembers of its rendering."""
    return {
        objects.TEMPLATE_ANNOTATION: objects.digest(template),
        objects.SPEC_ANNOTATION: spec,
        objects.VERSION_ANNOTATION: version,
    }


def slots(count: int) -> list[str]:
    """Return the names of `count` slots."""
    return [naming.slot(index) for index in range(count)]


def decide(wanted: Wanted, live: Sequence[LiveSlot], *, max_unavailable: int) -> Rollout:
    """Return what to do now, with at most `max_unavailable` slots away because of it.

    `live` must have been read after the last decision was carried out, or a slot that was just
    rolled still counts as serving.

    A slot that is stuck is rolled at once, or a bad image could never be mended. One that is away
    for another reason, because it loads or swaps, will be back by itself with what it has in memory
    by then: it goes before those that serve, but in its turn. One that never had a node takes
    nothing away from anybody, and does not hold up the others. What somebody has changed by hand is
    put back the same way.
    """
    by_slot = {one.slot: one for one in live}
    here = [
        by_slot[slot]
        for slot in wanted.template_hashes
        if slot in by_slot and not by_slot[slot].deleting
    ]
    outdated = [one for one in here if _is_outdated(wanted, one)]
    same = [one for one in outdated if _keeps_pod(wanted, one)]
    other = [one for one in outdated if not _keeps_pod(wanted, one)]
    stuck = [one for one in other if _is_stuck(one)]
    idle = [one for one in other if not one.available and not _is_stuck(one)]
    serving = [one for one in other if one.available]
    away = [one for one in here if not one.available and not _never_placed(one)]
    # To roll one that is idle takes away nobody else, so that only those beside them count.
    idle_now = max(0, max_unavailable - (len(away) - len(idle)))
    serving_now = max(0, max_unavailable - len(away))
    leaving = [one for one in live if one.slot not in wanted.template_hashes]
    return Rollout(
        create=tuple(slot for slot in wanted.template_hashes if slot not in by_slot),
        roll=_names([*stuck, *idle[:idle_now], *serving[:serving_now]]),
        restamp=_names(same),
        wait=_names([*idle[idle_now:], *serving[serving_now:]]),
        keep=_names(one for one in here if not _is_outdated(wanted, one)),
        leave=_names(one for one in leaving if not one.deleting),
        ending=_names(one for one in live if one.deleting),
        rescale=_names(one for one in here if one.replicas != 1),
    )


def without_node(
    one: LiveSlot, unschedulable: Collection[str], stuck: Collection[str] = ()
) -> LiveSlot:
    """Return a slot as what its pod tells makes it.

    `unschedulable` names those without a node, `stuck` whoever waits in vain.
    """
    return replace(one, unschedulable=one.slot in unschedulable, stuck=one.slot in stuck)


def with_edits(one: LiveSlot, paths: Sequence[str]) -> LiveSlot:
    """Return a slot with what was changed of it by hand, field by field."""
    in_pod = any(path.startswith("spec.template") for path in paths)
    return replace(one, edited=bool(paths), edited_pod=in_pod)


def blocked(deployment: Manifest) -> str:
    """Return why no pod of a live Deployment can be made; empty when nothing is known to forbid it.

    Without the pod's name, which is drawn anew at each try.
    """
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = str(condition.get("message") or condition.get("reason") or "no pod is made")
            return message.rpartition(" is forbidden: ")[2][:MAX_BLOCKED_CHARS]
    return ""


def updated(wanted: Wanted, live: Iterable[LiveSlot]) -> int:
    """Return how many slots run the newest rendering."""
    return sum(wanted.template_hashes.get(one.slot) == one.template_hash for one in live)


def older(live: Iterable[LiveSlot], version: str) -> int:
    """Return how many slots another version of the operator rendered."""
    return sum(one.version != version for one in live)


def _is_outdated(wanted: Wanted, one: LiveSlot) -> bool:
    return one.edited or one.spec_hash != wanted.spec_hash


def _keeps_pod(wanted: Wanted, one: LiveSlot) -> bool:
    """Whether applying what is rendered now leaves the slot's pod alone."""
    return not one.edited_pod and one.template_hash == wanted.template_hashes[one.slot]


def _fetches_discriminator_only(spec: Mapping[str, Any]) -> bool:
    of_discriminator = (spec.get("discriminator") or {}).get("source", {})
    of_models = [model["source"] for model in spec["models"]]
    return "repository" in of_discriminator and not any("repository" in one for one in of_models)


def _is_stuck(one: LiveSlot) -> bool:
    return not one.available and (one.stuck or one.unschedulable or bool(one.blocked))


def _never_placed(one: LiveSlot) -> bool:
    return one.unschedulable and not one.rolled


def _names(members: Iterable[LiveSlot]) -> tuple[str, ...]:
    return tuple(one.slot for one in members)

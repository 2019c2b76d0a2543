"""Everything of a cascade but its slots, in the order in which it is written.

The plan comes first, because pods mount it; the network's rules before the pods that they guard;
the routers last. Slots are rolled by `hadis_operator.rollouts`, a few at a time.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from hadis_operator import objects
from hadis_operator.installation import Installation
from hadis_operator.objects import Manifest, Owner
from hadis_operator.rendering import (
    budgets,
    plans,
    policies,
    prefetching,
    routers,
    services,
    weights,
)

SUPERFLUOUS_KINDS = ("NetworkPolicy", "Job")
"""Kinds of which some may no longer be wanted, e.g. the Job of an earlier set of models. A claim
is not among them: it goes with the cascade, never because a field was removed."""
CREATED_ONCE = ("PersistentVolumeClaim", "Job")
"""Kinds whose spec cannot be changed once they exist; a live one is left as it is."""


def render(
    owner: Owner, spec: Mapping[str, Any], installation: Installation, record: plans.Record
) -> list[Manifest]:
    """Return the objects, each with the digest of its rendering, in the order of writing."""
    wanted = [
        plans.render(owner, record),
        weights.claim(owner, spec),
        *policies.render(owner, spec, installation),
        services.workers(owner),
        services.router(owner, spec),
        budgets.workers(owner, spec),
        budgets.router(owner),
        prefetching.render(owner, spec, installation),
        routers.render(owner, spec, installation),
    ]
    return [objects.stamp(manifest) for manifest in wanted if manifest is not None]


def unwritten(
    rendered: Iterable[Manifest],
    live: Mapping[tuple[str, str], Manifest],
    *,
    edited: Collection[tuple[str, str]] = (),
) -> list[Manifest]:
    """Return, in order, what the cluster lacks, has from another rendering, or has changed.

    `live` holds the cascade's own objects by `objects.identity`, `edited` names those that somebody
    has changed by hand. A Job that must be replaced is not among the answers while the old one is
    there: see `superfluous`.
    """
    return [
        manifest
        for manifest in rendered
        if (identity := objects.identity(manifest)) not in live
        or (
            manifest["kind"] not in CREATED_ONCE
            and (identity in edited or not objects.is_current(live[identity], manifest))
        )
    ]


def superfluous(
    rendered: Iterable[Manifest], live: Mapping[tuple[str, str], Manifest]
) -> list[Manifest]:
    """Return the cascade's own live objects that shall be deleted: no longer wanted, or Jobs that
    must be made again."""
    wanted = {objects.identity(manifest): manifest for manifest in rendered}
    return [
        manifest
        for identity, manifest in live.items()
        if (manifest["kind"] in SUPERFLUOUS_KINDS and identity not in wanted)
        or (
            manifest["kind"] == "Job"
            and identity in wanted
            and prefetching.must_be_replaced(manifest, wanted[identity])
        )
    ]

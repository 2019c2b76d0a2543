"""What drains of nodes may take at once: one router, and as many workers as may be rolled.

Both say how many may be away rather than how many must stay, so that a single router or worker does
not block the drain of its node for ever. Pods that are not ready serve nobody and may always go.
"""

from collections.abc import Mapping
from typing import Any

from hadis_operator import naming, objects
from hadis_operator.objects import Component, Manifest, Owner

ROUTERS_AWAY = 1


def router(owner: Owner) -> Manifest:
    """Return the routers' PodDisruptionBudget."""
    return _budget(owner, naming.router(owner), Component.ROUTER, ROUTERS_AWAY)


def workers(owner: Owner, spec: Mapping[str, Any]) -> Manifest:
    """Return the workers' PodDisruptionBudget."""
    away = spec["workers"]["maxUnavailable"]
    return _budget(owner, naming.workers(owner), Component.WORKER, away)


def _budget(owner: Owner, name: str, component: Component, away: int) -> Manifest:
    return objects.build(
        owner,
        "policy/v1",
        "PodDisruptionBudget",
        name,
        component,
        spec={
            "maxUnavailable": away,
            "selector": {"matchLabels": objects.selector(owner, component)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )

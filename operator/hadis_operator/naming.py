"""What everything that a cascade makes is called.

Each name but the router Service's ends in eight hex digits of the cascade's UID, so that a cascade
made anew meets no leftovers of its predecessor. A cascade's name has at most 40 characters; the
longest names here stay within the 63 that labels and DNS allow.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hadis_operator.objects import Owner

MAX_NAME_CHARS = 63
_UID8 = re.compile(r"[0-9a-f]{8}")
_SLOT = re.compile(r"w(0|[1-9][0-9]*)")


def uid8(uid: str) -> str:
    """Return the first eight hex digits of a UID; ValueError when it has none."""
    digits = uid.replace("-", "").lower()[:8]
    if not _UID8.fullmatch(digits):
        raise ValueError(f"{uid!r} is no UID")
    return digits


def slot(index: int) -> str:
    """Return the name of a slot: the worker's name in plans and the label `hadis.dev/slot`."""
    return f"w{index}"


def slot_index(name: str) -> int | None:
    """Return the index of a slot's name; None when it is none."""
    found = _SLOT.fullmatch(name)
    return None if found is None else int(found[1])


def worker(owner: "Owner", slot_name: str) -> str:
    """Return the name of a slot's Deployment."""
    return f"{owner.name}-{slot_name}-{owner.uid8}"


def workers(owner: "Owner") -> str:
    """Return the name of the workers' headless Service, PodDisruptionBudget and NetworkPolicy."""
    return f"{owner.name}-workers-{owner.uid8}"


def router(owner: "Owner") -> str:
    """Return the name of the routers' Deployment, PodDisruptionBudget and NetworkPolicy."""
    return f"{owner.name}-router-{owner.uid8}"


def router_service(owner: "Owner") -> str:
    """Return the name of the Service that clients use, the only one without a suffix."""
    return owner.name


def plan(owner: "Owner") -> str:
    """Return the name of the plan's ConfigMap."""
    return f"{owner.name}-plan-{owner.uid8}"


def models(owner: "Owner") -> str:
    """Return the name of the claim that a claim template makes."""
    return f"{owner.name}-models-{owner.uid8}"


def fetchers(owner: "Owner") -> str:
    """Return the name of the NetworkPolicy of the pods that fetch models."""
    return f"{owner.name}-fetch-{owner.uid8}"


def fetch(owner: "Owner", models_hash: str) -> str:
    """Return the name of the Job that fetches one set of models.

    A Job's name becomes a label of its pods; a cascade of 40 characters would make it one character
    too long, so the cascade's part gives way.
    """
    rest = f"-fetch-{models_hash}-{owner.uid8}"
    return owner.name[: MAX_NAME_CHARS - len(rest)].rstrip("-") + rest

"""Events: what people read under `kubectl describe`, one for each change of decision.

The API never adds equal events up for us, so what was told a short while ago is not told again, and
one turn of a cascade's loop makes at most one event: a replan with three consequences is one story.
"""

import datetime
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hadis_operator import objects
from hadis_operator.objects import Manifest, Owner

COMPONENT = "hadis.dev/operator"
REPEAT_AFTER_S = 600.0
"""The same story again after this long is worth telling: it has lasted, or come back."""
MAX_NOTE_CHARS = 1000
"""The API takes 1,024."""


@dataclass(frozen=True, slots=True)
class Story:
    """One thing to tell. `is_warning` where somebody should act."""

    reason: str
    note: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a cascade, and when."""

    at_s: Mapping[tuple[str, str], float]


def fresh(told: Told, stories: Iterable[Story], now_s: float) -> tuple[list[Story], Told]:
    """Return the stories that were not told lately, and the memory with them."""
    known = {key: at_s for key, at_s in told.at_s.items() if now_s - at_s < REPEAT_AFTER_S}
    new: list[Story] = []
    for story in stories:
        key = (story.reason, story.note)
        if key not in known:
            known[key] = now_s
            new.append(story)
    return new, Told(known)


def joined(stories: Sequence[Story]) -> Story | None:
    """Return all stories as one, under the reason of the first warning; None without any."""
    if not stories:
        return None
    first = next((story for story in stories if story.is_warning), stories[0])
    notes = [first.note, *(story.note for story in stories if story is not first)]
    return Story(first.reason, "; ".join(notes)[:MAX_NOTE_CHARS], first.is_warning)


def transitions(
    live: Iterable[Mapping[str, Any]], merged: Iterable[Mapping[str, Any]]
) -> list[Story]:
    """Return what became of the conditions: of faults when they come or change, and when they go.

    A condition that is met for the first time is no news.
    """
    before = {one["type"]: one for one in live}
    found: list[Story] = []
    for one in merged:
        known = before.get(one["type"])
        is_bad = one["status"] == "False"
        same = known is not None and (known["status"], known["reason"]) == (
            one["status"],
            one["reason"],
        )
        if same or one["reason"] in _ROUTINE or one["status"] == "Unknown":
            continue
        if is_bad or (known is not None and known["status"] == "False"):
            found.append(Story(one["reason"], f"{one['type']}: {one['message']}", is_bad))
    return found


_ROUTINE = frozenset(
    {"Loading", "RollingOut", "NoWorkers", "RouterUnavailable", "Downloading", "Paused", "Cached"}
)
"""What every start and every rollout passes through; the status tells it."""


def manifest(owner: Owner, story: Story, *, instance: str, resource_version: str = "") -> Manifest:
    """Return the event to create. `instance` is the pod of this operator."""
    now = datetime.datetime.now(datetime.UTC)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    regarding: Manifest = {
        "apiVersion": objects.API_VERSION,
        "kind": objects.KIND,
        "namespace": owner.namespace,
        "name": owner.name,
        "uid": owner.uid,
    }
    if resource_version:
        regarding["resourceVersion"] = resource_version
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "namespace": owner.namespace,
            "name": f"{owner.name}.{secrets.token_hex(8)}",
        },
        "involvedObject": regarding,
        "type": "Warning" if story.is_warning else "Normal",
        "reason": story.reason,
        "message": story.note,
        "action": "Reconcile",
        "reportingComponent": COMPONENT,
        "reportingInstance": instance[:128],
        "source": {"component": COMPONENT},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "count": 1,
    }

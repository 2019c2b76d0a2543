"""Events: what people read under `kubectl describe`, one for each change of decision.

The API never adds equal events up for us, so what was told a short while ago is not told again, and
one turn of a cascade's loop makes at most one event: a replan with three consequences is one story.
What could not be told waits until it can.
"""

import datetime
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hadis_operator import objects
from hadis_operator.objects import Manifest, Owner

COMPONENT = "hadis.dev/operator"
REPEAT_AFTER_S = 600.0
"""The same story again after this long is worth telling: it has lasted, or come back."""
MAX_NOTE_CHARS = 1000
"""The API takes 1,024."""
GRACE_S = 10.0
"""For how long a profile may be missing, or lack a model, without an event: one file often holds
the cascade and, after it, its profile."""
MAX_UNTOLD = 16
"""Stories that are kept while they cannot be told; the oldest give way."""


@dataclass(frozen=True, slots=True)
class Story:
    """One thing to tell. `is_warning` where somebody should act.

    `subject` is what it is about where its note may change from one look to the next.
    """

    reason: str
    note: str
    is_warning: bool = False
    subject: str = ""


INSECURE = Story(
    "InsecureRouter",
    "every client that reaches the router is served; name a Secret with keys in "
    "spec.router.apiKeys to change that",
    is_warning=True,
)


def planned(sentence: str) -> Story:
    """Return the story of a new plan."""
    return Story("Planned", sentence)


def restored(what: str) -> Story:
    """Return the story of an object that was put back; its author would wonder otherwise."""
    note = (
        f"{what} was changed by hand and is put back: change the cascade instead, or set its "
        "annotation hadis.dev/paused to be left alone"
    )
    return Story("Restored", note, is_warning=True)


def refused(fault: str) -> Story:
    """Return the story of what the API did not do; a fault begins with kind and name."""
    subject = " ".join(fault.split()[:2])
    return Story("Refused", fault, is_warning=True, subject=subject)


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a cascade, and when."""

    at_s: Mapping[tuple[str, str], float]


def fresh(told: Told, stories: Iterable[Story], now_s: float) -> tuple[list[Story], Told]:
    """Return the stories that were not told lately, and the memory with them."""
    known = {key: at_s for key, at_s in told.at_s.items() if now_s - at_s < REPEAT_AFTER_S}
    new: list[Story] = []
    for story in stories:
        key = (story.reason, story.subject or story.note)
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
) -> dict[str, Story]:
    """Return what became of the conditions: of faults when they come or change, and when they go.

    A condition that is met for the first time is no news.
    """
    before = {one["type"]: one for one in live}
    found: dict[str, Story] = {}
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
            found[one["type"]] = Story(one["reason"], f"{one['type']}: {one['message']}", is_bad)
    return found


class Outbox:
    """The stories of one cascade on their way to people, and which of them were told lately."""

    def __init__(self) -> None:
        self._forgiven: dict[str, tuple[float, Story]] = {}
        self._told = Told({})
        self._untold: list[Story] = []

    def put(self, stories: Iterable[Story], now_s: float) -> None:
        """Take up stories."""
        new, self._told = fresh(self._told, stories, now_s)
        self._untold = [*self._untold, *new][-MAX_UNTOLD:]

    def note(
        self, live: Iterable[Mapping[str, Any]], merged: Iterable[Mapping[str, Any]], now_s: float
    ) -> None:
        """Take up what became of the conditions: of `live` ones, `merged` ones."""
        now = list(merged)
        judged = self._judged(transitions(live, now), now_s)
        self.put([*judged, *self._outlasted(now, now_s)], now_s)

    def next(self) -> Story | None:
        """Return what is to be told now, all in one; None when there is nothing."""
        return joined(self._untold)

    def empty(self) -> None:
        """Forget what `next` returned: it has been told, or is not ours to tell any more."""
        self._untold = []

    def _judged(self, changes: Mapping[str, Story], now_s: float) -> Iterator[Story]:
        for kind, story in changes.items():
            since_s, earlier = self._forgiven.pop(kind, (now_s, None))
            if story.is_warning and _may_pass(kind, story.reason):
                is_same = earlier is not None and earlier.reason == story.reason
                self._forgiven[kind] = (since_s if is_same else now_s, story)
            elif story.is_warning or earlier is None:
                yield story
            # Else a fault has gone before anybody heard of it.

    def _outlasted(self, now: Iterable[Mapping[str, Any]], now_s: float) -> Iterator[Story]:
        reasons = {one["type"]: one["reason"] for one in now}
        for kind, (since_s, story) in list(self._forgiven.items()):
            if reasons.get(kind) != story.reason:
                del self._forgiven[kind]
            elif now_s - since_s >= GRACE_S:
                del self._forgiven[kind]
                yield story


def _may_pass(kind: str, reason: str) -> bool:
    return kind == "ProfileValid" or (kind, reason) == ("Ready", "ProfileInvalid")


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

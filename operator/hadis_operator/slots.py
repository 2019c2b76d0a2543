"""What pods tell of the slots and routers that they fill, read from the objects alone.

A slot's pod is its one pod that is not on its way out: a terminating or lost one may stay published
beside its successor, and is nobody to send to.
"""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hadis_operator import objects
from hadis_operator.counting import Process
from hadis_operator.objects import Component, Manifest

MAX_WORDS_CHARS = 1000
"""What a container says last is for people; it has the fix at its end."""


class Plight(StrEnum):
    """Why a pod does not serve; the values are reasons of the condition WorkersReady."""

    LOADING = "Loading"  # on its way: pulling, starting, loading models
    UNSCHEDULABLE = "Unschedulable"  # no node takes it
    CRASHING = "Crashing"  # its container ends again and again, or its image cannot be had
    OUT_OF_MEMORY = "OutOfMemory"  # its container went above its memory limit


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended badly: its exit status and the last line that it left."""

    status: int
    last_words: str = ""

    def __str__(self) -> str:
        words = f": {self.last_words}" if self.last_words else "; see its log"
        return f"its container ends with exit code {self.status}{words}"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a cascade. `plight` is None while it is ready; `why` tells more, with the fix.

    `ending` is the last bad end of its container, also while it runs again.
    """

    name: str
    uid: str
    component: str
    slot: str
    address: str
    node: str
    ready: bool
    leaving: bool
    born: str
    process: Process
    plight: Plight | None = None
    why: str = ""
    ending: Ending | None = None

    @classmethod
    def from_live(cls, live: Manifest) -> "Pod":
        """Read a pod as the API has it."""
        metadata, status = live["metadata"], live.get("status", {})
        labels = metadata.get("labels") or {}
        container = _container(status)
        ready = _is_ready(status)
        plight, why = (None, "") if ready else _plight(live, container)
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            component=labels.get(objects.COMPONENT_LABEL, ""),
            slot=labels.get(objects.SLOT_LABEL, ""),
            address=status.get("podIP") or "",
            node=live.get("spec", {}).get("nodeName") or "",
            ready=ready,
            leaving="deletionTimestamp" in metadata
            or status.get("phase") in ("Succeeded", "Failed"),
            born=metadata.get("creationTimestamp") or "",
            process=Process(
                uid=metadata["uid"],
                restarts=int(container.get("restartCount", 0)),
                started_epoch_s=_epoch_s(
                    container.get("state", {}).get("running", {}).get("startedAt")
                ),
            ),
            plight=plight,
            why=why,
            ending=_ending(container),
        )

    def at(self, port: int) -> str:
        """Return host and port of one of its ports."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{port}"


def by_slot(pods: Iterable[Pod]) -> dict[str, Pod]:
    """Return each slot's one pod that stays: the newest, should there be several."""
    chosen: dict[str, Pod] = {}
    for pod in sorted(pods, key=lambda one: (one.born, one.name)):
        if pod.component == Component.WORKER and pod.slot and not pod.leaving:
            chosen[pod.slot] = pod
    return chosen


def routers(pods: Iterable[Pod]) -> list[Pod]:
    """Return the routers that stay."""
    return [pod for pod in pods if pod.component == Component.ROUTER and not pod.leaving]


def fetchers(pods: Iterable[Pod]) -> list[Pod]:
    """Return the pods that fetch models, ended ones among them."""
    return [pod for pod in pods if pod.component == Component.FETCHER]


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status of the pod's first container, empty before there is one."""
    found: Sequence[Mapping[str, Any]] = status.get("containerStatuses") or ({},)
    return found[0]


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )


def _plight(live: Manifest, container: Mapping[str, Any]) -> tuple[Plight, str]:
    status = live.get("status", {})
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Plight.UNSCHEDULABLE, str(condition.get("message") or "no node takes it")
    if _last_end(container).get("reason") == "OOMKilled":
        return (
            Plight.OUT_OF_MEMORY,
            "its container went above its memory limit; raise "
            "spec.workers.template.resources.limits.memory",
        )
    for one in (*(status.get("initContainerStatuses") or ()), container):
        waiting = _state(one, "waiting")
        if waiting.get("reason") in _CRASHES:
            return Plight.CRASHING, _crash(waiting, one)
    ending = _ending(container)
    if ending is not None and _state(container, "terminated"):
        return Plight.CRASHING, str(ending)
    return Plight.LOADING, str(_state(container, "waiting").get("message") or "")


_PULLS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
)
_CREATIONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_CRASHES = (*_PULLS, *_CREATIONS, "CrashLoopBackOff")


def _crash(waiting: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Return why a container does not run. Nothing in it changes from one try to the next."""
    reason = str(waiting.get("reason"))
    if reason in _PULLS:
        return (
            f"image {container.get('image', '')} cannot be pulled; check its name and tag, its "
            "pull policy, and imagePullSecrets"
        )
    if reason in _CREATIONS:
        message = _stable(str(waiting.get("message") or reason))
        missing = _MISSING.search(message)
        fix = f"; create {missing[0]} in this namespace, or name another" if missing else ""
        return f"its container cannot be created: {message}{fix}"
    return str(_ending(container) or "its container ends again and again; see its log")


_MISSING = re.compile(r'(secret|configmap) "[^"]*"(?= not found)')


def _ending(container: Mapping[str, Any]) -> Ending | None:
    ended = _last_end(container)
    status = int(ended.get("exitCode") or 0)
    if not status:
        return None
    words = str(ended.get("message") or "").strip().splitlines()
    return Ending(status, _stable(words[-1]) if words else "")


def _last_end(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the container's newest end, empty while it has had none."""
    before: Mapping[str, Any] = container.get("lastState") or {}
    return _state(container, "terminated") or before.get("terminated") or {}


def _state(container: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the container's state of that name, empty while it is in another."""
    found: Mapping[str, Any] = (container.get("state") or {}).get(name) or {}
    return found


def _stable(message: str) -> str:
    """Cut what would change from one look to the next, such as the length of a back-off."""
    return message.split("back-off", maxsplit=1)[0].strip()[:MAX_WORDS_CHARS] or message[:60]


def _epoch_s(stamp: object) -> float | None:
    if not isinstance(stamp, str):
        return None
    try:
        return datetime.datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None

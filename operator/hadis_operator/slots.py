"""What pods tell of the slots and routers that they fill, read from the objects alone.

A slot's pod is its one pod that is not on its way out: a terminating or lost one may stay published
beside its successor, and is nobody to send to.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hadis_operator import objects
from hadis_operator.counting import Process
from hadis_operator.objects import Component, Manifest


class Plight(StrEnum):
    """Why a pod does not serve; the values are reasons of the condition WorkersReady."""

    LOADING = "Loading"  # on its way: pulling, starting, loading models
    UNSCHEDULABLE = "Unschedulable"  # no node takes it
    CRASHING = "Crashing"  # its container ends again and again, or its image cannot be had
    OUT_OF_MEMORY = "OutOfMemory"  # its container went above its memory limit


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a cascade. `plight` is None while it is ready; `why` tells more, with the fix."""

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


def is_pausing(pod: Pod) -> bool:
    """Whether its container is down and will be begun again only after a while."""
    return pod.plight in (Plight.CRASHING, Plight.OUT_OF_MEMORY)


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
    state = container.get("state") or {}
    last = (container.get("lastState") or {}).get("terminated") or {}
    ended = state.get("terminated") or last
    waiting = state.get("waiting") or {}
    if ended.get("reason") == "OOMKilled":
        return (
            Plight.OUT_OF_MEMORY,
            "its container went above its memory limit; raise "
            "spec.workers.template.resources.limits.memory",
        )
    for step in status.get("initContainerStatuses") or ():
        reason = ((step.get("state") or {}).get("waiting") or {}).get("reason")
        if reason in _CRASHES:
            return Plight.CRASHING, _crash(reason, step)
    reason = waiting.get("reason")
    if reason in _CRASHES:
        return Plight.CRASHING, _crash(reason, container)
    if state.get("terminated") and ended.get("exitCode"):
        return Plight.CRASHING, _ending(ended)
    return Plight.LOADING, str(waiting.get("message") or "")


_PULLS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
)
_CRASHES = (
    *_PULLS,
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)


def _crash(reason: str, container: Mapping[str, Any]) -> str:
    waiting = (container.get("state") or {}).get("waiting") or {}
    message = _stable(str(waiting.get("message") or reason))
    if reason in _PULLS:
        return (
            f"image {container.get('image', '')} cannot be pulled ({reason}); check its name and "
            "tag, and imagePullSecrets"
        )
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return f"its container cannot be created: {message}"
    ended = (container.get("lastState") or {}).get("terminated") or {}
    return _ending(ended)


def _ending(ended: Mapping[str, Any]) -> str:
    last = str(ended.get("message") or "").strip().splitlines()
    words = f": {_stable(last[-1])}" if last else "; see its log"
    return f"its container ends with exit code {ended.get('exitCode', '?')}{words}"


def _stable(message: str) -> str:
    """Cut what would change from one look to the next, such as the length of a back-off."""
    return message.split("back-off", maxsplit=1)[0].strip()[:300] or message[:60]


def _epoch_s(stamp: object) -> float | None:
    if not isinstance(stamp, str):
        return None
    try:
        return datetime.datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None

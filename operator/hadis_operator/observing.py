"""Step 1 of the control cycle in a cluster: everyone is asked for `/status`, once, into a snapshot.

Kubernetes says which pods there are, the processes in them say what they do. A slot counts while
its worker answers, also while it loads or swaps: it is dropped after five seconds of silence, or at
once when its pod goes, and nothing waits for a node to be declared lost. A router's last answer
holds as long, but only while its pod is ready: it is asked for nothing else than being so.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import aiohttp
from pydantic import ValidationError
from yarl import URL

from hadis.planning.snapshots import ObservedWorker
from hadis.terms.ids import WorkerName
from hadis.wire.reports import RouterStatus, WorkerStatus
from hadis_operator import answers, slots
from hadis_operator.rendering import pods as ports
from hadis_operator.slots import Pod

SILENCE_S = 5.0
TIMEOUT_S = 1.0
AT_ONCE = 64
"""Questions that one cascade has open at the same time."""
MOST_URLS = 4096
MAX_BYTES = 1024 * 1024
"""Of an answer: a router with 512 workers tells a tenth of it."""
STUCK = (slots.Plight.CRASHING, slots.Plight.OUT_OF_MEMORY, slots.Plight.UNSCHEDULABLE)

Turnstile = contextlib.AbstractAsyncContextManager[None]
Status = TypeVar("Status", WorkerStatus, RouterStatus)
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """The pods of a cascade and what those that answer say, by slot and by name of the router."""

    now_s: float
    pods: tuple[Pod, ...] = ()
    workers: Mapping[str, WorkerStatus] = field(default_factory=dict)
    routers: Mapping[str, RouterStatus] = field(default_factory=dict)

    @property
    def slot_pods(self) -> dict[str, Pod]:
        """Each slot's one pod that stays."""
        return slots.by_slot(self.pods)

    @property
    def router_pods(self) -> dict[str, Pod]:
        """The routers that stay, by name."""
        return {pod.name: pod for pod in slots.routers(self.pods)}

    @property
    def signature(self) -> tuple[object, ...]:
        """What calls for a cycle at once when it changes."""
        routers = tuple(sorted((one.uid, one.ready) for one in self.routers.values()))
        workers = tuple((slot, *status.standing) for slot, status in sorted(self.workers.items()))
        return routers, workers


@dataclass(frozen=True, slots=True)
class Heard(Generic[Status]):
    """A process' last answer and when it came."""

    at_s: float
    status: Status


def believed(
    heard: Mapping[str, Heard[Status]], pods: Mapping[str, Pod], now_s: float
) -> dict[str, Status]:
    """Return what is still true of last answers: the pod is the same and not silent for long."""
    return {
        name: last.status
        for name, last in heard.items()
        if (pod := pods.get(name)) is not None
        and last.status.uid == pod.uid
        and now_s - last.at_s <= SILENCE_S
    }


def stuck(view: View) -> frozenset[str]:
    """Return the slots whose worker serves nobody and will not by waiting alone.

    Their pods crash, have no node or no image, or models fail to load. One that holds a model has
    got over what befell it: it loads or swaps now.
    """
    found = set()
    for slot, pod in view.slot_pods.items():
        runs = pod.process.started_epoch_s is not None
        status = view.workers.get(slot) if runs else None
        models = () if status is None else status.models.values()
        has_failed = pod.plight in STUCK or any(model.error is not None for model in models)
        if has_failed and not pod.ready and not any(model.resident for model in models):
            found.add(slot)
    return frozenset(found)


def observed_workers(
    view: View, wanted: Sequence[str], *, is_boot: bool
) -> tuple[ObservedWorker, ...]:
    """Return the slots that count for the plan.

    `wanted` are the slots that shall be; one that is not wanted any more counts as draining, so
    that nothing is planned for it. While the cascade boots (`is_boot`) slots that have not answered
    yet count as well, unless their pods are known not to start, so that all find their parts when
    they come and the first of them is not planned for as if it were the only one.
    """
    pods = view.slot_pods
    found = []
    for slot, status in sorted(view.workers.items()):
        if slot not in wanted:
            status = status.model_copy(update={"draining": True})
        # By its slot, whatever name it was started with: plan and Deployments know no other.
        status = status.model_copy(update={"name": slot})
        address = pods[slot].at(ports.REQUESTS_PORT)
        found.append(ObservedWorker.from_status(status, address=address))
    if is_boot:
        found += [
            ObservedWorker(WorkerName(slot))
            for slot in wanted
            if slot not in view.workers and not (slot in pods and _is_stuck(pods[slot]))
        ]
    return tuple(found)


def _is_stuck(pod: Pod) -> bool:
    return pod.plight in STUCK


class Observer:
    """Asks for statuses and remembers the last answers for as long as they are believed."""

    def __init__(self, session: aiohttp.ClientSession, *, clock: Callable[[], float]) -> None:
        self._session = session
        self._clock = clock
        self._workers: dict[str, Heard[WorkerStatus]] = {}
        self._routers: dict[str, Heard[RouterStatus]] = {}

    async def look(self, pods: Iterable[Pod], *, ask_workers: bool = True) -> View:
        """Return the cascade as it is; `ask_workers` False asks the routers only."""
        everyone = tuple(pods)
        slot_pods = slots.by_slot(everyone) if ask_workers else {}
        router_pods = {pod.name: pod for pod in slots.routers(everyone)}
        workers, routers = await asyncio.gather(
            self._ask_all(slot_pods, WorkerStatus), self._ask_all(router_pods, RouterStatus)
        )
        now_s = self._clock()
        self._workers = _remembered(self._workers, workers, now_s)
        ready = {
            name: last
            for name, last in self._routers.items()
            if name in router_pods and router_pods[name].ready
        }
        self._routers = _remembered(ready, routers, now_s)
        return View(
            now_s,
            everyone,
            believed(self._workers, slot_pods, now_s),
            believed(self._routers, router_pods, now_s),
        )

    async def _ask_all(
        self, pods: Mapping[str, Pod], kind: type[Status]
    ) -> dict[str, Status | None]:
        # Where all may go at once nobody is counted: it costs as much as reading an answer.
        turnstile: Turnstile = contextlib.nullcontext()
        if len(pods) > AT_ONCE:
            turnstile = asyncio.Semaphore(AT_ONCE)
        told = await asyncio.gather(*(self._ask(pod, kind, turnstile) for pod in pods.values()))
        return dict(zip(pods, told, strict=True))

    async def _ask(self, pod: Pod, kind: type[Status], turnstile: Turnstile) -> Status | None:
        if not pod.address:
            return None
        url = _status_url(pod.at(ports.CONTROL_PORT))
        try:
            async with (
                turnstile,
                self._session.get(
                    url,
                    headers=answers.HEADERS,
                    timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                    auto_decompress=False,
                ) as reply,
            ):
                if reply.status != 200:
                    return None
                return kind.model_validate_json(await answers.read(reply, MAX_BYTES))
        except (
            aiohttp.ClientError,
            TimeoutError,
            OSError,
            ValidationError,
            answers.TooLarge,
        ) as error:
            LOG.debug("%s does not answer: %r", pod.name, error)
            return None  # silence; how long it lasts decides


@functools.lru_cache(maxsize=MOST_URLS)
def _status_url(address: str) -> URL:
    """Return where a process is asked; taking an address apart costs as much as half a request."""
    return URL(f"http://{address}/status")


def _remembered(
    before: Mapping[str, Heard[Status]], told: Mapping[str, Status | None], now_s: float
) -> dict[str, Heard[Status]]:
    """Return everyone's last answer, of those that were asked now."""
    new = {name: Heard(now_s, status) for name, status in told.items() if status is not None}
    return {**{name: last for name, last in before.items() if name in told}, **new}

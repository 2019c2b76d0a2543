"""Step 5 of the control cycle in a cluster: tell every process what it does not know yet.

Level-triggered: what is compared is what a process *reports*, so that one that restarted, or missed
a message, or was told by a deposed operator, simply gets it at the next look. Nothing is delivered
that was not written to the plan's ConfigMap before.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from hadis.planning.cycles import CycleOutput
from hadis.terms.ids import WorkerName
from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis.wire.reports import RouterStatus, WorkerStatus
from hadis_operator import answers, objects
from hadis_operator.counting import Process
from hadis_operator.observing import View
from hadis_operator.reissuing import Reissue
from hadis_operator.rendering import pods as ports
from hadis_operator.slots import Pod

TIMEOUT_S = 2.0
AT_ONCE = 64
CASCADE = "cascade"
NAMED = 5
"""Refusing processes that are named one by one."""
MAX_WORDS_BYTES = 4096
MAX_WORDS_CHARS = 300
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell one pod. `what` is the path of its control port."""

    pod: Pod
    what: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a round went: messages taken; who refused is the courier's `trouble`.

    `changed` tells whether anybody was told something other than figures for people.
    """

    taken: int = 0
    changed: bool = False


def plan_messages(
    output: CycleOutput | Reissue, view: View, *, summary_is_new: bool
) -> list[Message]:
    """Return what workers and routers lack of a plan. Older versions at their end are behind.

    `summary_is_new`: the figures beside the table have changed, which routers show to people.
    """
    found: list[Message] = []
    pods = view.slot_pods
    for slot, worker in sorted(view.workers.items()):
        wanted = output.assignments.get(WorkerName(slot))
        if wanted is not None and _assigned_version(worker) < wanted.version:
            body = AssignmentBody.from_terms(wanted).model_dump(mode="json")
            found.append(Message(pods[slot], "assignment", body))
    version = output.routing.version
    # A router above us listens to another operator; the next cycle goes on above it.
    behind = [
        name
        for name, router in sorted(view.routers.items())
        if _routed_version(router) < version
        or (summary_is_new and _routed_version(router) == version)
    ]
    if behind:
        routers = view.router_pods
        table = RoutingTableBody.from_terms(output.routing, plan=output.summary)
        body = table.model_dump(mode="json")
        found += [Message(routers[name], "routing", body) for name in behind]
    return found


def _assigned_version(status: WorkerStatus) -> int:
    return -1 if status.assignment is None else status.assignment.version


def _routed_version(status: RouterStatus) -> int:
    return -1 if status.routing is None else status.routing.version


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What a process would not take (a digest), and why, in its words."""

    digest: str
    slot: str
    words: str


@dataclass(slots=True)
class Courier:
    """Delivers to the pods of one cascade, and remembers which process was told which cascade.

    `may_act` is asked before everything that is sent. `refusing` is told, after each round, how
    many processes refuse what they were told last.
    """

    session: aiohttp.ClientSession
    may_act: Callable[[], bool] = lambda: True
    refusing: Callable[[int], None] = lambda _count: None
    _told: dict[Process, str] = field(default_factory=dict)
    _refused: dict[tuple[Process, str], _Refusal] = field(default_factory=dict)
    _digest: tuple[Mapping[str, Any], str] | None = None
    _summary: Mapping[str, object] | None = None
    _open: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    @property
    def trouble(self) -> str:
        """Who refuses the cascade, why, and what to do about it; empty while nobody does."""
        found = {one.slot: one.words for (_, what), one in self._refused.items() if what == CASCADE}
        if not found:
            return ""
        who = sorted(found)
        rest = f" and {len(who) - NAMED} more" if len(who) > NAMED else ""
        verb = "refuses" if len(who) == 1 else "refuse"
        return (
            f"{', '.join(who[:NAMED])}{rest} {verb} this cascade and will not start with it: "
            f"{found[who[0]]} - upgrade what is older than the operator; workers take a new image "
            "once the annotation hadis.dev/roll-workers gets a new value"
        )

    async def deliver_cascade(
        self, document: Mapping[str, Any], generation: int, view: View
    ) -> Delivery:
        """Send the cascade to each process that reports an older one or was told another.

        A process that reports the right generation when it is first met has read it from the
        mounted plan, or was told by an earlier operator. One that reports a later generation was
        told by an operator that knows more than this one.
        """
        digest = self._digest_of(document)
        late: list[Message] = []
        for pod, reported in self._answering(view):
            if pod.process not in self._told and reported == generation:
                self._told[pod.process] = digest
            elif self._lacks(pod.process, reported, generation, digest):
                late.append(Message(pod, CASCADE, document))
        there = {pod.process for pod in view.pods}
        self._told = {process: told for process, told in self._told.items() if process in there}
        self._refused = {key: one for key, one in self._refused.items() if key[0] in there}
        outcomes = await self._send(late)
        for message, trouble in zip(late, outcomes, strict=True):
            if trouble is None:
                self._told[message.pod.process] = digest
        return Delivery(_taken(outcomes), changed=bool(late))

    async def deliver_plan(self, output: CycleOutput | Reissue, view: View) -> Delivery:
        """Send assignments and the routing table to whoever reports older ones."""
        is_new = dict(output.summary) != self._summary
        behind = len(plan_messages(output, view, summary_is_new=False))
        outcomes = await self._send(plan_messages(output, view, summary_is_new=is_new))
        self._summary = dict(output.summary)
        # Those that refuse are asked again at the next look, and not sooner.
        is_busy = behind > sum(bool(outcome) for outcome in outcomes)
        return Delivery(_taken(outcomes), changed=is_busy)

    def _lacks(self, process: Process, reported: int, generation: int, digest: str) -> bool:
        refusal = self._refused.get((process, CASCADE))
        if reported > generation or (refusal is not None and refusal.digest == digest):
            return False  # what was refused would be refused again
        # Without a generation (0) there is only what it was told to go by.
        return self._told.get(process) != digest or 0 < reported < generation

    def _digest_of(self, document: Mapping[str, Any]) -> str:
        if self._digest is None or self._digest[0] is not document:
            self._digest = (document, objects.digest(document))
        return self._digest[1]

    def _answering(self, view: View) -> list[tuple[Pod, int]]:
        slot_pods, router_pods = view.slot_pods, view.router_pods
        return [
            *((slot_pods[slot], status.generation) for slot, status in view.workers.items()),
            *((router_pods[name], status.generation) for name, status in view.routers.items()),
        ]

    async def _send(self, messages: list[Message]) -> list[str | None]:
        """Return for each message None when it was taken, else why not: empty for silence."""
        outcomes = await asyncio.gather(*(self._put(message) for message in messages))
        for message, outcome in zip(messages, outcomes, strict=True):
            self._note(message, outcome)
        self.refusing(len({process for process, _ in self._refused}))
        return list(outcomes)

    def _note(self, message: Message, outcome: str | None) -> None:
        """Remember a refusal, and say it once."""
        key = (message.pod.process, message.what)
        if outcome is None:
            self._refused.pop(key, None)
        elif outcome:
            before = self._refused.get(key)
            digest = self._digest_of(message.body) if message.what == CASCADE else ""
            self._refused[key] = _Refusal(digest, message.pod.slot or message.pod.name, outcome)
            if before is None or before.words != outcome:
                LOG.warning("%s refused its %s: %s", message.pod.name, message.what, outcome)

    async def _put(self, message: Message) -> str | None:
        url = f"http://{message.pod.at(ports.CONTROL_PORT)}/{message.what}"
        try:
            async with self._open:
                if not self.may_act():
                    return ""  # its successor tells
                async with self.session.put(
                    url,
                    data=json.dumps(message.body),
                    headers={"content-type": "application/json", **answers.HEADERS},
                    timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                    auto_decompress=False,
                ) as reply:
                    if reply.status == 200:
                        return None
                    told = await answers.read_start(reply, MAX_WORDS_BYTES)
                    return _words(told) or f"status {reply.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            LOG.info("%s did not take its %s: %r", message.pod.name, message.what, error)
            return ""


def _taken(outcomes: list[str | None]) -> int:
    return sum(outcome is None for outcome in outcomes)


def _words(told: str) -> str:
    """Return a refusal as one short line: both receivers put their message into `error`."""
    # Somebody else's words, or a message that was cut off, are told as they are.
    with contextlib.suppress(ValueError, LookupError, TypeError, RecursionError):
        told = str(json.loads(told)["error"]["message"])
    return " ".join(told.split())[:MAX_WORDS_CHARS]

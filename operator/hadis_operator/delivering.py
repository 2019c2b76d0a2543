"""Step 5 of the control cycle in a cluster: tell every process what it does not know yet.

Level-triggered: what is compared is what a process *reports*, so that one that restarted, or missed
a message, or was told by a deposed operator, simply gets it at the next look. Nothing is delivered
that was not written to the plan's ConfigMap before.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from hadis.planning.cycles import CycleOutput
from hadis.terms.ids import WorkerName
from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis.wire.reports import RouterStatus, WorkerStatus
from hadis_operator import objects
from hadis_operator.counting import Process
from hadis_operator.observing import View
from hadis_operator.reissuing import Reissue
from hadis_operator.rendering import pods as ports
from hadis_operator.slots import Pod

TIMEOUT_S = 2.0
AT_ONCE = 64
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell one pod. `what` is the path of its control port."""

    pod: Pod
    what: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a round went: messages taken, and refusals in the receivers' words.

    `changed` tells whether anybody was told something other than figures for people.
    """

    taken: int = 0
    changed: bool = False
    refused: tuple[str, ...] = ()


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


@dataclass(slots=True)
class Courier:
    """Delivers to the pods of one cascade, and remembers which process was told which cascade."""

    session: aiohttp.ClientSession
    _told: dict[Process, str] = field(default_factory=dict)
    _digest: tuple[Mapping[str, Any], str] | None = None
    _summary: Mapping[str, object] | None = None
    _open: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def deliver_cascade(
        self, document: Mapping[str, Any], generation: int, view: View
    ) -> Delivery:
        """Send the cascade to each process that reports another generation or was told another.

        A process that reports the right generation when it is first met has read it from the
        mounted plan, or was told by an earlier operator.
        """
        digest = self._digest_of(document)
        late: list[Message] = []
        for pod, reported in self._answering(view):
            known = self._told.get(pod.process)
            if known is None and reported == generation:
                self._told[pod.process] = digest
            elif known != digest:
                late.append(Message(pod, "cascade", document))
        there = {pod.process for pod in view.pods}
        self._told = {process: told for process, told in self._told.items() if process in there}
        outcomes = await self._send(late)
        for message, trouble in zip(late, outcomes, strict=True):
            # A refusal is not repeated: the same document would be refused again.
            if trouble is None or trouble:
                self._told[message.pod.process] = digest
        return _sum(outcomes, changed=bool(late))

    async def deliver_plan(self, output: CycleOutput | Reissue, view: View) -> Delivery:
        """Send assignments and the routing table to whoever reports older ones."""
        is_new = dict(output.summary) != self._summary
        behind = len(plan_messages(output, view, summary_is_new=False))
        outcomes = await self._send(plan_messages(output, view, summary_is_new=is_new))
        self._summary = dict(output.summary)
        return _sum(outcomes, changed=behind > 0)

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
        return list(await asyncio.gather(*(self._put(message) for message in messages)))

    async def _put(self, message: Message) -> str | None:
        url = f"http://{message.pod.at(ports.CONTROL_PORT)}/{message.what}"
        try:
            async with (
                self._open,
                self.session.put(
                    url,
                    data=json.dumps(message.body),
                    headers={"content-type": "application/json"},
                    timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                ) as reply,
            ):
                if reply.status == 200:
                    return None
                text = (await reply.text())[:300]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            LOG.info("%s did not take its %s: %r", message.pod.name, message.what, error)
            return ""
        LOG.warning("%s refused its %s: %s", message.pod.name, message.what, text)
        return f"{message.pod.name} refused its {message.what}: {text}"


def _sum(outcomes: list[str | None], *, changed: bool) -> Delivery:
    return Delivery(
        taken=sum(outcome is None for outcome in outcomes),
        changed=changed,
        refused=tuple(outcome for outcome in outcomes if outcome),
    )

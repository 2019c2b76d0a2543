"""Step 5 of the control cycle on one machine: tell everyone what it does not know yet.

Level-triggered: what is compared is what a component *reports*, so that a restarted one, or one
that missed a message, simply gets it at the next look.
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
from hadis.wire import manifests
from hadis.wire.assignments import AssignmentBody, RoutingTableBody
from hadis.wire.manifests import Manifests
from hadis_cli.fleet.observation import View
from hadis_cli.fleet.slots import Slot, Tell

TIMEOUT_S = 2.0
LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Courier:
    """Delivers cascades, assignments and routing tables, and remembers who has which cascade."""

    session: aiohttp.ClientSession
    tell: Tell
    _generations: dict[str, int] = field(default_factory=dict)
    _sent_summary: dict[str, object] = field(default_factory=dict)

    async def deliver_cascade(self, given: Manifests, slots: Mapping[str, Slot]) -> None:
        """Send the cascade in force to each process that started with an older one."""
        generation = given.cascade.generation
        if generation == 1:
            return  # everyone started with it
        late = [
            slot
            for slot in slots.values()
            if slot.is_up and self._generations.get(slot.uid or "", 1) < generation
        ]
        if not late:
            return
        body = manifests.dump_objects(given.cascade, given.profile)
        sent = await asyncio.gather(*(self._put(slot, "cascade", body) for slot in late))
        for slot, is_there in zip(late, sent, strict=True):
            if is_there and slot.uid is not None:
                self._generations[slot.uid] = generation

    async def deliver_plan(
        self, output: CycleOutput, view: View, workers: Mapping[str, Slot], router: Slot
    ) -> bool:
        """Send assignments and the routing table to whoever reports older ones; True if any was."""
        calls = []
        for name, status in view.workers.items():
            wanted = output.assignments.get(WorkerName(name))
            known = -1 if status.assignment is None else status.assignment.version
            if wanted is not None and known < wanted.version and workers[name].is_up:
                body = AssignmentBody.from_terms(wanted).model_dump(mode="json")
                calls.append(self._put(workers[name], "assignment", body))
        changed = bool(calls)
        if view.router is not None and router.is_up:
            known = -1 if view.router.routing is None else view.router.routing.version
            is_older = known < output.routing.version
            changed = changed or is_older
            if is_older or output.summary != self._sent_summary:
                table = RoutingTableBody.from_terms(output.routing, plan=output.summary)
                calls.append(self._put(router, "routing", table.model_dump(mode="json")))
                self._sent_summary = output.summary
        await asyncio.gather(*calls)
        return changed

    async def _put(self, slot: Slot, what: str, body: Mapping[str, Any]) -> bool:
        url = f"http://{slot.address('control_port')}/{what}"
        try:
            async with self.session.put(
                url,
                data=json.dumps(body),
                headers={"content-type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            ) as reply:
                if reply.status == 200:
                    return True
                text = (await reply.text())[:500]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            LOG.info("%s did not take its %s: %r", slot.name, what, error)
            return False
        self.tell(f"{slot.name} refused its {what}: {text}")
        return False

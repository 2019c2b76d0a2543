"""Step 1 of the control cycle on one machine: ask everyone for `/status`, once, into a snapshot."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
from pydantic import ValidationError

from hadis.planning.snapshots import ObservedRouter, ObservedWorker, Snapshot
from hadis.terms.ids import WorkerName
from hadis.wire.bodies import OpenBody
from hadis.wire.reports import RouterStatus, WorkerStatus
from hadis_cli.fleet.slots import Slot

Status = TypeVar("Status", bound=OpenBody)
TIMEOUT_S = 1.0
SILENCE_S = 5.0
"""A worker that answers nothing for this long leaves the snapshot; its process may be stopped."""


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot and the statuses behind it, by slot name."""

    snapshot: Snapshot
    workers: Mapping[str, WorkerStatus]
    router: RouterStatus | None

    @property
    def signature(self) -> tuple[object, ...]:
        """What calls for a cycle at once when it changes."""
        router = None if self.router is None else (self.router.uid, self.router.ready)
        workers = tuple(status.standing for _, status in sorted(self.workers.items()))
        return router, workers


@dataclass(slots=True)
class Observer:
    """Asks for statuses and remembers the last answers for as long as they may be believed."""

    session: aiohttp.ClientSession
    _seen: dict[str, tuple[float, WorkerStatus]] = field(default_factory=dict)

    async def look(
        self, workers: Mapping[str, Slot], router: Slot, *, leaving: frozenset[str] = frozenset()
    ) -> View:
        """Return the fleet as it is; `leaving` workers count as draining already."""
        clock = asyncio.get_running_loop().time
        up = {name: slot for name, slot in workers.items() if slot.is_up}
        told_router, told = await asyncio.gather(
            self._router(router), asyncio.gather(*(self._worker(slot) for slot in up.values()))
        )
        now_s = clock()
        for name, status in zip(up, told, strict=True):
            if status is not None:
                self._seen[name] = (now_s, status)
        believed: dict[str, WorkerStatus] = {}
        for name, slot in up.items():
            at_s, status = self._seen.get(name, (0.0, None))
            is_same = status is not None and slot.ports is not None and status.uid == slot.uid
            if status is not None and is_same and now_s - at_s <= SILENCE_S:
                believed[name] = status
        # A slot that is being filled counts: no start and no restart is to change the plan.
        observed = [
            ObservedWorker(WorkerName(name))
            for name, slot in workers.items()
            if not slot.is_up and not slot.is_crashing and name not in leaving
        ]
        for name, status in believed.items():
            if name in leaving:
                status = status.model_copy(update={"draining": True})
            observed.append(ObservedWorker.from_status(status, address=up[name].address()))
        routers = () if told_router is None else (ObservedRouter.from_status(told_router),)
        return View(Snapshot(now_s, tuple(observed), routers), believed, told_router)

    def silent_s(self, name: str, now_s: float) -> float:
        """Return for how long a worker has not answered; 0 when it never did."""
        seen = self._seen.get(name)
        return 0.0 if seen is None else now_s - seen[0]

    async def _worker(self, slot: Slot) -> WorkerStatus | None:
        return await self._status(slot, WorkerStatus)

    async def _router(self, slot: Slot) -> RouterStatus | None:
        return await self._status(slot, RouterStatus) if slot.is_up else None

    async def _status(self, slot: Slot, kind: type[Status]) -> Status | None:
        url = f"http://{slot.address('control_port')}/status"
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self.session.get(url, timeout=timeout) as reply:
                if reply.status != 200:
                    return None
                return kind.model_validate_json(await reply.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError):
            return None  # silence; how long it lasts decides

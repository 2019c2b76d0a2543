"""A loop for every cascade there is, each a task of its own."""

import asyncio
import logging

from hadis_operator import kube
from hadis_operator.looping import CascadeLoop, Tools
from hadis_operator.storing import CascadeKey

ROUND_S = 5.0
LOG = logging.getLogger(__name__)


class Supervisor:
    """Begins loops for cascades that appear; loops end by themselves when theirs is gone."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._loops: dict[CascadeKey, tuple[CascadeLoop, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()
        self.attempted_s = tools.clock()

    def changed(self, key: CascadeKey) -> None:
        """Note that something happened to a cascade or what belongs to it."""
        known = self._loops.get(key)
        if known is None:
            self._changed.set()
        else:
            known[0].wake()

    def wake_all(self) -> None:
        """Let every loop have a turn now, for instance because the role changed."""
        for loop, _ in self._loops.values():
            loop.wake()

    async def run(self) -> None:
        """Work until cancelled, then end every loop."""
        try:
            while True:
                self._changed.clear()
                self._round()
                try:
                    async with asyncio.timeout(ROUND_S):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        finally:
            await self._end()

    def stuck(self, limit_s: float) -> str | None:
        """Return which loop has not attempted a turn for that long; None when all do."""
        now_s = self._tools.clock()
        if now_s - self.attempted_s > limit_s:
            return "no cascade is looked after any more"
        for key, (loop, _) in self._loops.items():
            if now_s - loop.attempted_s > limit_s:
                return f"the loop of cascade {key} has stopped"
        return None

    def _round(self) -> None:
        self.attempted_s = self._tools.clock()
        for key, (_, task) in list(self._loops.items()):
            if task.done():
                if not task.cancelled() and (error := task.exception()) is not None:
                    LOG.error("the loop of cascade %s ended: %r", key, error)
                del self._loops[key]
        for live in self._tools.store.all(kube.CASCADES):
            key = CascadeKey(live["metadata"]["namespace"], live["metadata"]["name"])
            if key not in self._loops:
                loop = CascadeLoop(key, self._tools)
                task = asyncio.create_task(loop.run(), name=f"cascade {key}")
                # The end of one may be the beginning of its namesake.
                task.add_done_callback(lambda _: self._changed.set())
                self._loops[key] = (loop, task)

    async def _end(self) -> None:
        tasks = [task for _, task in self._loops.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

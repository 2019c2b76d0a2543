"""A place of the fleet that is always filled: starts its process, and starts it again when it dies.

Restarts wait a little longer each time, so that a process that cannot run does not eat the machine;
one that ran well for a while is forgiven its past.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hadis.errors import HadisError
from hadis_cli.fleet import processes
from hadis_cli.fleet.processes import Process

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0
FORGIVEN_AFTER_S = 60.0
LOOP_AFTER = 3
"""Quick deaths in a row that are called a crash loop."""
ANNOUNCE_WITHIN_S = 300.0

Start = Callable[[], Awaitable[Process]]
Tell = Callable[[str], None]


@dataclass(slots=True)
class Slot:
    """One supervised process. `ports` is what it announced, None while it is not listening."""

    name: str
    log: Path
    start: Start
    tell: Tell
    on_change: Callable[[], None]
    process: Process | None = None
    ports: dict[str, Any] | None = None
    started_s: float = 0.0
    deaths: int = 0
    restarts: int = 0
    _stopping: bool = False
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    def run(self) -> None:
        """Begin to keep the slot filled."""
        self._task = asyncio.create_task(self._keep(), name=f"slot {self.name}")

    @property
    def is_up(self) -> bool:
        """Whether its process is alive and has told its ports."""
        return self.ports is not None and self.process is not None and self.process.is_alive

    @property
    def is_crashing(self) -> bool:
        """Whether its process keeps dying soon after its start."""
        return self.deaths >= LOOP_AFTER

    @property
    def uid(self) -> str | None:
        """The identity that its process announced."""
        return None if self.ports is None else str(self.ports.get("uid"))

    @property
    def lived_s(self) -> float:
        """Seconds since its present process was started."""
        return time.monotonic() - self.started_s

    def address(self, port: str = "port") -> str:
        """Return host:port of one of the announced ports; only while `is_up`."""
        if self.ports is None:
            raise RuntimeError(f"{self.name} is not listening")
        return f"127.0.0.1:{self.ports[port]}"

    async def stop(self, *, grace_s: float) -> None:
        """Stop the process and no longer replace it."""
        self._stopping = True
        if self.process is not None:
            await self.process.stop(grace_s=grace_s)
        await self._finish()

    async def kill(self) -> None:
        """End the process at once and no longer replace it."""
        self._stopping = True
        if self.process is not None:
            await self.process.kill()
        await self._finish()

    async def _finish(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _keep(self) -> None:
        while not self._stopping:
            reason = await self._live_once()
            if self._stopping:
                return
            self.deaths = 1 if self.lived_s > FORGIVEN_AFTER_S else self.deaths + 1
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self.deaths - 1, 10))
            self.tell(self._obituary(reason, pause_s))
            self.restarts += 1
            await asyncio.sleep(pause_s)

    async def _live_once(self) -> str:
        """Start the process, wait for its end, and return how it ended."""
        self.started_s = time.monotonic()
        try:
            self.process = await self.start()
        except (HadisError, OSError) as error:
            return f"did not start: {error}"
        try:
            async with asyncio.timeout(ANNOUNCE_WITHIN_S):
                self.ports = await asyncio.shield(self.process.announced)
        except TimeoutError:
            await self.process.kill()
            return f"was not listening after {ANNOUNCE_WITHIN_S:.0f} s"
        except (EOFError, OSError):
            pass  # it ended, or closed its stdout; the exit code says more
        self.on_change()
        code = await asyncio.shield(self.process.ended)
        self.ports = None
        self.on_change()
        return processes.told_end(code)

    def _obituary(self, reason: str, pause_s: float) -> str:
        if not self.is_crashing:
            return f"{self.name} {reason}; starting it again"
        words = processes.last_words(self.log)
        return (
            f"{self.name} {reason}, {self.deaths} times in a row; trying again in {pause_s:.0f} s. "
            f"Its log {self.log} ends with:\n{words}"
        )

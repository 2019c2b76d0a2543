"""One started process: its log, the ports it announces, its end. Subprocesses and forks alike."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

KILL_AFTER_S = 5.0
LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Process:
    """A started process. `announced` resolves to the JSON line that tells its ports."""

    name: str
    pid: int
    announced: asyncio.Future[dict[str, Any]]
    ended: asyncio.Future[int]
    send_signal: Callable[[int], None]

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return not self.ended.done()

    async def stop(self, *, grace_s: float) -> int:
        """Ask it to end, wait `grace_s`, then kill it. Return the exit code."""
        began_s = time.monotonic()
        if self.is_alive:
            self.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.ended), grace_s)
        code = await self.kill()
        LOG.info(
            "%s %s %.1f s after SIGTERM", self.name, told_end(code), time.monotonic() - began_s
        )
        return code

    async def kill(self) -> int:
        """End it at once, also a stopped one, and return the exit code."""
        if self.is_alive:
            self.send_signal(signal.SIGKILL)
        return await asyncio.wait_for(asyncio.shield(self.ended), KILL_AFTER_S)


class Announcements(asyncio.Protocol):
    """Reads a process's stdout: the first JSON line tells its ports, everything else is log."""

    def __init__(self, log: Path) -> None:
        self.announced: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        # Nobody may be waiting any more when the process ends without announcing anything.
        self.announced.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._log = log
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take complete lines off what has come so far."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict) and message.get("event") == "listening":
                    if not self.announced.done():
                        self.announced.set_result(message)
                    continue
            with open_log(self._log) as log:
                log.write(line + b"\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the process closed its stdout, which it does by ending."""
        if not self.announced.done():
            self.announced.set_exception(exc or EOFError("ended before it was listening"))


def open_log(path: Path) -> BinaryIO:
    """Open a log for appending, unbuffered, so that several processes can share it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab", buffering=0)


async def read_announcement(descriptor: int, log: Path) -> asyncio.Future[dict[str, Any]]:
    """Watch the read end of a process's stdout and return the future of its announcement."""
    loop = asyncio.get_running_loop()
    _, reader = await loop.connect_read_pipe(
        lambda: Announcements(log), os.fdopen(descriptor, "rb", buffering=0)
    )
    return reader.announced


async def spawn(
    name: str,
    arguments: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    keep_open: Sequence[int] = (),
) -> Process:
    """Start `python ARGUMENT...` in a session of its own: Ctrl-C reaches only the fleet."""
    read_end, write_end = os.pipe()
    try:
        with open_log(log) as stderr:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=stderr,
                env=dict(environment),
                pass_fds=tuple(keep_open),
                start_new_session=True,
            )
    finally:
        os.close(write_end)
    announced = await read_announcement(read_end, log)
    ended = asyncio.create_task(child.wait(), name=f"wait for {name}")

    def send_signal(signum: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signum)

    return Process(name, child.pid, announced, ended, send_signal)


def told_end(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def last_words(log: Path, *, lines: int = 3, within_bytes: int = 8192) -> str:
    """Return the end of a log, for telling why its process ended."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - within_bytes))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    told = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(told[-lines:])

"""The fleet's end of the nursery: asks it for workers and hears of their deaths."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hadis.errors import NeverRetry
from hadis_cli.fleet import processes
from hadis_cli.fleet.processes import Process

MAX_MESSAGE_BYTES = 64 * 1024
Birth = tuple[int, "asyncio.Future[int]"]
"""A worker's process id, and the future of its exit code."""


class Nursery:
    """A running nursery. Workers that it forked end with it."""

    def __init__(self, process: Process, channel: socket.socket, log: Path) -> None:
        loop = asyncio.get_running_loop()
        self.process = process
        self.ready: asyncio.Future[float] = loop.create_future()
        self._channel = channel
        self._log = log
        self._spawned: dict[str, asyncio.Future[Birth]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}
        loop.add_reader(channel.fileno(), self._hear)
        process.ended.add_done_callback(self._close)

    @classmethod
    async def start(cls, *, log: Path, environment: Mapping[str, str]) -> "Nursery":
        """Start the process; `ready` resolves once it can fork."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        arguments = ["-m", "hadis_cli.fleet.nursery", "--channel", str(theirs.fileno())]
        arguments += ["--parent", str(os.getpid())]
        try:
            process = await processes.spawn(
                "nursery", arguments, log=log, environment=environment, keep_open=[theirs.fileno()]
            )
        finally:
            theirs.close()
        return cls(process, ours, log)

    async def spawn(
        self, name: str, argv: Sequence[str], *, log: Path, environment: Mapping[str, str]
    ) -> Process:
        """Fork a worker. NeverRetry when the nursery is gone."""
        await asyncio.shield(self.ready)
        read_end, write_end = os.pipe()
        born: asyncio.Future[Birth] = asyncio.get_running_loop().create_future()
        self._spawned[name] = born
        message = {"spawn": name, "argv": list(argv), "environment": dict(environment)}
        try:
            with processes.open_log(log) as stderr:
                socket.send_fds(
                    self._channel, [json.dumps(message).encode()], [write_end, stderr.fileno()]
                )
        except OSError as error:
            os.close(read_end)
            raise NeverRetry("the nursery does not answer") from error
        finally:
            os.close(write_end)
        announced = await processes.read_announcement(read_end, log)
        pid, ended = await born
        return Process(name, pid, announced, ended, lambda number: self._signal(name, number))

    def _signal(self, name: str, number: int) -> None:
        # Through the nursery, which knows whether the process still exists under its number.
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps({"signal": name, "number": number}).encode())

    def _hear(self) -> None:
        try:
            data = self._channel.recv(MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        message: dict[str, Any] = json.loads(data)
        if "ready" in message:
            self.ready.set_result(message["ready"])
        elif "spawned" in message:
            ended = asyncio.get_running_loop().create_future()
            self._ended[message["pid"]] = ended
            self._spawned.pop(message["spawned"]).set_result((message["pid"], ended))
        elif "exited" in message:
            gone = self._ended.pop(message["pid"], None)
            if gone is not None:
                gone.set_result(message["code"])

    def _close(self, *_: object) -> None:
        """Settle every open question: the nursery is gone, and its workers with it."""
        if self._channel.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()
        words = processes.last_words(self._log, lines=1)
        gone = NeverRetry(f"the nursery ended; {self._log} ends with: {words}")
        asked: list[asyncio.Future[Any]] = [self.ready, *self._spawned.values()]
        for future in asked:
            if not future.done():
                future.set_exception(gone)
                future.exception()  # whoever waits still gets it; nobody waiting is no fault
        for ended in self._ended.values():
            ended.set_result(-9)
        self._ended.clear()

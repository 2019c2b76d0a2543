"""A parent that imports torch and diffusers once and forks workers on command.

Started by `hadis up` as `python -m hadis_cli.fleet.nursery --channel FD --parent PID`. Importing
takes seconds of CPU a process; forking takes milliseconds, so workers start together and a worker
that died is back at once. Single-threaded and without CUDA before each fork, because neither
survives one. Messages on the channel (SOCK_SEQPACKET) are JSON:

  in   {"spawn": NAME, "argv": [...], "environment": {...}} with the descriptors of stdout, stderr
       {"signal": NAME, "number": N}
  out  {"ready": SECONDS}   {"spawned": NAME, "pid": P}   {"exited": NAME, "pid": P, "code": C}

`code` is negative for a signal, as in `subprocess`. When the channel closes, everything ends.
"""

import argparse
import contextlib
import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from hadis_cli.fleet import orphans

MAX_MESSAGE_BYTES = 64 * 1024
WORKER_NICENESS = 3
"""Routing a request takes a millisecond and must not wait behind a second of denoising."""


class Nursery:
    """The children by name, and the channel to the fleet."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._children: dict[int, str] = {}

    def serve(self) -> None:
        """Handle messages and deaths until the channel closes."""
        wake_in, wake_out = socket.socketpair()
        for end in (wake_in, wake_out):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_out.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(wake_in, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if wake_in in ready:
                    with contextlib.suppress(BlockingIOError):
                        wake_in.recv(4096)
                    self._reap()
                if self._channel in ready and not self._handle(inherited=(wake_in, wake_out)):
                    return

    def tell(self, **message: object) -> None:
        """Send one message; a fleet that is gone needs none."""
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps(message).encode())

    def _handle(self, *, inherited: Sequence[socket.socket]) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._channel, MAX_MESSAGE_BYTES, 2)
        if not data:
            return False
        message: dict[str, Any] = json.loads(data)
        if "spawn" in message:
            self._spawn(message, descriptors, inherited)
        elif "signal" in message:
            for pid, name in self._children.items():
                if name == message["signal"]:
                    os.kill(pid, message["number"])
        return True

    def _spawn(
        self, message: dict[str, Any], descriptors: list[int], inherited: Sequence[socket.socket]
    ) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._channel.close()
            for end in inherited:
                end.close()
            _become_worker(message, descriptors, parent)
        for descriptor in descriptors:
            os.close(descriptor)
        self._children[pid] = message["spawn"]
        self.tell(spawned=message["spawn"], pid=pid)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self._children.pop(pid, None)
            if name is not None:
                self.tell(exited=name, pid=pid, code=os.waitstatus_to_exitcode(status))


def _become_worker(message: dict[str, Any], descriptors: list[int], parent: int) -> NoReturn:
    """Run one worker in this forked process and leave without the nursery's own clean-up."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, signal.SIG_DFL)
        orphans.die_with(parent)
        for descriptor, target in zip(descriptors, (1, 2), strict=True):
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.environ.update(message["environment"])
        os.nice(WORKER_NICENESS)
        _run(message["argv"])
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(argv: list[str]) -> NoReturn:
    import setproctitle

    from hadis_server.__main__ import main as serve

    setproctitle.setproctitle(" ".join(["hadis_server", *argv]))
    raise SystemExit(serve(argv))


def main(argv: Sequence[str] | None = None) -> int:
    """Preload, then serve the channel that was inherited as a file descriptor."""
    parser = argparse.ArgumentParser(prog="hadis-nursery", description=__doc__)
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args(argv)
    orphans.die_with(options.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the fleet's to handle
    channel = socket.socket(fileno=options.channel)
    nursery = Nursery(channel)
    started_s = time.monotonic()
    from hadis_server import preloading

    preloading.preload()
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that it walks
    nursery.tell(ready=time.monotonic() - started_s)
    nursery.serve()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

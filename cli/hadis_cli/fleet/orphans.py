"""Children that never outlive the fleet, however it ends."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Coroutine

_PR_SET_PDEATHSIG = 1


def die_with(parent: int, *, how: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send `how` to this process when its parent ends, kill -9 included.

    `parent` is who the parent should be: when it is gone already, this process leaves at once.
    Elsewhere than on Linux only that check is made.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)  # the parent died between our start and the call above


def take_secret(variable: str) -> str | None:
    """Return a secret from the environment and remove it, so that no child inherits it."""
    return os.environ.pop(variable, None)


async def until_terminated(work: Coroutine[object, object, None]) -> None:
    """Run `work` until it ends or SIGTERM or SIGINT asks to stop; then cancel it."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task

"""Processes that help a profiler: one thread and one device each, and gone when it is."""

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnContext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def context() -> SpawnContext:
    """Return the way to start a helper: afresh; a fork would inherit torch's threads."""
    return multiprocessing.get_context("spawn")


def settle(device: str, rank: int) -> "torch.device":
    """Make this process a helper and return its device; of several GPUs each helper has one.

    Ctrl-C reaches the whole group of processes: the profiler alone answers it and ends its helpers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    # Its default lock is shared by processes: a helper that is ended would leave one behind.
    importlib.import_module("tqdm").tqdm.set_lock(threading.RLock())
    # Imported here: the parent needs no torch, and the thread count must be set before.
    import torch

    from hadis_server import hardware, pipelines

    torch.set_num_threads(1)
    pipelines.quiet()
    hardware.compute_exactly()
    where = hardware.choose_device(device)
    if where.type == "cuda" and where.index is None:
        where = torch.device("cuda", rank % max(torch.cuda.device_count(), 1))
    return where


def gpus() -> int:
    """Return how many GPUs torch can use here, asked in a process of its own.

    The files in /dev do not tell: torch may be the build for CPUs, the driver too old, or a GPU
    hidden by CUDA_VISIBLE_DEVICES.
    """
    with ProcessPoolExecutor(1, mp_context=context()) as asked:
        return asked.submit(_count_gpus).result()


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@contextlib.contextmanager
def pool(
    count: int, start: Callable[..., None], arguments: Sequence[Any]
) -> Iterator[ProcessPoolExecutor]:
    """Run a pool of `count` helpers; each starts with `start(ranks, *arguments)`.

    `ranks` is a queue that holds a number for each. Whatever goes wrong, Ctrl-C included, ends the
    helpers at once: left to itself a pool would first do all that was asked of it.
    """
    spawn = context()
    ranks = spawn.SimpleQueue()
    for rank in range(count):
        ranks.put(rank)
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(count, spawn, initializer=start, initargs=(ranks, *arguments))
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for helper in set(multiprocessing.active_children()) - others:
            helper.terminate()
            helper.join()
        raise
    finally:
        executor.shutdown()


def _leave_with_the_parent() -> None:
    """End when the profiler does, also when it was killed: nobody would ever ask again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

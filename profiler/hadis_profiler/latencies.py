"""Seconds a batch of each model, with as many processes at work as the machine will run workers.

A latency that was measured alone is wrong for a fleet: processes share memory bandwidth and caches.
So every process measures the same batch at the same time, and the median over all counts. On a CPU
each has one thread, as a worker has, and its own CPU time is taken: it is the latency on a core of
one's own, whoever else is using the machine. On a GPU it is the time on the wall.
"""

import functools
import queue
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import TYPE_CHECKING, Any

from hadis.errors import HadisError, ModelUnavailable
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName
from hadis_profiler import helpers, identities

if TYPE_CHECKING:
    import torch

BATCHES = (1, 2, 4, 8)
RUNS = 4
"""Runs of each batch; the first only warms up, and the middle one of the rest counts."""
WORDS = "a large red circle to the left of two small blue squares"
PATIENCE_S = 3600.0
"""A batch of a large model is slow; a process that died is noticed at once."""
POLL_S = 1.0
REASON_CHARS = 400


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds a batch by model and batch size, and of scoring by batch size; and where."""

    models: dict[ModelName, dict[int, float]]
    scoring: dict[int, float]
    hardware: str
    processes: int
    made_of: str = ""
    """The digest of what was measured, and how: `identity` of the same work."""


Progress = Callable[[str], None]


def measure(
    cascade: Cascade,
    *,
    processes: int,
    device: str = "cpu",
    batches: Sequence[int] = BATCHES,
    runs: int = RUNS,
    on_step: Progress | None = None,
) -> Latencies:
    """Measure all models of `cascade`, whose paths are resolved, and its discriminator.

    ModelUnavailable when a model does not load in one of the processes.
    """
    spawn = helpers.context()
    barrier, results = spawn.Barrier(processes), spawn.Queue()
    given = cascade, device, tuple(batches), runs
    team = [
        spawn.Process(target=_run, args=(rank, *given, barrier, results), daemon=True)
        for rank in range(processes)
    ]
    for process in team:
        process.start()
    taken: dict[tuple[str, int], list[float]] = {}
    hardware, running = "", processes
    try:
        while running:
            kind, *rest = _next(results, team)
            if kind == "failed":
                raise rest[0]
            if kind == "done":
                hardware = rest[0]
                running -= 1
                continue
            name, batch, seconds = rest
            taken.setdefault((name, batch), []).append(seconds)
            if on_step is not None and len(taken[name, batch]) == processes:
                on_step(f"{name or 'discriminator'}, batches of {batch}")
    finally:
        for process in team:
            # Whoever is done ends by itself; a kill would leave its semaphores behind.
            process.join(0.0 if running else PATIENCE_S)
            process.terminate()
            process.join()
    return Latencies(
        models={
            model.name: _rising({b: statistics.median(taken[model.name, b]) for b in batches})
            for model in cascade.models
        },
        scoring=_rising({b: statistics.median(taken["", b]) for b in batches})
        if cascade.discriminator is not None
        else {},
        hardware=hardware,
        processes=processes,
        made_of=identity(cascade, processes=processes, device=device, batches=batches),
    )


def identity(cascade: Cascade, *, processes: int, device: str, batches: Sequence[int]) -> str:
    """Return the digest of all that measured latencies depend on, except the machine."""
    models, judge = identities.of_models(cascade), identities.of_discriminator(cascade)
    return identities.of(models, judge, processes, device, list(batches))


def _rising(seconds: dict[int, float]) -> dict[int, float]:
    """Return the seconds with noise smoothed away that would make a larger batch faster."""
    highest, rising = 0.0, {}
    for batch, value in sorted(seconds.items()):
        highest = max(highest, value)
        rising[batch] = round(highest, 6)
    return rising


def _next(results: "Queue[Any]", team: Sequence[BaseProcess]) -> tuple[Any, ...]:
    """Return the next message; ModelUnavailable when a process died or stalls, as all then wait."""
    waiting_until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < waiting_until_s:
        # Looked at before the queue: what a process said before it ended is still read.
        died = [process.exitcode for process in team if process.exitcode]
        try:
            message: tuple[Any, ...] = results.get(timeout=0.0 if died else POLL_S)
        except queue.Empty:
            if died:
                raise ModelUnavailable(
                    f"a process that measures latencies died with exit code {died[0]}, perhaps for "
                    "want of memory; try fewer --workers"
                ) from None
        else:
            return message
    raise ModelUnavailable(f"no batch was finished in {PATIENCE_S:.0f} s; try smaller --batches")


def _run(
    rank: int,
    cascade: Cascade,
    device: str,
    batches: tuple[int, ...],
    runs: int,
    barrier: Barrier,
    results: "Queue[Any]",
) -> None:
    """Measure everything in one process, in step with the others."""
    try:
        hardware = _measure_all(
            helpers.settle(device, rank), cascade, batches, runs, barrier, results
        )
    except HadisError as error:
        results.put(("failed", error))
    except Exception as error:
        reason = " ".join(str(error).split())[:REASON_CHARS]
        told = f"measuring latencies failed: {type(error).__name__}: {reason}"
        results.put(("failed", ModelUnavailable(told)))
    else:
        results.put(("done", hardware))


def _measure_all(
    where: "torch.device",
    cascade: Cascade,
    batches: tuple[int, ...],
    runs: int,
    barrier: Barrier,
    results: "Queue[Any]",
) -> str:
    """Measure models, then the discriminator; return the hardware's name."""
    # Imported here: the parent needs no torch.
    from hadis_server import discriminating, hardware, pipelines

    clock = time.process_time if where.type == "cpu" else time.perf_counter

    def timed(work: Callable[[], Any]) -> tuple[float, Any]:
        seconds = []
        for _ in range(runs):
            barrier.wait(PATIENCE_S)
            began_s = clock()
            result = work()
            seconds.append(clock() - began_s)
        return statistics.median(seconds[1:] or seconds), result

    images: list[Any] = []
    weights: dict[object, Any] = {}
    for serial, spec in enumerate(cascade.models):
        key = pipelines.weights_key(spec)
        if key not in weights:
            weights[key] = pipelines.load_weights(spec, where)
        variant = pipelines.Variant(spec, weights[key], serial=serial)
        for batch in batches:
            rows = [pipelines.Row(WORDS, None, seed) for seed in range(batch)]
            draw = functools.partial(variant.generate, rows, width=spec.width, height=spec.height)
            seconds, made = timed(draw)
            images = list(made.images)
            results.put(("taken", spec.name, batch, seconds))
    if cascade.discriminator is not None:
        judge = discriminating.load(cascade.discriminator, where)
        for batch in batches:
            shown = [images[k % len(images)] for k in range(batch)]
            seconds, _ = timed(functools.partial(judge.score, shown, [WORDS] * batch))
            results.put(("taken", "", batch, seconds))
    return hardware.name(where)

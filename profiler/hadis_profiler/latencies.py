"""Seconds a batch of each model, with as many processes at work as the machine will run workers.

A latency that was measured alone is wrong for a fleet: processes share memory bandwidth and caches.
So every process measures the same batch at the same time, and the median over all counts. On a CPU
each has one thread, as a worker has, and its own CPU time is taken: it is the latency on a core of
one's own, whoever else is using the machine. On a GPU it is the time on the wall.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

from hadis.errors import ModelUnavailable
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName

BATCHES = (1, 2, 4, 8)
RUNS = 4
"""Runs of each batch; the first only warms up, and the middle one of the rest counts."""
WORDS = "a large red circle to the left of two small blue squares"
PATIENCE_S = 900.0


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds a batch by model and batch size, and of scoring by batch size; and where."""

    models: dict[ModelName, dict[int, float]]
    scoring: dict[int, float]
    hardware: str
    processes: int


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
    # Forked processes would inherit torch's threads; a worker starts afresh too.
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    team = [
        context.Process(
            target=_run, args=(cascade, device, tuple(batches), runs, barrier, results), daemon=True
        )
        for _ in range(processes)
    ]
    for process in team:
        process.start()
    taken: dict[tuple[str, int], list[float]] = {}
    hardware, running = "", processes
    try:
        while running:
            kind, *rest = results.get(timeout=PATIENCE_S)
            if kind == "failed":
                raise ModelUnavailable(rest[0])
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
    )


def _rising(seconds: dict[int, float]) -> dict[int, float]:
    """Return the seconds with noise smoothed away that would make a larger batch faster."""
    highest, rising = 0.0, {}
    for batch, value in sorted(seconds.items()):
        highest = max(highest, value)
        rising[batch] = round(highest, 6)
    return rising


def _run(
    cascade: Cascade,
    device: str,
    batches: tuple[int, ...],
    runs: int,
    barrier: Barrier,
    results: "Queue[Any]",
) -> None:
    """Measure everything in one process, in step with the others."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    # Imported here: the parent needs no torch, and the thread count must be set before.
    import torch

    from hadis_server import discriminating, hardware, pipelines

    torch.set_num_threads(1)
    pipelines.quiet()
    where = torch.device(device)
    clock = time.perf_counter if device == "cuda" else time.process_time
    try:
        weights: dict[object, Any] = {}
        images: list[Any] = []
        for serial, spec in enumerate(cascade.models):
            key = pipelines.weights_key(spec)
            if key not in weights:
                weights[key] = pipelines.load_weights(spec, where)
            variant = pipelines.Variant(spec, weights[key], serial=serial)
            for batch in batches:
                rows = [pipelines.Row(WORDS, None, seed) for seed in range(batch)]
                seconds = []
                for _ in range(runs):
                    barrier.wait(PATIENCE_S)
                    began_s = clock()
                    made = variant.generate(rows, width=spec.width, height=spec.height)
                    seconds.append(clock() - began_s)
                images = list(made.images)
                results.put(("taken", spec.name, batch, statistics.median(seconds[1:] or seconds)))
        if cascade.discriminator is not None:
            judge = discriminating.load(cascade.discriminator, where)
            for batch in batches:
                shown = [images[k % len(images)] for k in range(batch)]
                seconds = []
                for _ in range(runs):
                    barrier.wait(PATIENCE_S)
                    began_s = clock()
                    judge.score(shown, [WORDS] * batch)
                    seconds.append(clock() - began_s)
                results.put(("taken", "", batch, statistics.median(seconds[1:] or seconds)))
    except ModelUnavailable as error:
        results.put(("failed", str(error)))
        return
    results.put(("done", hardware.name(where)))

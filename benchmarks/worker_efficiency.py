"""What the worker's denoising thread costs above the bare pipeline call, for the same batches.

    python benchmarks/worker_efficiency.py [--cascade FILE] [--model M] [--batch B] [--runs 7]

Alternates, model by model and size by size, between a plain call of the pipeline and the
same batch through the worker's queue and thread. On a CPU both are CPU seconds of their thread, so
that other load on the machine does not count; on a GPU both are seconds on the clock. Scoring and
encoding are left out on both sides. Prints one JSON object; exits with 1 when any model at any
batch size costs more than 5 %, with 2 when a model does not load or does not fit in memory.
"""

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hadis.terms.cascades import ModelSpec
from hadis.wire.generation import GenerateBody
from hadis.wire.manifests import read_manifests
from hadis_server import pipelines
from hadis_server.batching import Preference
from hadis_server.settings import Settings
from hadis_server.station import Station

LIMIT = 1.05
PROMPT = "a large red circle above two small blue squares"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cascade", type=Path, default=None)
    parser.add_argument("--model", action="append", help="only these; all by default")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    file = options.cascade or scenes_file()
    torch.set_num_threads(1)
    pipelines.quiet()
    manifests = read_manifests(file.read_text(encoding="utf-8"), source=str(file))
    specs = [m for m in manifests.cascade.models if m.name in (options.model or [m.name])]
    if not specs:
        parser.error(f"--model: {file} has none of {', '.join(options.model)}")
    station = Station(Settings(cascade=file, uid="benchmark", device=options.device), manifests)
    station.start()
    clock = time.thread_time if options.device == "cpu" else time.perf_counter
    rows = []
    try:
        # The worker's own calibration runs in idle time, which here would be between two readings.
        while any(station.book.unmeasured(spec.name) for spec in specs):
            errors = [state.error for state in station.status().models.values() if state.error]
            if errors:
                print(*errors, sep="\n", file=sys.stderr)
                return 2
            if station.unready() is None:  # nothing is left to load
                out = [spec.name for spec in specs if station.resident(spec.name) is None]
                if out:
                    print(f"no room in memory beside the others: {', '.join(out)}", file=sys.stderr)
                    return 2
            time.sleep(0.05)
        for spec in specs:
            for batch in options.batch or [1, 4]:
                rows.append(measure(station, spec, batch, options.runs, clock))
                print(f"{rows[-1]}", file=sys.stderr)
    finally:
        station.close()
    worst = max((row["ratio"] for row in rows), default=0.0)
    print(json.dumps({"limit": LIMIT, "worst_ratio": worst, "rows": rows}))
    return int(worst > LIMIT)


def scenes_file() -> Path:
    import hadis_scenes

    return Path(hadis_scenes.__file__).with_name("cascade.yaml")


def measure(
    station: Station, spec: ModelSpec, batch: int, runs: int, clock: Callable[[], float]
) -> dict[str, Any]:
    """Return the medians of both ways; the first run of each pays for caches and is not counted."""
    resident = station.resident(spec.name)
    assert resident is not None
    pipeline = resident.variant.pipeline
    bare_s, worker_s = [], []
    for _ in range(runs + 1):
        on_thread(station, lambda: bare_s.append(timed(lambda: bare(pipeline, spec, batch), clock)))
        worker_s.append(through_worker(station, spec, batch, clock))
    bare_median, worker_median = statistics.median(bare_s[1:]), statistics.median(worker_s[1:])
    return {
        "model": spec.name,
        "batch": batch,
        "bare_s": round(bare_median, 5),
        "worker_s": round(worker_median, 5),
        "ratio": round(worker_median / bare_median, 4),
    }


def bare(pipeline: Any, spec: ModelSpec, batch: int) -> None:
    """Call the pipeline as anybody would."""
    with torch.inference_mode():
        pipeline(
            prompt=[PROMPT] * batch,
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance,
            width=spec.width,
            height=spec.height,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(batch)],
        )


def through_worker(
    station: Station, spec: ModelSpec, batch: int, clock: Callable[[], float]
) -> float:
    """Return what the denoising thread spends from taking the batch to handing its images over."""
    readings: list[float] = []
    jobs = []
    ended = threading.Event()

    def end() -> None:
        readings.append(clock())
        ended.set()

    def begin() -> None:
        # Queued while the thread is here, so that it finds the whole batch when it returns.
        for seed in range(batch):
            body = GenerateBody(
                request_id="benchmark",
                model=spec.name,
                prompt=PROMPT,
                seed=seed,
                width=spec.width,
                height=spec.height,
                remaining_s=600,
            )
            jobs.append(station.submit(body))
        # Run by the same thread as soon as it has handed the batch over.
        station.intake.run(end, when_idle=True)
        readings.append(clock())

    station.intake.prefer(Preference(spec.name, batch))
    station.intake.run(begin)
    ended.wait()
    for job in jobs:
        job.ended.result()
    return readings[1] - readings[0]


def on_thread(station: Station, errand: Callable[[], None]) -> None:
    """Run `errand` on the denoising thread and wait for it."""
    done = threading.Event()

    def run() -> None:
        errand()
        done.set()

    station.intake.run(run)
    done.wait()


def timed(call: Callable[[], None], clock: Callable[[], float]) -> float:
    began_s = clock()
    call()
    return clock() - began_s


if __name__ == "__main__":
    sys.exit(main())

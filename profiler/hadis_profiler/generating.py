"""Make and judge the images that a profile is made of: every model, prompt and seed once.

Work is cut into chunks of prompts; a finished chunk is a line in `images.jsonl`, so that an
interrupted run goes on where it stopped. The worker's own pipelines and discriminator do the work,
one thread a process.
"""

import importlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hadis.errors import InvalidInput
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName

CHUNK = 16
SEED_STEP = 1_000_000
"""Seeds of different runs over the same prompts lie this far apart."""

Line = dict[str, Any]
Checker = Callable[[Any, Line], float]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some prompts under one model and seed."""

    model: ModelName
    seed: int
    start: int

    @property
    def key(self) -> str:
        """Its name in the file of finished chunks."""
        return f"{self.model}/{self.seed}/{self.start}"


def load_checker(name: str) -> Checker:
    """Import `module:function`, called with an image and its prompt's line, for its quality.

    It returns true, false or a number in [0, 1].
    """
    module_name, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module_name), function)  # type: ignore[no-any-return]
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(
            f"--checker {name}: {error}; name a function as module:function", field="--checker"
        ) from error


def generate(
    cascade: Cascade,
    lines: Sequence[Line],
    folder: Path,
    *,
    seeds: int,
    processes: int,
    device: str,
    checker: str | None,
    resume: bool,
    on_images: Progress | None = None,
) -> Path:
    """Make and judge all images; return the file of outcomes, one line a prompt.

    Without a checker the discriminator's score is the quality of an image. `on_images` is told
    how many images each step has added.
    """
    if checker is not None:
        load_checker(checker)
    done_file = folder / "images.jsonl"
    done = dict(_finished(done_file)) if resume else {}
    chunks = [
        Chunk(model.name, seed, start)
        for model in cascade.models
        for seed in range(1, seeds + 1)
        for start in range(0, len(lines), CHUNK)
    ]
    if on_images is not None:
        on_images(sum(len(values) for key, values in done.items()))
    context = multiprocessing.get_context("spawn")
    with (
        done_file.open("a" if resume else "w", encoding="utf-8") as record,
        ProcessPoolExecutor(
            processes, context, initializer=_start, initargs=(cascade, list(lines), device, checker)
        ) as pool,
    ):
        waiting = {pool.submit(_run, chunk): chunk for chunk in chunks if chunk.key not in done}
        for future in as_completed(waiting):
            chunk, values = waiting[future], future.result()
            done[chunk.key] = values
            record.write(json.dumps({"chunk": chunk.key, "values": values}) + "\n")
            record.flush()
            if on_images is not None:
                on_images(len(values))
    outcomes = folder / "outcomes.jsonl"
    outcomes.write_text("".join(_merged(cascade, lines, seeds, done)), encoding="utf-8")
    return outcomes


def _finished(path: Path) -> Iterator[tuple[str, list[list[float]]]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # the line that an interruption cut short
        yield entry["chunk"], entry["values"]


def _merged(
    cascade: Cascade, lines: Sequence[Line], seeds: int, done: dict[str, list[list[float]]]
) -> Iterator[str]:
    for index, line in enumerate(lines):
        start, offset = index - index % CHUNK, index % CHUNK
        outcome: dict[str, Any] = {"prompt": line["prompt"], "scores": {}, "fulfilled": {}}
        for model in cascade.models:
            values = [
                done[Chunk(model.name, seed, start).key][offset] for seed in range(1, seeds + 1)
            ]
            outcome["scores"][model.name] = [score for score, _ in values]
            outcome["fulfilled"][model.name] = [quality for _, quality in values]
        yield json.dumps(outcome) + "\n"


@dataclass(slots=True)
class _Bench:
    """What one process holds: loaded once, used for all its chunks."""

    lines: list[Line]
    variants: dict[ModelName, Any]
    discriminator: Any
    checker: Checker | None


_bench: list[_Bench] = []


def _start(cascade: Cascade, lines: list[Line], device: str, checker: str | None) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    # Imported here: the parent needs no torch, and the thread count must be set before.
    import torch

    from hadis_server import discriminating, pipelines

    torch.set_num_threads(1)
    pipelines.quiet()
    where = torch.device(device)
    weights: dict[object, Any] = {}
    variants: dict[ModelName, Any] = {}
    for serial, spec in enumerate(cascade.models):
        key = pipelines.weights_key(spec)
        if key not in weights:
            weights[key] = pipelines.load_weights(spec, where)
        variants[spec.name] = pipelines.Variant(spec, weights[key], serial=serial)
    judge = (
        None if cascade.discriminator is None else discriminating.load(cascade.discriminator, where)
    )
    _bench[:] = [_Bench(lines, variants, judge, load_checker(checker) if checker else None)]


def _run(chunk: Chunk) -> list[list[float]]:
    """Return score and quality of each image of a chunk."""
    from hadis_server import pipelines

    bench = _bench[0]
    lines = bench.lines[chunk.start : chunk.start + CHUNK]
    variant = bench.variants[chunk.model]
    rows = [
        pipelines.Row(line["prompt"], None, chunk.seed * SEED_STEP + chunk.start + offset)
        for offset, line in enumerate(lines)
    ]
    made = variant.generate(rows, width=variant.spec.width, height=variant.spec.height)
    images = list(made.images)
    scores = [0.0] * len(images)
    if bench.discriminator is not None:
        scores = bench.discriminator.score(images, [line["prompt"] for line in lines])
    checker = bench.checker
    qualities = (
        scores
        if checker is None
        else [float(checker(image, line)) for image, line in zip(images, lines, strict=True)]
    )
    return [[float(s), float(q)] for s, q in zip(scores, qualities, strict=True)]

"""Make and judge the images that a profile is made of: every model, prompt and seed once.

Work is cut into chunks of prompts, each one batch; a finished chunk is a line in `images.jsonl`, so
that an interrupted run goes on where it stopped. The worker's own pipelines and discriminator do
the work, one thread a process.
"""

import contextlib
import importlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hadis.errors import HadisError, InvalidInput, ModelUnavailable
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName
from hadis_profiler import helpers, identities

CHUNK = 16
SEED_STEP = 1_000_000
"""Seeds of different runs over the same prompts lie this far apart."""

Line = dict[str, Any]
Values = list[list[float]]
"""Score and quality of each image of a chunk."""
Checker = Callable[[Any, Line], float]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some prompts under one model and seed.

    `made_of` stands for everything else that its values depend on: weights, settings, judges and
    the prompts themselves.
    """

    model: ModelName
    seed: int
    start: int
    made_of: str

    @property
    def key(self) -> str:
        """Its name in the file of finished chunks."""
        return f"{self.model}/{self.seed}/{self.start}/{self.made_of}"


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

    Without a checker the discriminator's score is the quality of an image. With `resume`, chunks
    that an earlier run finished are taken over as far as models, judges and prompts are the same.
    `on_images` is told how many images each step has added.
    """
    if checker is not None:
        load_checker(checker)
    elif cascade.discriminator is None:
        raise InvalidInput(
            "nothing judges the images: the cascade has no discriminator; name a --checker",
            field="--checker",
        )
    done_file = folder / "images.jsonl"
    chunks = _chunks(cascade, lines, seeds, checker)
    text = done_file.read_text(encoding="utf-8") if resume and done_file.exists() else ""
    earlier = dict(_finished(text))
    done = {chunk.key: earlier[chunk.key] for chunk in chunks if chunk.key in earlier}
    if on_images is not None:
        on_images(sum(len(values) for values in done.values()))
    missing = [chunk for chunk in chunks if chunk.key not in done]
    with (
        done_file.open("a" if resume else "w", encoding="utf-8") as record,
        contextlib.closing(_made(cascade, lines, missing, processes, device, checker)) as made,
    ):
        if text and not text.endswith("\n"):
            record.write("\n")  # an interruption cut the last line short
        for chunk, values in made:
            done[chunk.key] = values
            record.write(json.dumps({"chunk": chunk.key, "values": values}) + "\n")
            record.flush()
            if on_images is not None:
                on_images(len(values))
    outcomes = folder / "outcomes.jsonl"
    outcomes.write_text("".join(_merged(cascade, lines, chunks, done)), encoding="utf-8")
    return outcomes


def _chunks(
    cascade: Cascade, lines: Sequence[Line], seeds: int, checker: str | None
) -> list[Chunk]:
    """Cut the work; the models that come last are the slowest as a rule, and so begin."""
    models = identities.of_models(cascade)
    judges = identities.of(identities.of_discriminator(cascade), checker)
    prompts = {
        start: identities.of(*lines[start : start + CHUNK]) for start in range(0, len(lines), CHUNK)
    }
    return [
        Chunk(name, seed, start, identities.of(models[name], judges, shown))
        for name in reversed(models)
        for seed in range(1, seeds + 1)
        for start, shown in prompts.items()
    ]


def _made(
    cascade: Cascade,
    lines: Sequence[Line],
    chunks: Sequence[Chunk],
    processes: int,
    device: str,
    checker: str | None,
) -> Generator[tuple[Chunk, Values], None, None]:
    """Work off chunks in helpers, in the order in which they get done."""
    if not chunks:
        return
    task = (cascade, list(lines), device, checker)
    with helpers.pool(min(processes, len(chunks)), _start, task) as pool:
        asked = {pool.submit(_run, chunk): chunk for chunk in chunks}
        try:
            for future in as_completed(asked):
                yield asked[future], future.result()
        except BrokenProcessPool as error:
            raise ModelUnavailable(
                "a process that makes images died, perhaps for want of memory; try fewer --workers "
                "and go on with --resume"
            ) from error


def _finished(text: str) -> Iterator[tuple[str, Values]]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # the line that an interruption cut short
        yield entry["chunk"], entry["values"]


def _merged(
    cascade: Cascade, lines: Sequence[Line], chunks: Sequence[Chunk], done: dict[str, Values]
) -> Iterator[str]:
    """Write a line a prompt: the values of each model in the order of the seeds."""
    outcomes: list[dict[str, Any]] = [
        {"prompt": line["prompt"], "scores": {}, "fulfilled": {}} for line in lines
    ]
    names = [model.name for model in cascade.models]
    for chunk in sorted(chunks, key=lambda chunk: (names.index(chunk.model), chunk.seed)):
        for offset, (score, quality) in enumerate(done[chunk.key]):
            outcome = outcomes[chunk.start + offset]
            outcome["scores"].setdefault(chunk.model, []).append(score)
            outcome["fulfilled"].setdefault(chunk.model, []).append(quality)
    for outcome in outcomes:
        yield json.dumps(outcome) + "\n"


@dataclass(slots=True)
class _Bench:
    """What one process holds: loaded once, used for all its chunks."""

    lines: list[Line]
    variants: dict[ModelName, Any]
    discriminator: Any
    checker: tuple[str, Checker] | None


_bench: list[_Bench | HadisError] = []


def _start(
    ranks: Any, cascade: Cascade, lines: list[Line], device: str, checker: str | None
) -> None:
    """Load everything. What fails is told by the first chunk: here it would break the pool."""
    try:
        _bench[:] = [_load(ranks.get(), cascade, lines, device, checker)]
    except HadisError as error:
        _bench[:] = [error]


def _load(
    rank: int, cascade: Cascade, lines: list[Line], device: str, checker: str | None
) -> _Bench:
    where = helpers.settle(device, rank)
    # Imported here: the parent needs no torch.
    from hadis_server import discriminating, pipelines

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
    named = None if checker is None else (checker, load_checker(checker))
    return _Bench(lines, variants, judge, named)


def _run(chunk: Chunk) -> Values:
    """Return score and quality of each image of a chunk."""
    from hadis_server import pipelines

    bench = _bench[0]
    if isinstance(bench, HadisError):
        raise bench
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
    qualities = scores
    if bench.checker is not None:
        name, checker = bench.checker
        qualities = [
            _checked(name, checker, image, line) for image, line in zip(images, lines, strict=True)
        ]
    return [[float(s), float(q)] for s, q in zip(scores, qualities, strict=True)]


def _checked(name: str, checker: Checker, image: Any, line: Line) -> float:
    """Ask somebody else's function, whose errors are told as such."""
    try:
        return float(checker(image, line))
    except Exception as error:
        raise InvalidInput(
            f"--checker {name} fails on the prompt {line['prompt']!r}: {error!r}; check the "
            "function and the keys of the prompt's line",
            field="--checker",
        ) from error

"""What `hadis profile` was asked to measure, read and checked before any model is loaded."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hadis.errors import InvalidInput
from hadis.profiling import sweeping
from hadis.terms.cascades import Cascade
from hadis.wire import manifests
from hadis_cli.fleet import options as fleet_options
from hadis_profiler import helpers, measurements

UNCHECKED = "quality_score"
"""The metric where nothing but the discriminator's own score says what an image is worth."""


@dataclass(frozen=True, slots=True)
class Options:
    """The choices of one run. `workers` None is as many as `hadis up` would start."""

    cascade_file: Path
    prompts: Path | None
    out: Path
    resume: bool
    outcomes: Path | None
    features: Path | None
    checker: str | None
    workers: int | None
    batches: str
    seeds: int
    device: str
    overhead: float
    keep_weights: bool
    update: bool
    as_json: bool
    manifest: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where the models run: the device that helpers are told, and how many of them there are."""

    device: str
    processes: int


@dataclass(frozen=True, slots=True)
class Task:
    """A cascade with its paths resolved, and a line for each prompt to measure."""

    cascade: Cascade
    lines: list[dict[str, Any]]
    place: Place
    batches: tuple[int, ...]
    metric: str


def read(options: Options) -> Task:
    """Read all files and choices; InvalidInput names the one that is wrong."""
    cascade = _cascade(_text(options.cascade_file, "--cascade"), options)
    if options.manifest and options.as_json:
        raise InvalidInput("give --json or --manifest, not both", field="--manifest")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", options.device):
        raise InvalidInput(
            f"--device {options.device} is none of auto, cpu, cuda, cuda:N", field="--device"
        )
    return Task(
        cascade,
        _lines(options),
        _place(cascade, options),
        _batch_sizes(options.batches),
        UNCHECKED if options.outcomes is None and options.checker is None else sweeping.FULFILMENT,
    )


def text_now(task: Task, options: Options) -> str:
    """Return the text of the cascade file by now, perhaps edited while the task was worked off.

    InvalidInput when the file no longer describes what was measured.
    """
    kept = f"the profile is in {options.out}, and --update has changed nothing"
    try:
        text = _text(options.cascade_file, "--cascade")
        now = _cascade(text, options)
    except InvalidInput as error:
        raise InvalidInput(f"{error}; {kept}", field=error.field) from error
    if _measured_parts(now) != _measured_parts(task.cascade):
        raise InvalidInput(
            f"{options.cascade_file} has got other models, discriminator, delivery or hardness "
            f"weights while they were measured; {kept}",
            field="--update",
        )
    return text


def _measured_parts(cascade: Cascade) -> tuple[object, ...]:
    return cascade.models, cascade.discriminator, cascade.deliver, cascade.hardness_weights


def _cascade(text: str, options: Options) -> Cascade:
    found = manifests.read_manifests(text, source=str(options.cascade_file)).cascade
    return manifests.resolve_paths(found, options.cascade_file.resolve().parent)


def _place(cascade: Cascade, options: Options) -> Place:
    # Asking torch takes seconds: only where the answer matters.
    is_asked = options.device == "cuda" or (options.device == "auto" and fleet_options.gpus() > 0)
    found = place(
        options.device,
        wanted=cascade.workers,
        gpus=helpers.gpus() if is_asked else 0,
        cores=fleet_options.cores(),
    )
    return Place(found.device, options.workers or found.processes)


def place(device: str, *, wanted: int, gpus: int, cores: int) -> Place:
    """Return where `wanted` workers would run: one on each GPU that torch can use, or else core.

    A device that is named stands, and what cannot be had is told when it is to be used.
    """
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    most = cores if device == "cpu" else gpus if device == "cuda" else 1
    return Place(device, max(min(wanted, most), 1))


def _lines(options: Options) -> list[dict[str, Any]]:
    asked = None if options.prompts is None else _prompts(options.prompts)
    if options.outcomes is None:
        if options.features is not None:
            raise InvalidInput(
                "--features belongs to measured images: give their --outcomes", field="--features"
            )
        if asked is None:
            raise InvalidInput(
                "give --prompts F, or --outcomes F that were measured before", field="--prompts"
            )
        return asked
    measured = measurements.read_lines(options.outcomes)
    known = None if asked is None else {line["prompt"] for line in asked}
    for number, line in enumerate(measured, start=1):
        if known is not None and line["prompt"] not in known:
            raise InvalidInput(
                f"{options.outcomes}, line {number}: the prompt is not in {options.prompts}; give "
                "the prompts that were measured, or none"
            )
    return measured


def _prompts(path: Path) -> list[dict[str, Any]]:
    """Read a prompt file: JSON objects with a prompt, or plain texts, one a line."""
    text = _text(path, "--prompts")
    if text.lstrip().startswith("{"):
        return measurements.read_lines(path)
    lines = [{"prompt": line.strip()} for line in text.splitlines() if line.strip()]
    if not lines:
        raise InvalidInput(f"--prompts {path} holds no prompt: write one a line")
    return lines


def _batch_sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(size) if size.strip().isdecimal() else 0 for size in text.split(","))
    if 1 not in sizes or min(sizes) < 1:
        raise InvalidInput(
            f"--batches {text}: write whole numbers from 1 on, 1 among them, like 1,2,4",
            field="--batches",
        )
    return tuple(sorted(set(sizes)))


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{option} {path}: cannot be read as text: {error}") from error

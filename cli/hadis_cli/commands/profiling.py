"""`hadis profile`: measure a cascade's models and write the lookup table."""

import os
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hadis.errors import InvalidInput
from hadis.profiling import files, sweeping
from hadis.terms.cascades import Cascade
from hadis.terms.profiles import Profile
from hadis.wire import manifests
from hadis_profiler import assembling, generating, latencies, latency_files, measurements
from hadis_profiler.latencies import Latencies

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="profile")
@click.option("--cascade", "cascade_file", type=_FILE, required=True, help="HadisCascade file.")
@click.option(
    "--prompts", type=_FILE, required=True, help="One JSON object with a prompt a line, or texts."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder."
)
@click.option("--resume", is_flag=True, help="Go on with what is already in the output folder.")
@click.option("--outcomes", type=_FILE, help="Use these measured outcomes; make no images.")
@click.option("--features", type=_FILE, help="Embeddings (.npz) for the Frechet distance.")
@click.option("--checker", metavar="MODULE:FUNCTION", help="Judges an image; default: its score.")
@click.option("--workers", type=click.IntRange(1), help="Processes at work together.")
@click.option("--batches", default="1,2,4,8", show_default=True, help="Batch sizes to measure.")
@click.option("--seeds", type=click.IntRange(2), default=2, show_default=True, help="A prompt.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--overhead", type=float, default=0.02, show_default=True, help="Seconds a request.")
@click.option("--keep-weights", is_flag=True, help="Do not tune the hardness weights.")
@click.option("--update", is_flag=True, help="Write weights and profile into the cascade file.")
def command(
    cascade_file: Path,
    prompts: Path,
    out: Path,
    resume: bool,
    outcomes: Path | None,
    features: Path | None,
    checker: str | None,
    workers: int | None,
    batches: str,
    seeds: int,
    device: str,
    overhead: float,
    keep_weights: bool,
    update: bool,
) -> None:
    """Measure how long the models of a cascade take and what every pair delivers.

    Writes profile.json (the lookup table), profile.yaml (the same as a HadisProfile) and
    hardness.yaml (the weights that the thresholds go with) into the output folder.
    """
    console = Console(stderr=True)
    text = cascade_file.read_text(encoding="utf-8")
    read = manifests.read_manifests(text, source=str(cascade_file))
    cascade = manifests.resolve_paths(read.cascade, cascade_file.resolve().parent)
    lines = _prompts(prompts)
    out.mkdir(parents=True, exist_ok=True)
    processes = workers or max(min(cascade.workers, os.cpu_count() or 1), 1)

    kept = out / "latencies.json"
    if not (resume and kept.exists()):
        measured = _latencies(console, cascade, processes, device, _batch_sizes(batches))
        latency_files.write(measured, kept)
    measured = latency_files.read(kept)
    metric = _metric(outcomes, checker)
    if outcomes is None:
        outcomes = _images(console, cascade, lines, out, seeds, processes, device, checker, resume)
    else:
        lines = _measured(lines, outcomes, prompts)
    with _progress(console) as bar:
        task = bar.add_task("reading prompts", total=len(lines))
        read_features = assembling.features_of(
            [line["prompt"] for line in lines], on_step=lambda: bar.advance(task)
        )
        hardness = assembling.hardness_of(read_features, cascade.hardness_weights)
        kind = None if cascade.discriminator is None else cascade.discriminator.kind
        names = [model.name for model in cascade.models]
        values = measurements.read_outcomes(outcomes, names, hardness, kind=kind, features=features)
        sweep = bar.add_task("sweeping thresholds", total=None)
        assembly = assembling.assemble(
            cascade,
            values,
            read_features,
            measured,
            metric=metric,
            tune=not keep_weights,
            overhead_s=overhead,
            on_row=lambda _: bar.advance(sweep),
        )
    _write(out, assembly)
    if update:
        cascade_file.write_text(_updated(text, assembly), encoding="utf-8")
    _show(assembly.profile)


def _batch_sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(size) if size.strip().isdigit() else 0 for size in text.split(","))
    if 1 not in sizes or min(sizes) < 1:
        raise InvalidInput(
            f"--batches {text}: write whole numbers from 1 on, 1 among them, like 1,2,4",
            field="--batches",
        )
    return tuple(sorted(set(sizes)))


def _latencies(
    console: Console, cascade: Cascade, processes: int, device: str, batches: tuple[int, ...]
) -> Latencies:
    steps = (len(cascade.models) + (cascade.discriminator is not None)) * len(batches)
    with _progress(console) as bar:
        task = bar.add_task("measuring latencies", total=steps)

        def step(what: str) -> None:
            bar.update(task, advance=1, description=what)

        return latencies.measure(
            cascade, processes=processes, device=device, batches=batches, on_step=step
        )


def _images(
    console: Console,
    cascade: Cascade,
    lines: list[dict[str, Any]],
    out: Path,
    seeds: int,
    processes: int,
    device: str,
    checker: str | None,
    resume: bool,
) -> Path:
    with _progress(console) as bar:
        total = len(lines) * len(cascade.models) * seeds
        task = bar.add_task("making images", total=total)
        return generating.generate(
            cascade,
            lines,
            out,
            seeds=seeds,
            processes=processes,
            device=device,
            checker=checker,
            resume=resume,
            on_images=lambda count: bar.advance(task, count),
        )


def _measured(lines: list[dict[str, Any]], outcomes: Path, prompts: Path) -> list[dict[str, Any]]:
    """Return the lines of the prompts that were measured, in the order of the outcomes."""
    by_prompt = {line["prompt"]: line for line in lines}
    found = []
    for number, line in enumerate(measurements.read_lines(outcomes), start=1):
        if line["prompt"] not in by_prompt:
            raise InvalidInput(
                f"{outcomes}, line {number}: the prompt is not in {prompts}; give the prompts that "
                "were measured"
            )
        found.append(by_prompt[line["prompt"]])
    return found


def _metric(outcomes: Path | None, checker: str | None) -> str:
    """Name what was measured: without any checker an image's quality is its own score."""
    checked = outcomes is not None or checker is not None
    return sweeping.FULFILMENT if checked else "quality_score"


def _prompts(path: Path) -> list[dict[str, Any]]:
    """Read a prompt file: JSON objects with a prompt, or plain texts, one a line."""
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("{"):
        return measurements.read_lines(path)
    lines = [{"prompt": line.strip()} for line in text.splitlines() if line.strip()]
    if not lines:
        raise InvalidInput(f"--prompts {path} holds no prompt: write one a line")
    return lines


def _write(out: Path, assembly: assembling.Assembly) -> None:
    (out / "profile.json").write_text(files.write_profile(assembly.profile), encoding="utf-8")
    (out / "profile.yaml").write_text(files.write_manifest(assembly.profile), encoding="utf-8")
    weights = yaml.safe_dump({"hardness": {"weights": assembly.hardness_weights}})
    (out / "hardness.yaml").write_text(weights, encoding="utf-8")


def _updated(text: str, assembly: assembling.Assembly) -> str:
    """Return a cascade file with new hardness weights and profile; its first comments stay."""
    comments = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comments.append(line)
    documents = [d for d in yaml.safe_load_all(text) if d and d.get("kind") == "HadisCascade"]
    cascade = documents[0]
    if assembly.hardness_weights:
        cascade["spec"]["hardness"] = {"weights": assembly.hardness_weights}
    cascade["spec"]["profile"] = {"name": assembly.profile.name}
    parts = ["\n".join(comments)] if comments else []
    parts.append(files.flow_yaml(cascade).rstrip("\n"))
    parts += ["---", files.write_manifest(assembly.profile)]
    return "\n".join(parts)


def _show(profile: Profile) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("model", "s an image", "batch 4, s each", profile.quality.metric):
        table.add_column(title, justify="left" if title == "model" else "right")
    alone = assembling.fixed_quality(profile)
    for model in profile.models:
        four = model.latency_s.get(4)
        table.add_row(
            model.name,
            f"{model.latency_s[1]:.3f}",
            "" if four is None else f"{four / 4:.3f}",
            f"{alone[model.name]:.3f}" if model.name in alone else "",
        )
    console = Console()
    console.print(table)
    console.print(f"{len(profile.rows)} rows; {profile.notes.get('hardness', '')}")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )

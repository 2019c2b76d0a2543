"""The phases of `hadis profile`: latencies, images, then everything that needs no model.

Each shows how far it is: a bar on a terminal, a line when it begins elsewhere.
"""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hadis_cli.measuring.inputs import Options, Task
from hadis_profiler import (
    assembling,
    generating,
    identities,
    latencies,
    latency_files,
    measurements,
)
from hadis_profiler.latencies import Latencies


def latencies_of(task: Task, options: Options, console: Console) -> Latencies:
    """Measure how long models take, or take over what a resumed run has measured."""
    kept, place = options.out / "latencies.json", task.place
    with _progress(console, "reading weights") as bar:
        bar.add_task("reading weights", total=None)
        wanted = latencies.identity(
            task.cascade,
            processes=place.processes,
            device=place.device,
            batches=task.batches,
        )
    if options.resume and kept.exists():
        found = latency_files.read(kept)
        if found.made_of == wanted:
            return found
        console.print(f"{kept} was measured on other models or settings: measuring again")
    steps = (len(task.cascade.models) + (task.cascade.discriminator is not None)) * len(
        task.batches
    )
    beginning = f"measuring latencies on {place.device}, {place.processes} processes together"
    with _progress(console, beginning) as bar:
        shown = bar.add_task("measuring latencies", total=steps)
        measured = latencies.measure(
            task.cascade,
            processes=place.processes,
            device=place.device,
            batches=task.batches,
            on_step=lambda what: bar.update(shown, advance=1, description=what),
        )
    latency_files.write(measured, kept)
    return measured


def outcomes_of(task: Task, options: Options, console: Console) -> Path:
    """Make and judge the images, or take the outcomes that were given."""
    if options.outcomes is not None:
        return options.outcomes
    total = len(task.lines) * len(task.cascade.models) * options.seeds
    with _progress(console, f"making {total} images") as bar:
        shown = bar.add_task("making images", total=total)
        return generating.generate(
            task.cascade,
            task.lines,
            options.out,
            seeds=options.seeds,
            processes=task.place.processes,
            device=task.place.device,
            checker=options.checker,
            resume=options.resume,
            on_images=lambda count: bar.advance(shown, count),
        )


def assembly_of(
    task: Task, options: Options, measured: Latencies, outcomes: Path, console: Console
) -> assembling.Assembly:
    """Score the prompts' hardness, tune its weights, sweep the thresholds."""
    cascade = task.cascade
    with _progress(console, f"sweeping thresholds over {len(task.lines)} prompts") as bar:
        shown = bar.add_task("reading prompts", total=len(task.lines))
        features = assembling.features_of(
            [line["prompt"] for line in task.lines], on_step=lambda: bar.advance(shown)
        )
        values = measurements.read_outcomes(
            outcomes,
            [model.name for model in cascade.models],
            assembling.hardness_of(features, cascade.hardness_weights),
            kind=None if cascade.discriminator is None else cascade.discriminator.kind,
            features=options.features,
        )
        sweep = bar.add_task("sweeping thresholds", total=None)
        return assembling.assemble(
            cascade,
            values,
            features,
            measured,
            metric=task.metric,
            tune=not options.keep_weights,
            overhead_s=options.overhead,
            fingerprints=identities.of_models(cascade),
            on_row=lambda _: bar.advance(sweep),
        )


def _progress(console: Console, beginning: str) -> Progress:
    if not console.is_terminal:
        console.print(beginning)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )

"""`hadis profile`: measure a cascade's models and write the lookup table."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from hadis_cli.fleet import options as fleet_options
from hadis_cli.measuring import inputs, phases, results
from hadis_profiler import assembling

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="profile")
@click.option("--cascade", "cascade_file", type=_FILE, required=True, help="HadisCascade file.")
@click.option("--prompts", type=_FILE, help="One JSON object with a prompt a line, or texts.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder."
)
@click.option("--resume", is_flag=True, help="Go on with what is already in the output folder.")
@click.option("--outcomes", type=_FILE, help="Use these measured outcomes; make no images.")
@click.option("--features", type=_FILE, help="Their embeddings (.npz) for the Frechet distance.")
@click.option("--checker", metavar="MODULE:FUNCTION", help="Judges an image; default: its score.")
@click.option("--workers", type=click.IntRange(1), help="Processes at work together.")
@click.option("--batches", default="1,2,4,8", show_default=True, help="Batch sizes to measure.")
@click.option("--seeds", type=click.IntRange(2), default=2, show_default=True, help="A prompt.")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda (a process on each GPU), cuda:N, or auto: cuda where torch can use a GPU.",
)
@click.option(
    "--overhead",
    type=click.FloatRange(0.0, 60.0),
    default=0.02,
    show_default=True,
    help="Seconds a request spends outside the workers.",
)
@click.option("--keep-weights", is_flag=True, help="Do not tune the hardness weights.")
@click.option("--update", is_flag=True, help="Write weights and profile into the cascade file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("--manifest", is_flag=True, help="Print the HadisProfile, for kubectl apply -f -.")
def command(**given: Any) -> None:
    """Measure how long the models of a cascade take and what every pair delivers.

    Writes profile.json (the lookup table), profile.yaml (the same as a HadisProfile) and
    hardness.yaml (the weights that the thresholds go with) into the output folder. After Ctrl-C
    the same command with --resume goes on.
    """
    options = inputs.Options(**given)
    console = Console(stderr=True)
    task = inputs.read(options)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.device == "auto" and task.place.device == "cpu" and fleet_options.gpus():
        console.print(
            "this machine has a GPU that torch cannot use: the CPU is measured; install a build of "
            "torch for its driver, or say --device cpu"
        )
    if len(task.lines) < assembling.FEW_PROMPTS:
        console.print(
            f"{len(task.lines)} prompts are few: below {assembling.FEW_PROMPTS} neighbouring "
            "thresholds differ by chance"
        )
    measured = phases.latencies_of(task, options, console)
    outcomes = phases.outcomes_of(task, options, console)
    assembly = phases.assembly_of(task, options, measured, outcomes, console)
    results.write(options.out, assembly)
    if options.update:
        text = results.updated(inputs.text_now(task, options), assembly)
        options.cascade_file.write_text(text, encoding="utf-8")
    if options.manifest:
        print(results.manifest(assembly), end="")
    else:
        results.show(options.out, assembly, as_json=options.as_json)

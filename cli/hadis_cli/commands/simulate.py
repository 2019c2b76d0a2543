"""`hadis simulate`: replay a trace under one or several policies."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from hadis.simulation import policies, replaying, summaries
from hadis.simulation.replaying import Watch
from hadis.simulation.scenarios import Scenario
from hadis.simulation.summaries import Summary
from hadis_cli.planning import folders
from hadis_cli.simulating import figures, inputs, results


@click.command()
@click.option(
    "--profile", metavar="F", required=True, help="Lookup table, or the name of a shipped one."
)
@click.option("--workload", metavar="F", help="Hardness and scores a prompt, CSV or Parquet.")
@click.option("--trace", metavar="F", help="arrival_ms,prompt_index, a request a line.")
@click.option(
    "--between", metavar="LOW:HIGH", help="Take --trace for a curve, scaled to requests a second."
)
@click.option("--phases", metavar="LIST", help="Instead of a trace: 60x4,60x24,60x8hard.")
@click.option(
    "--duration",
    type=click.FloatRange(1.0, 1e7),
    default=360.0,
    show_default=True,
    help="Seconds over which a curve is stretched.",
)
@click.option("--workers", type=int, metavar="S", required=True, help="Workers of the fleet.")
@click.option("--slo", type=float, metavar="T", required=True, help="Deadline in seconds.")
@click.option("--policy", metavar="NAME,...", default="hadis", show_default=True, help="Or all.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all draws.")
@click.option(
    "--swap",
    multiple=True,
    metavar="[MODEL=]S",
    help="Seconds to load a model; none: every worker holds all.",
)
@click.option("--pair", metavar="LIGHT,HEAVY", help="The fixed pair of diffserve.")
@click.option(
    "--lanes", type=click.IntRange(1, 2), default=2, show_default=True, help="Most lanes of hadis."
)
@click.option(
    "--interval", type=float, default=5.0, show_default=True, help="Seconds between plans."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for summary, time series and figures.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a policy.")
def command(**given: Any) -> None:
    """Replay a trace under virtual time, with the planning and routing that production runs.

    Tells for each policy what its pictures were worth and how many requests missed their deadline.
    """
    options = inputs.Options(**given)
    names = inputs.policies(options.policy)
    scenario = inputs.read(options)
    folders.make(options.out, "--out")
    done: list[Summary] = []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for name in names:
            task = progress.add_task(name, total=len(scenario.trace))
            done.append(_replay(name, scenario, partial(progress.advance, task)))
            if options.as_json:
                click.echo(json.dumps(done[-1].figures, allow_nan=False))
    results.write(options.out, done)
    figures.draw(options.out, done)
    if not options.as_json:
        results.show(done, options.out)


def _replay(name: str, scenario: Scenario, on_progress: Callable[[int], None]) -> Summary:
    started_s = time.perf_counter()
    policy = policies.make(name, scenario, clock=time.perf_counter)
    replayed = replaying.replay(scenario, policy, Watch(on_progress=on_progress))
    return summaries.summarise(scenario, policy, replayed, wall_s=time.perf_counter() - started_s)

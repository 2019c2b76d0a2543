"""`hadis bench`: open-loop load on a real endpoint."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hadis.errors import InvalidInput
from hadis_cli import endpoints
from hadis_cli.benching import arrivals, books, sending


@click.command(name="bench")
@endpoints.URL_OPTION
@endpoints.KEY_OPTION
@click.option(
    "--prompts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Text, one prompt a line.  [default: the endpoint's own examples]",
)
@click.option("--rate", type=click.FloatRange(0, 10_000, min_open=True), help="Requests a second.")
@click.option(
    "--duration", type=click.FloatRange(0, min_open=True), help="Seconds over which they are sent."
)
@click.option(
    "--trace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Send a recorded trace instead: one arrival_ms,prompt_index a line, indexes from 1.",
)
@click.option(
    "--slo",
    type=click.FloatRange(0, 3600, min_open=True),
    required=True,
    help="Seconds an image may take; sent along with each request.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of arrivals and prompts.")
@click.option(
    "--records",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one JSON line a request.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    url: str,
    api_key: str | None,
    prompts: Path | None,
    rate: float | None,
    duration: float | None,
    trace: Path | None,
    slo: float,
    seed: int,
    records: Path | None,
    as_json: bool,
) -> int:
    """Put an open-loop load on an endpoint and measure it.

    Requests leave at their scheduled times, whatever became of earlier ones, and lateness counts
    from those times. A run in which this program fell behind is invalid and exits with 1.

    \b
    hadis bench --rate 2 --duration 60 --slo 10
    hadis bench --trace trace.txt --prompts prompts.txt --slo 10 --json
    """
    if (trace is None) == (rate is None):
        raise InvalidInput("give either --rate with --duration, or --trace", field="rate")
    if rate is not None and duration is None:
        raise InvalidInput("--rate needs --duration, the seconds to send for", field="duration")

    def schedule(known: list[str]) -> list[arrivals.Arrival]:
        if trace is not None:
            return arrivals.from_trace(
                _text(trace), known, source=str(trace), seed=seed, duration_s=duration
            )
        return arrivals.poisson(
            known, rate_per_s=rate or 0.0, duration_s=duration or 0.0, seed=seed
        )

    given = None if prompts is None else arrivals.read_prompts(_text(prompts), source=str(prompts))
    entries, wall_s = asyncio.run(_run(url, api_key, given, schedule, slo))
    report = {"url": url, "seed": seed, **books.summarise(entries, slo_s=slo, wall_s=wall_s)}
    if records is not None:
        _write(records, entries)
    if as_json:
        click.echo(json.dumps(report))
    else:
        _show(report)
    if not report["valid"]:
        click.echo(f"hadis: invalid run: {report['invalid_because']}", err=True)
        return 1
    return 0


async def _run(
    url: str,
    api_key: str | None,
    prompts: list[str] | None,
    schedule: Callable[[list[str]], list[arrivals.Arrival]],
    slo_s: float,
) -> tuple[list[books.Entry], float]:
    clock = asyncio.get_running_loop().time
    async with sending.open_session(api_key) as session:
        known = prompts or await sending.fetch_examples(session, url)
        planned = schedule(known)
        sender = sending.Sender(session, url, slo_s=slo_s)
        columns = (
            TextColumn("{task.fields[sent]} sent"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f} ended, {task.fields[late]} late"),
            TimeElapsedColumn(),
        )
        with Progress(
            *columns, console=Console(stderr=True), disable=not sys.stderr.isatty()
        ) as progress:
            task = progress.add_task("", total=len(planned), sent=0, late=0)

            def show(tally: books.Tally) -> None:
                progress.update(task, completed=tally.completed, sent=tally.sent, late=tally.late)

            started_s = clock()
            entries = await sending.run_schedule(planned, sender, slo_s=slo_s, on_progress=show)
        return entries, clock() - started_s


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read as text: {error}") from error


def _write(path: Path, entries: list[books.Entry]) -> None:
    lines = [
        json.dumps({name: getattr(entry, name) for name in books.Entry.__dataclass_fields__})
        for entry in entries
    ]
    try:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--records {path}: {error.strerror}", field="records") from error


def _show(report: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("requests", f"{report['requests']} at {report['offered_per_s']:.2f} a second")
    for outcome, count in sorted(report["outcomes"].items()):
        table.add_row(f"  {outcome}", str(count))
    table.add_row("on time", f"{report['on_time']} (late {report['late']})")
    table.add_row("SLO violations", f"{100 * report['slo_violation_ratio']:.2f} %")
    for key, title in (("latency_s", "latency"), ("send_lag_s", "own send lag")):
        if report[key]:
            figures = ", ".join(f"{name} {value:.3f} s" for name, value in report[key].items())
            table.add_row(title, figures)
    ratios = report["route_ratio"]
    table.add_row("route ratio", f"light {ratios['light']:.2f}, heavy {ratios['heavy']:.2f}")
    for message, count in report["errors"].items():
        table.add_row(f"  {count} x", message)
    Console().print(table)

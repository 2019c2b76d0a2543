"""`hadis plan`: solve planning problems over a lookup table."""

import json
import math
import time
from collections.abc import Iterator

import click
from rich import table
from rich.console import Console

from hadis.errors import InvalidInput
from hadis.planning import solving, summaries
from hadis.planning.problems import Plan, PlanStatus, Problem
from hadis.terms.profiles import Profile
from hadis_cli import lookup_tables, texts
from hadis_cli.planning import following, problems


@click.command()
@click.option(
    "--profile",
    "profile_file",
    metavar="F",
    required=True,
    help="Lookup table, or the name of a shipped one.",
)
@click.option("--demand", type=float, metavar="L", help="Requests a second.")
@click.option("--workers", type=int, metavar="S", help="Workers (GPUs, or cores of a CPU).")
@click.option("--slo", "slo_s", type=float, metavar="T", help="Deadline in seconds.")
@click.option(
    "--queue", "queue", multiple=True, metavar="MODEL=N", help="Waiting requests of a model."
)
@click.option(
    "--problems", "problem_file", metavar="F.jsonl", help="Solve one problem a line instead."
)
@click.option("--lanes", type=click.IntRange(1, 2), default=1, help="Mix up to so many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(
    profile_file: str,
    demand: float | None,
    workers: int | None,
    slo_s: float | None,
    queue: tuple[str, ...],
    problem_file: str | None,
    lanes: int,
    as_json: bool,
) -> None:
    """Choose pair, thresholds, batch sizes and workers a model for a load.

    The quality is the best that the workers can deliver in time; without any way to be in time the
    plan is marked an overload and misses as little as possible.
    """
    profile = lookup_tables.read(profile_file)
    single = {"demand": demand, "workers": workers, "slo_s": slo_s}
    if problem_file is not None:
        given = [name for name, value in single.items() if value is not None] + list(queue)
        if given:
            raise InvalidInput("give either --problems or --demand, --workers, --slo and --queue")
        # Every line is read before the first solve, so that a wrong one costs no time.
        text = texts.read(problem_file, "--problems")
        stated = problems.read_lines(text, problem_file, profile, lanes)
    else:
        missing = [
            f"--{name.removesuffix('_s')}" for name, value in single.items() if value is None
        ]
        if missing:
            raise InvalidInput(f"{', '.join(missing)} is missing; or give --problems F.jsonl")
        document = {**single, "queue": problems.by_option(queue, "--queue")}
        stated = [problems.read(document, profile, lanes)]
    plans = following.followed(
        ((problem, solving.solve(problem, clock=time.perf_counter)) for problem in stated),
        len(stated),
        "planning",
    )
    if as_json:
        for _, plan in plans:
            click.echo(json.dumps(summaries.plan_line(plan, profile), allow_nan=False))
    elif problem_file is None:
        _show_one(*next(plans))
    else:
        _show_many(plans, profile)


def _show_one(problem: Problem, plan: Plan) -> None:
    console = Console()
    metric = problem.profile.quality.metric
    colour = "red" if plan.status is PlanStatus.OVERLOAD else "green"
    console.print(f"[bold {colour}]{plan.status.value}[/]  {metric} {plan.quality:.4g}")
    lanes = table.Table(box=None, pad_edge=False)
    for title in ("share", "light", "heavy", "hardness >=", "quality <"):
        lanes.add_column(title, justify="left" if title in ("light", "heavy") else "right")
    for lane in plan.lanes:
        lanes.add_row(
            f"{lane.share:.0%}",
            lane.light,
            lane.heavy,
            _threshold(lane.hardness_threshold),
            _threshold(lane.quality_threshold),
        )
    console.print(lanes)
    workers = table.Table(box=None, pad_edge=False)
    for title in ("model", "workers", "batch", "busy"):
        workers.add_column(title, justify="left" if title == "model" else "right")
    for name, count in plan.workers.items():
        busy = plan.reasons.utilisation.get(name, 0.0)
        workers.add_row(name, str(count), str(plan.batch[name]), f"{busy:.0%}")
    console.print(workers)
    console.print(
        f"light {plan.light_ratio:.1%}, heavy {plan.heavy_ratio:.1%} of all requests; path "
        f"<= {plan.latency_s:.3g} s, mean {plan.mean_latency_s:.3g} s; solved in "
        f"{plan.solve_s * 1000:.0f} ms"
    )
    for sentence in _sentences(plan):
        console.print(sentence, style="bright_black")


def _sentences(plan: Plan) -> Iterator[str]:
    reasons = plan.reasons
    if reasons.predicted_violation_ratio > 0:
        yield f"{reasons.predicted_violation_ratio:.1%} of the requests will miss their deadline"
    slack = f"{reasons.slack_latency_s:.3g} s of the SLO"
    if math.isfinite(reasons.slack_demand_per_s):
        slack += f" and {reasons.slack_demand_per_s:.3g} requests a second"
    yield f"binding: {reasons.binding.value}; to spare: {slack}"
    best = reasons.alternative
    if best is not None:
        yield (
            f"best out of reach: {best.light} > {best.heavy} with {best.quality:.4g}: "
            f"{best.because}"
        )
    yield from reasons.notes


def _show_many(plans: Iterator[tuple[Problem, Plan]], profile: Profile) -> None:
    rows = table.Table(box=None, pad_edge=False)
    for title in ("demand", "workers", "SLO", "status", "pair", profile.quality.metric, "mean"):
        rows.add_column(title, justify="left" if title in ("status", "pair") else "right")
    for problem, plan in plans:
        lane = plan.main_lane
        rows.add_row(
            f"{problem.demand_per_s:g}",
            str(problem.workers),
            f"{problem.slo_s:g} s",
            plan.status.value,
            f"{lane.light} > {lane.heavy}",
            f"{plan.quality:.4g}",
            f"{plan.mean_latency_s:.3g} s",
        )
    Console().print(rows)


def _threshold(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "off"

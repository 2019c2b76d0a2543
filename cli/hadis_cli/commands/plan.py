"""`hadis plan`: solve planning problems over a lookup table."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from rich import progress, table
from rich.console import Console

from hadis.errors import InvalidInput
from hadis.planning import solving, summaries
from hadis.planning.problems import Plan, PlanStatus, Problem
from hadis.profiling import files
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile

_FIELDS = {
    "demand",
    "workers",
    "slo_s",
    "queue",
    "arrival",
    "current",
    "swap_s",
    "residual_s",
    "queue_safety_factor",
    "utilisation_limit",
}
_LONG_WORK = 20  # problems: from here on progress is shown


@click.command()
@click.option("--profile", "profile_file", metavar="F", required=True, help="Lookup table.")
@click.option("--demand", type=float, metavar="L", help="Requests a second.")
@click.option("--workers", type=int, metavar="S", help="Workers (GPUs, or cores of a CPU).")
@click.option("--slo", "slo_s", type=float, metavar="T", help="Deadline in seconds.")
@click.option(
    "--queue", "queue", multiple=True, metavar="MODEL=N", help="Waiting requests of a model."
)
@click.option("--problems", metavar="F.jsonl", help="Solve one problem a line instead.")
@click.option("--lanes", type=click.IntRange(1, 2), default=1, help="Mix up to so many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(
    profile_file: str,
    demand: float | None,
    workers: int | None,
    slo_s: float | None,
    queue: tuple[str, ...],
    problems: str | None,
    lanes: int,
    as_json: bool,
) -> None:
    """Choose pair, thresholds, batch sizes and workers a model for a load.

    The quality is the best that the workers can deliver in time; without any way to be in time the
    plan is marked an overload and misses as little as possible.
    """
    profile = files.read_profile(_read(profile_file, "--profile"), profile_file)
    single = {"demand": demand, "workers": workers, "slo_s": slo_s}
    if problems is not None:
        given = [name for name, value in single.items() if value is not None] + list(queue)
        if given:
            raise InvalidInput("give either --problems or --demand, --workers, --slo and --queue")
        stated = _problem_lines(problems, profile, lanes)
    else:
        missing = [
            f"--{name.removesuffix('_s')}" for name, value in single.items() if value is None
        ]
        if missing:
            raise InvalidInput(f"{', '.join(missing)} is missing; or give --problems F.jsonl")
        document = {**single, "queue": dict(_queue_entry(entry) for entry in queue)}
        stated = [_problem(document, profile, lanes, "")]
    plans = ((problem, solving.solve(problem, clock=time.perf_counter)) for problem in stated)
    if as_json:
        for _, plan in plans:
            click.echo(json.dumps(summaries.plan_line(plan, profile), allow_nan=False))
    elif problems is None:
        _show_one(*next(plans))
    else:
        _show_many(_followed(plans, len(stated)), profile)


def _problem_lines(path: str, profile: Profile, lanes: int) -> list[Problem]:
    """Read every line before the first solve, so that a wrong one costs no time."""
    problems = []
    for number, line in enumerate(_read(path, "--problems").splitlines(), start=1):
        where = f"{path}, line {number}: "
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InvalidInput(f"{where}no JSON object: {error}") from error
        problems.append(_problem(document, profile, lanes, where))
    if not problems:
        raise InvalidInput(f"{path} holds no problem: write one JSON object a line")
    return problems


def _problem(document: object, profile: Profile, lanes: int, where: str) -> Problem:
    if not isinstance(document, dict):
        raise InvalidInput(f"{where}a problem is a JSON object")
    unknown = sorted(set(document) - _FIELDS)
    if unknown:
        raise InvalidInput(
            f"{where}{unknown[0]} is no field of a problem; use {', '.join(sorted(_FIELDS))}"
        )
    workers = _number(document, "workers", where)
    if workers != int(workers):
        raise InvalidInput(f"{where}workers is {workers:g}; give a whole number")
    current = _by_model(document, "current", where)
    problem = Problem(
        profile=profile,
        demand_per_s=_number(document, "demand", where),
        workers=int(workers),
        slo_s=_number(document, "slo_s", where),
        queue=_by_model(document, "queue", where),
        arrival_per_s=_by_model(document, "arrival", where),
        current_workers={name: int(n) for name, n in current.items()}
        if "current" in document
        else None,
        swap_s=_by_model(document, "swap_s", where),
        residual_s=_by_model(document, "residual_s", where),
        queue_safety_factor=_number(document, "queue_safety_factor", where, 1.0),
        utilisation_limit=_number(document, "utilisation_limit", where, 1.0),
        max_lanes=lanes,
    )
    try:
        solving.check(problem)
    except InvalidInput as error:
        raise InvalidInput(f"{where}{error}", field=error.field) from error
    return problem


def _number(
    document: Mapping[str, Any], field: str, where: str, default: float | None = None
) -> float:
    value = document.get(field, default)
    if value is None:
        raise InvalidInput(f"{where}{field} is missing; give a number", field=field)
    return _finite(value, field, where)


def _by_model(document: Mapping[str, Any], field: str, where: str) -> dict[ModelName, float]:
    value = document.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}{field} is no object of numbers by model", field=field)
    return {ModelName(k): _finite(v, f"{field}.{k}", where) for k, v in value.items()}


def _finite(value: object, field: str, where: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):  # type: ignore[arg-type]
        raise InvalidInput(f"{where}{field} is {value!r}; give a finite number", field=field)
    return float(value)  # type: ignore[arg-type]


def _queue_entry(entry: str) -> tuple[str, float]:
    name, _, count = entry.rpartition("=")
    try:
        return name, float(count)
    except ValueError:
        raise InvalidInput(
            f"--queue {entry}: write MODEL=N, like large=3", field="--queue"
        ) from None


def _read(path: str, option: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{option} {path}: {error.strerror}", field=option) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{option} {path}: not UTF-8 text at byte {error.start}", field=option
        ) from error


def _followed(plans: Iterator[tuple[Problem, Plan]], count: int) -> Iterator[tuple[Problem, Plan]]:
    """Go through the plans, with a progress bar on a terminal when there are many."""
    console = Console(stderr=True)
    if count < _LONG_WORK or not console.is_terminal:
        yield from plans
        return
    yield from progress.track(plans, "planning", total=count, console=console, transient=True)


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
    yield f"binding: {reasons.binding.value}; {reasons.slack_latency_s:.3g} s of the SLO to spare"
    best = reasons.alternative
    if best is not None:
        yield (
            f"best out of reach: {best.light} > {best.heavy} with {best.quality:.4g}: "
            f"{best.because}"
        )


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

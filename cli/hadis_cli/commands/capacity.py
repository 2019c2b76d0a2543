"""`hadis capacity`: how many workers a load and a quality need, from the planner itself."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import click
from rich import table
from rich.console import Console

from hadis.errors import InvalidInput
from hadis.planning import capacity, summaries
from hadis.planning.capacity import Point
from hadis.planning.problems import Problem
from hadis.terms.profiles import Profile
from hadis_cli import lookup_tables
from hadis_cli.planning import drawing, folders, following, problems

Answer = tuple[Problem, Point | None]


@click.command()
@click.option(
    "--profile",
    "profile_file",
    metavar="F",
    required=True,
    help="Lookup table, or the name of a shipped one.",
)
@click.option("--demand", required=True, metavar="L[,L...]", help="Requests a second.")
@click.option("--slo", "slo_s", type=float, required=True, metavar="T", help="Deadline in seconds.")
@click.option("--quality", type=float, metavar="Q", help="Ask for the fewest workers with it.")
@click.option("--most", type=int, default=64, metavar="S", help="Largest fleet to look at [64].")
@click.option("--step", type=int, default=1, metavar="N", help="Take every Nth fleet [1].")
@click.option("--lanes", type=click.IntRange(1, 2), default=1, help="Mix up to so many rows.")
@click.option(
    "--utilisation", type=float, default=1.0, metavar="U", help="Busy at most this share [1]."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write capacity.json and a figure of the curve.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(
    profile_file: str,
    demand: str,
    slo_s: float,
    quality: float | None,
    most: int,
    step: int,
    lanes: int,
    utilisation: float,
    out: Path | None,
    as_json: bool,
) -> None:
    """Tell how many workers a demand, an SLO and a quality need.

    With --quality: the fewest workers that reach it, for each demand. Without: the best quality of
    every fleet, from the smallest that is in time to the one that runs the best row of the table.
    """
    profile = lookup_tables.read(profile_file)
    if quality is not None and not math.isfinite(quality):
        raise InvalidInput(f"--quality is {quality}; give a number", field="--quality")
    if step < 1:
        raise InvalidInput(f"--step is {step}; give at least 1", field="--step")
    stated = [
        problems.read(
            {"demand": each, "workers": most, "slo_s": slo_s, "utilisation_limit": utilisation},
            profile,
            lanes,
        )
        for each in _demands(demand)
    ]
    if out is not None:
        folders.make(out, "--out")
    answers = following.followed(
        _answers(stated, most, step, quality),
        len(stated) * (1 if quality is not None else most // step),
        "planning",
    )
    lines = []
    shown = None if as_json else _heading(profile)
    for problem, point in answers:
        lines.append(_line(problem, point, profile))
        if shown is None:
            click.echo(json.dumps(lines[-1], allow_nan=False))
        else:
            _add(shown, problem, point, most)
    if shown is not None:
        Console().print(shown)
    if out is not None:
        metric = profile.quality.metric
        document = {"metric": metric, "slo_s": slo_s, "quality": quality, "points": lines}
        (out / "capacity.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        drawing.draw_capacity(document, out)


def _demands(text: str) -> list[float]:
    found = []
    for part in text.split(","):
        try:
            found.append(float(part))
        except ValueError:
            raise InvalidInput(
                f"--demand {text}: write numbers, like 4 or 4,8,16", field="--demand"
            ) from None
    return found


def _answers(
    stated: list[Problem], most: int, step: int, quality: float | None
) -> Iterator[Answer]:
    for problem in stated:
        if quality is not None:
            yield problem, capacity.fewest(problem, most, quality=quality)
            continue
        is_possible = False
        for point in capacity.curve(problem, most, step=step):
            is_possible = True
            yield problem, point
        if not is_possible:
            yield problem, None


def _line(problem: Problem, point: Point | None, profile: Profile) -> dict[str, object]:
    return {
        "demand": problem.demand_per_s,
        "slo_s": problem.slo_s,
        "workers": None if point is None else point.workers,
        "quality": None
        if point is None
        else {"metric": profile.quality.metric, "value": point.plan.quality},
        "plan": None if point is None else summaries.plan_line(point.plan, profile),
    }


def _heading(profile: Profile) -> table.Table:
    rows = table.Table(box=None, pad_edge=False)
    for title in ("demand", "workers", profile.quality.metric, "pair", "busy", "what binds"):
        rows.add_column(title, justify="left" if title in ("pair", "what binds") else "right")
    return rows


def _add(rows: table.Table, problem: Problem, point: Point | None, most: int) -> None:
    if point is None:
        rows.add_row(f"{problem.demand_per_s:g}", f"> {most}", "", "", "", "")
        return
    plan, lane = point.plan, point.plan.main_lane
    rows.add_row(
        f"{problem.demand_per_s:g}",
        str(point.workers),
        f"{plan.quality:.4g}",
        f"{lane.light} > {lane.heavy}",
        f"{max(plan.reasons.utilisation.values(), default=0.0):.0%}",
        plan.reasons.binding.value,
    )

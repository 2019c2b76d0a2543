"""`hadis theory`: section 3 of the paper for any share of easy queries and any two ROC curves."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich import table
from rich.console import Console

from hadis import theory
from hadis.errors import InvalidInput
from hadis.theory import Boundary, Comparison, Curve, Setting
from hadis_cli.planning import drawing, folders, following

Found = tuple[Setting, list[Comparison], Boundary, Boundary]


@click.command()
@click.option("--q", "easy", type=float, default=0.5, help="Share of easy queries [0.5].")
@click.option(
    "--alpha", default="0.1,0.2", metavar="A[,A...]", help="Light time over heavy time [0.1,0.2]."
)
@click.option("--router-auc", type=float, default=0.7, help="Area under the router's ROC [0.7].")
@click.option("--discriminator-auc", type=float, default=0.85, help="The discriminator's [0.85].")
@click.option("--costs", type=click.IntRange(2, 1000), default=11, help="Costs to compare [11].")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write theory.json and figures.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    easy: float,
    alpha: str,
    router_auc: float,
    discriminator_auc: float,
    costs: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare router, discriminator and hybrid at equal cost, and show where the hybrid wins.

    Cost is the mean time of a query in units of the heavy model's; quality the share of queries
    that are answered well.
    """
    if not 0.0 < easy < 1.0:
        raise InvalidInput(f"--q is {easy:g}; give a share between 0 and 1", field="--q")
    router = _curve(router_auc, "--router-auc")
    discriminator = _curve(discriminator_auc, "--discriminator-auc")
    found = [_one(Setting(easy, each), router, discriminator, costs) for each in _alphas(alpha)]
    document = {
        "q": easy,
        "router_auc": router_auc,
        "discriminator_auc": discriminator_auc,
        "settings": [_document(*one) for one in found],
    }
    if out is not None:
        folders.make(out, "--out")
        (out / "theory.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        drawing.draw_regions(document, out)
    if as_json:
        click.echo(json.dumps(document, allow_nan=False))
    else:
        _show(found)


def _curve(auc: float, option: str) -> Curve:
    if not 0.5 <= auc < 1.0:
        raise InvalidInput(
            f"{option} is {auc:g}; give an area from 0.5 (chance) to below 1", field=option
        )
    return Curve(auc)


def _alphas(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(
            f"--alpha {text}: write numbers, like 0.1 or 0.1,0.2", field="--alpha"
        ) from None
    if not all(0.0 < each < 1.0 for each in found):
        raise InvalidInput(
            f"--alpha {text}: the light model takes more than none and less than all of the heavy "
            "one's time; give numbers between 0 and 1",
            field="--alpha",
        )
    return found


def _one(setting: Setting, router: Curve, discriminator: Curve, costs: int) -> Found:
    # From all queries on the light model to all on the heavy one.
    steps = [setting.alpha + (1.0 - setting.alpha) * n / (costs - 1) for n in range(costs)]
    compared = [
        one
        for cost in following.followed(steps, costs, f"comparing at alpha {setting.alpha:g}")
        for one in theory.compare(setting, router, discriminator, [cost])
    ]
    return (
        setting,
        compared,
        theory.discriminator_boundary(setting, router),
        theory.router_boundary(setting, discriminator),
    )


def _document(
    setting: Setting, comparisons: Sequence[Comparison], judging: Boundary, routing: Boundary
) -> dict[str, object]:
    return {
        "alpha": setting.alpha,
        "comparison": [_compared(each) for each in comparisons],
        "discriminator_region": _bounded(judging),
        "router_region": _bounded(routing),
    }


def _compared(each: Comparison) -> dict[str, object]:
    return {
        "cost": each.cost,
        "router_only": each.router_only,
        "discriminator_only": each.discriminator_only,
        "hybrid": each.hybrid,
        "hybrid_router": None if each.router is None else [each.router.fp, each.router.tp],
        "hybrid_discriminator": None
        if each.discriminator is None
        else [each.discriminator.fp, each.discriminator.tp],
    }


def _bounded(boundary: Boundary) -> dict[str, object]:
    return {
        "fp": [fp for fp, _ in boundary.points],
        "least_tp": [tp for _, tp in boundary.points],
        "area": boundary.area,
    }


def _show(found: Sequence[Found]) -> None:
    console = Console()
    for setting, comparisons, judging, routing in found:
        console.print(f"[bold]q {setting.q:g}, alpha {setting.alpha:g}[/]")
        rows = table.Table(box=None, pad_edge=False)
        for title in ("cost", "router only", "discriminator only", "hybrid", "gain"):
            rows.add_column(title, justify="right")
        for each in comparisons:
            others = [v for v in (each.router_only, each.discriminator_only) if v is not None]
            gain = None if each.hybrid is None or not others else each.hybrid - max(others)
            rows.add_row(
                f"{each.cost:.3f}",
                _quality(each.router_only),
                _quality(each.discriminator_only),
                _quality(each.hybrid),
                "" if gain is None else f"{gain:+.4f}",
            )
        console.print(rows)
        console.print(
            f"feasibility regions: {judging.area:.1%} of the discriminator's ROC plane, "
            f"{routing.area:.1%} of the router's",
            style="bright_black",
        )


def _quality(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"

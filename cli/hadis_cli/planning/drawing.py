"""Figures of `hadis theory` and `hadis capacity`: what of these commands needs matplotlib."""

from pathlib import Path
from typing import Any

DOTS_PER_INCH = 150


def draw_regions(document: dict[str, Any], folder: Path) -> None:
    """Draw both feasibility regions and the comparison at equal cost into `folder`."""
    from matplotlib import figure

    sheet = figure.Figure(figsize=(13, 4), layout="constrained")
    plots = sheet.subplots(1, 3)
    for key, axes, title in (
        ("discriminator_region", plots[0], "discriminator: hybrid beats router-only"),
        ("router_region", plots[1], "router: hybrid beats discriminator-only"),
    ):
        for setting in document["settings"]:
            region = setting[key]
            label = f"α = {setting['alpha']:g} ({region['area']:.0%} of the plane)"
            axes.fill_between(region["fp"], region["least_tp"], 1.0, alpha=0.3, label=label)
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
        axes.set(xlabel="false positives", ylabel="true positives", xlim=(0, 1), ylim=(0, 1))
        axes.set_title(f"{title} (q = {document['q']:g})", fontsize=10)
        axes.legend(loc="lower right", fontsize=8)
    styles = {"router_only": "--", "discriminator_only": ":", "hybrid": "-"}
    for number, setting in enumerate(document["settings"]):
        rows = setting["comparison"]
        for name, style in styles.items():
            points = [(row["cost"], row[name]) for row in rows if row[name] is not None]
            label = f"{name.replace('_', ' ')}, α = {setting['alpha']:g}"
            plots[2].plot(*zip(*points, strict=True), style, color=f"C{number}", label=label)
    plots[2].set(xlabel="cost (heavy model = 1)", ylabel="quality")
    plots[2].set_title("best quality at equal cost", fontsize=10)
    plots[2].legend(loc="lower right", fontsize=8)
    sheet.savefig(folder / "theory.png", dpi=DOTS_PER_INCH)


def draw_capacity(document: dict[str, Any], folder: Path) -> None:
    """Draw quality over workers, a line a demand; with a quality asked for, workers over demand."""
    from matplotlib import figure

    sheet = figure.Figure(figsize=(7, 4.5), layout="constrained")
    axes = sheet.subplots()
    found = [point for point in document["points"] if point["workers"] is not None]
    if document["quality"] is not None:
        axes.plot(*_series(found, "demand", "workers"), "o-")
        axes.set(xlabel="requests a second", ylabel="fewest workers", ylim=(0, None))
        title = f"{document['metric']} of {document['quality']:g}"
    else:
        for demand in dict.fromkeys(point["demand"] for point in found):
            line = [point for point in found if point["demand"] == demand]
            workers = [point["workers"] for point in line]
            values = [point["quality"]["value"] for point in line]
            axes.plot(workers, values, "o-", markersize=3, label=f"{demand:g} a second")
        axes.set(xlabel="workers", ylabel=f"best {document['metric']}", xlim=(0, None))
        if found:
            axes.legend(fontsize=8)
        title = "what each fleet can deliver"
    axes.set_title(f"{title}, within {document['slo_s']:g} s", fontsize=10)
    axes.grid(alpha=0.3)
    sheet.savefig(folder / "capacity.png", dpi=DOTS_PER_INCH)


def _series(points: list[dict[str, Any]], *names: str) -> list[list[Any]]:
    return [[point[name] for point in points] for name in names]

"""What all pictures share: sheets, colours of policies and models, lines over time."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from benchmarks.paper.measurements import LARGE, LIGHTEST, MEDIUM, TURBO
from matplotlib.figure import Figure

DOTS_PER_INCH = 100
SETTINGS = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.fontsize": 8,
    "legend.framealpha": 0.9,
}

# Okabe and Ito's colours, which the colour-blind can tell apart (jfly.uni-koeln.de/color).
POLICIES = {
    "hadis": ("#0072b2", "HADIS, two lanes"),
    "hadis-paper": ("#009e73", "HADIS as in the paper"),
    "diffserve": ("#d55e00", "DiffServe"),
    "proteus": ("#cc79a7", "Proteus"),
    "clipper-light": ("#8c8c8c", "Clipper-Light"),
    "clipper-heavy": ("#000000", "Clipper-Heavy"),
    "random": ("#e69f00", "Random"),
    "router-only": ("#56b4e9", "Router-only"),
    "discriminator-only": ("#d55e00", "Discriminator-only"),
    "cache-d": ("#d55e00", "Cache-{D}"),
    "cache-dq": ("#e69f00", "Cache-{D+Q}"),
}
MODELS = {
    LIGHTEST: ("#bfd9f2", "SDXL-Lightning"),
    TURBO: ("#6fa8dc", "SD3.5-Turbo"),
    MEDIUM: ("#f0a35e", "SD3.5-Medium"),
    LARGE: ("#a6361c", "SD3.5-Large"),
}
PAIRS = {
    f"{light} > {heavy}": colour
    for (light, heavy), colour in zip(
        (
            (LIGHTEST, TURBO),
            (LIGHTEST, MEDIUM),
            (LIGHTEST, LARGE),
            (TURBO, MEDIUM),
            (TURBO, LARGE),
            (MEDIUM, LARGE),
        ),
        ("#56b4e9", "#e69f00", "#8c8c8c", "#009e73", "#cc79a7", "#d55e00"),
        strict=True,
    )
}


def sheet(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    """Return a figure and its axes, always in two dimensions."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=size, layout="constrained", dpi=DOTS_PER_INCH)
        return figure, figure.subplots(rows, columns, squeeze=False, **options)


def pair_label(pair: str) -> str:
    """Return the short name of a pair."""
    return " → ".join(MODELS[model][1] for model in pair.split(" > "))


def line(axes: Any, policy: str, at: Sequence[float], values: Sequence[float | None]) -> None:
    """Draw a policy's line, with a gap where there is no value; HADIS lies above the others."""
    colour, label = POLICIES[policy]
    shown = [float("nan") if value is None else value for value in values]
    axes.plot(at, shown, color=colour, label=label, linewidth=1.5, zorder=above(policy))


def above(policy: str) -> float:
    """Return the order in which a policy's lines are drawn over one another."""
    return 3.0 - 0.01 * list(POLICIES).index(policy)


def demand(axes: Any, windows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the requests a second of each window."""
    at = [window["start_s"] for window in windows]
    rates = [window["requests"] / 10.0 for window in windows]
    axes.step(at, rates, color="black", where="post", linewidth=1.2)
    axes.set(ylabel="requests/s", ylim=(0, None))


def stack(
    axes: Any, windows: Sequence[Mapping[str, Any]], key: str, *, percent: bool = False
) -> None:
    """Draw counts by model on top of one another, the lightest at the bottom."""
    at = [window["start_s"] for window in windows]
    totals = [sum(window[key].values()) or 1.0 for window in windows]
    rows = [
        [
            window[key].get(model, 0.0) * (100.0 / total if percent else 1.0)
            for window, total in zip(windows, totals, strict=True)
        ]
        for model in MODELS
    ]
    axes.stackplot(
        at,
        rows,
        colors=[colour for colour, _ in MODELS.values()],
        labels=[label for _, label in MODELS.values()],
        step="post",
    )
    axes.margins(x=0, y=0)


def smoothed(windows: Sequence[Mapping[str, Any]], length: int = 3) -> list[float]:
    """Return for each window the percentage of violations in it and those just before."""
    found = []
    for last in range(len(windows)):
        part = windows[max(last - length + 1, 0) : last + 1]
        requests = sum(window["requests"] for window in part)
        missed = sum(window["violations"] * window["requests"] for window in part)
        found.append(100.0 * missed / requests if requests else 0.0)
    return found


def save(figure: Figure, path: Any) -> None:
    """Write a picture; without a date or version in it, so that equal numbers make equal files."""
    figure.savefig(path, metadata={"Software": None})

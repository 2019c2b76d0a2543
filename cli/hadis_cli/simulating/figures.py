"""Figures of a replay: what happened over time, and what each policy came to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hadis.simulation.books import WINDOW_S
from hadis.simulation.summaries import Summary

TIMES = "timeline.png"
TRADE = "policies.png"
_COLOURS = "tab20"
_DOTS_PER_INCH = 110


def draw(out: Path, summaries: Sequence[Summary]) -> None:
    """Write both figures into the folder."""
    from matplotlib import figure  # half a second, and only where something is drawn

    sheet = figure.Figure(figsize=(10, 11), layout="constrained")
    _draw_timeline(sheet, summaries)
    sheet.savefig(out / TIMES, dpi=_DOTS_PER_INCH)
    sheet = figure.Figure(figsize=(7, 5), layout="constrained")
    _draw_policies(sheet, summaries)
    sheet.savefig(out / TRADE, dpi=_DOTS_PER_INCH)


def _draw_timeline(sheet: Any, summaries: Sequence[Summary]) -> None:
    """Draw demand, quality, violations and heavy share of each window, a line a policy."""
    demand, quality, violations, heavy = sheet.subplots(
        4, 1, sharex=True, height_ratios=(1, 2, 2, 1.4)
    )
    arrivals = [(_of(w, "start_s"), _of(w, "requests") / WINDOW_S) for w in summaries[0].series]
    demand.step(*zip(*arrivals, strict=True), "k", where="post")
    metric = _metric(summaries[0])
    for summary, colour in zip(summaries, _colours(), strict=False):
        windows = summary.series
        at = [_of(window, "start_s") for window in windows]
        style: dict[str, Any] = {"color": colour, "label": summary.figures["policy"]}
        quality.plot(at, [_of(w, metric) for w in windows], **style)
        violations.plot(at, [100 * _of(w, "slo_violation_ratio") for w in windows], **style)
        heavy.plot(at, [100 * _of(w, "heavy_ratio") for w in windows], **style)
    demand.set(ylabel="requests a second", ylim=(0, None))
    quality.set(ylabel=metric)
    violations.set(ylabel="violations, %", ylim=(0, None))
    heavy.set(ylabel="made by heavy, %", xlabel="seconds", ylim=(0, 100))
    # Above them all: inside it would hide what it explains.
    handles = quality.get_legend_handles_labels()
    sheet.legend(*handles, loc="outside upper center", fontsize="small", ncols=4)


def _draw_policies(sheet: Any, summaries: Sequence[Summary]) -> None:
    """Draw quality over violations, a point a policy."""
    axes = sheet.subplots()
    worst = max(100 * _of(s.figures, "slo_violation_ratio") for s in summaries)
    for summary, colour in zip(summaries, _colours(), strict=False):
        figures: Any = summary.figures
        if figures["quality"]["value"] is None:
            continue
        point = (100 * figures["slo_violation_ratio"], figures["quality"]["value"])
        axes.plot(*point, "o", color=colour)
        # Towards the middle, so that no name leaves the figure.
        is_right = point[0] > worst / 2
        axes.annotate(
            figures["policy"],
            point,
            xytext=(-6 if is_right else 6, 4),
            ha="right" if is_right else "left",
            textcoords="offset points",
            fontsize="small",
        )
    axes.set(xlabel="violations, % of the requests", ylabel=_metric(summaries[0]))
    axes.margins(0.15)
    axes.grid(alpha=0.3)


def _colours() -> Sequence[Any]:
    import matplotlib

    # Only maps of listed colours have some.
    colours: Sequence[Any] = getattr(matplotlib.colormaps[_COLOURS], "colors")  # noqa: B009
    return colours


def _metric(summary: Summary) -> str:
    figures: Any = summary.figures
    return str(figures["quality"]["metric"])


def _of(window: Any, name: str) -> float:
    """Return a number of a window; a gap in the line where nothing arrived."""
    value = window[name]
    return float("nan") if value is None else float(value)

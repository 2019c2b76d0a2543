"""What `hadis simulate` leaves behind: a summary, a time series a policy, a table for people."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import table
from rich.console import Console

from hadis.simulation.summaries import Summary

SUMMARY = "summary.json"


def write(out: Path, summaries: Sequence[Summary]) -> None:
    """Write `summary.json` and a CSV a policy, named after it."""
    figures = [summary.figures for summary in summaries]
    (out / SUMMARY).write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n")
    for summary in summaries:
        rows = [_flat(entry) for entry in summary.series]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with (out / f"{summary.figures['policy']}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval=0)
            writer.writeheader()
            writer.writerows(rows)


def show(summaries: Sequence[Summary], out: Path) -> None:
    """Print a row a policy."""
    rows = table.Table(box=None, pad_edge=False)
    metric = _metric(summaries[0].figures)
    # As many as fit on 80 columns; the rest is in the summary.
    for title in ("policy", metric, "missed", "degraded", "escalated", "swaps", "mean", "p99"):
        rows.add_column(title, justify="left" if title == "policy" else "right", no_wrap=True)
    for summary in summaries:
        figures: Mapping[str, Any] = summary.figures
        rows.add_row(
            str(figures["policy"]),
            _number(figures["quality"]["value"], ".4g"),
            _number(figures["slo_violation_ratio"], ".2%"),
            _number(figures["degraded_ratio"], ".1%"),
            _number(figures["escalation_ratio"], ".1%"),
            str(figures["swaps"]),
            _number(figures["mean_latency_s"], ".3g", " s"),
            _number(figures["p99_latency_s"], ".3g", " s"),
        )
    console = Console()
    console.print(rows)
    console.print(f"{out}: {SUMMARY}, a time series a policy, figures", style="bright_black")


def _metric(figures: Mapping[str, Any]) -> str:
    return str(figures["quality"]["metric"])


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a window with a column for each model's workers."""
    workers = entry["workers"]
    plain = {name: value for name, value in entry.items() if name != "workers"}
    return {**plain, **{f"workers:{name}": count for name, count in workers.items()}}


def _number(value: Any, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"

"""The files of the figures: numbers as JSON, pictures as PNG, side by side."""

import json
from pathlib import Path
from typing import Any

from benchmarks.paper import drawing
from benchmarks.paper.catalogue import PLATES
from benchmarks.paper.running import Numbers

OVERHEADS = "overheads.json"
DIGITS = 6
DEPTH = 4
"""Objects are spread over lines down to here, or a time series would be a thousand lines long."""


def write(out: Path, number: int, told: Numbers) -> None:
    """Write a figure's numbers and the pictures that are drawn from them."""
    write_numbers(out / f"figure-{number}.json", told)
    draw(out, number)


def write_numbers(path: Path, told: Numbers) -> None:
    """Write an object, rounded far below what means anything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_spread(_rounded(told), DEPTH) + "\n", encoding="utf-8")


def read(out: Path, number: int) -> Numbers | None:
    """Return a figure's numbers, or None where it has not been made."""
    return read_numbers(out / f"figure-{number}.json")


def read_numbers(path: Path) -> Numbers | None:
    """Return an object that was written before, or None."""
    if not path.is_file():
        return None
    told: Numbers = json.loads(path.read_text(encoding="utf-8"))
    return told


def draw(out: Path, number: int) -> None:
    """Draw a figure from its JSON file."""
    told = read(out, number)
    if told is None:
        return
    for ending, picture in PLATES[number].pictures(told).items():
        drawing.save(picture, out / f"figure-{number}{ending}.png")


def pictures_of(out: Path, number: int) -> list[str]:
    """Return the names of a figure's pictures, the one without an ending first."""
    found = {file.name for file in out.glob(f"figure-{number}*.png")}
    named = [name for name in found if name == f"figure-{number}.png"]
    return named + sorted(name for name in found if name.startswith(f"figure-{number}-"))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {str(name): _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value


def _spread(value: Any, depth: int, indent: str = "") -> str:
    if depth == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value, allow_nan=False)
    inner = indent + " "
    entries = (
        f"{inner}{json.dumps(name)}: {_spread(each, depth - 1, inner)}"
        for name, each in value.items()
    )
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"

"""`hadis score`: how hard prompts are, as the router would score them."""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from rich import progress, table
from rich.console import Console
from rich.text import Text

from hadis.errors import InvalidInput
from hadis.hardness import scoring
from hadis.terms.cascades import RouterLimits
from hadis.wire import manifests

_BAR_CELLS = 24
_LONG_WORK = 200  # prompts, about a second: from here on progress is shown


@dataclass(frozen=True, slots=True)
class _Source:
    """A prompt and how an error message calls it."""

    name: str
    prompt: str


@click.command()
@click.argument("prompt", required=False)
@click.option("--file", "file", metavar="F", help="Score every line of F ('-': standard input).")
@click.option(
    "--cascade", "cascade", metavar="FILE", help="Use the hardness weights of this cascade file."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(prompt: str | None, file: str | None, cascade: str | None, as_json: bool) -> None:
    """Say how hard a PROMPT is to draw, from 0 (easy) upwards.

    A PROMPT of '-' reads prompts from standard input, one a line; blank lines are skipped. The
    score is the one that the router compares with a plan's hardness threshold.
    """
    limits, weights = RouterLimits(), {}
    if cascade is not None:
        text = _read(cascade, "--cascade")
        settings = manifests.read_manifests(text, source=cascade).cascade
        limits, weights = settings.limits, settings.hardness_weights
    scorer = scoring.Scorer(weights)
    sources = _sources(prompt, file)
    for source in sources:
        _admit(source, limits.max_prompt_chars)
    scoring.load()
    scored = ((source.prompt, scorer.score(source.prompt)) for source in _followed(sources))
    if as_json:
        for text, hardness in scored:
            click.echo(_line(text, hardness))
    elif len(sources) == 1:
        _show_one(*next(scored), scorer.weights)
    else:
        _show_many(scored)


def _sources(prompt: str | None, file: str | None) -> list[_Source]:
    if (prompt is None) == (file is None):
        raise InvalidInput("give either a PROMPT or --file F ('-' reads standard input)")
    if prompt is not None and prompt != "-":
        return [_Source("PROMPT", prompt)]
    path = file or "-"
    name = "standard input" if path == "-" else path
    lines = io.StringIO(_read(path, "--file"))
    sources = [
        _Source(f"{name}, line {number}", line.rstrip("\r\n"))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not sources:
        raise InvalidInput(f"{name} holds no prompt: write one a line", field="--file")
    return sources


def _read(path: str, option: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{option} {path}: {error.strerror}", field=option) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{option} {path}: not UTF-8 text at byte {error.start}", field=option
        ) from error


def _admit(source: _Source, most_chars: int) -> None:
    """Refuse what the router refuses."""
    if not source.prompt.strip():
        raise InvalidInput(f"{source.name} is empty: describe a picture", field=source.name)
    if len(source.prompt) > most_chars:
        raise InvalidInput(
            f"{source.name} has {len(source.prompt)} characters; shorten it to {most_chars}",
            field=source.name,
        )


def _followed(sources: list[_Source]) -> Iterator[_Source]:
    """Go through the prompts, with a progress bar on a terminal when there are many."""
    console = Console(stderr=True)
    if len(sources) < _LONG_WORK or not console.is_terminal:
        yield from sources
        return
    yield from progress.track(sources, "scoring", console=console, transient=True)


def _line(prompt: str, hardness: scoring.Hardness) -> str:
    return json.dumps(
        {
            "prompt": prompt,
            "features": hardness.features,
            "score": hardness.score,
            "ms": round(hardness.ms, 3),
            "truncated": hardness.truncated,
        }
    )


def _show_one(prompt: str, hardness: scoring.Hardness, weights: dict[str, float]) -> None:
    console = Console()
    rows = table.Table(title=Text(_shown(prompt)), title_justify="left", box=None, pad_edge=False)
    rows.add_column("feature")
    rows.add_column("", width=_BAR_CELLS)
    rows.add_column("value", justify="right")
    rows.add_column("weight", justify="right")
    for name, value in hardness.features.items():
        rows.add_row(name, _bar(value, "cyan"), f"{value:.2f}", f"{weights[name]:.2f}")
    rows.add_section()
    score = f"{hardness.score:.3f}"
    rows.add_row("hardness", _bar(hardness.score, "magenta"), score, "", style="bold")
    console.print(rows)
    if hardness.truncated:
        console.print("only the beginning was analysed: the prompt is very long", style="yellow")


def _show_many(scored: Iterator[tuple[str, scoring.Hardness]]) -> None:
    rows = table.Table(box=None, pad_edge=False)
    rows.add_column("hardness", justify="right")
    rows.add_column("", width=_BAR_CELLS // 2)
    rows.add_column("prompt", overflow="ellipsis", no_wrap=True)
    for prompt, hardness in scored:
        bar = _bar(hardness.score, "magenta", _BAR_CELLS // 2)
        rows.add_row(f"{hardness.score:.3f}", bar, Text(_shown(prompt)))
    Console().print(rows)


def _bar(value: float, colour: str, cells: int = _BAR_CELLS) -> Text:
    filled = round(min(1.0, max(0.0, value)) * cells)
    return Text("█" * filled, style=colour).append("░" * (cells - filled), style="bright_black")


def _shown(prompt: str, most: int = 160) -> str:
    """Make a prompt safe to print: no control characters, not page after page."""
    text = "".join(character if character.isprintable() else " " for character in prompt)
    return text if len(text) <= most else text[: most - 1] + "…"

"""`hadis generate`: one image from a running endpoint, saved, with its provenance."""

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import click
from rich.console import Console
from rich.table import Table

from hadis.errors import HadisError, InvalidInput
from hadis_cli import endpoints

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
TIMEOUT_S = 3600.0  # the longest SLO that a cascade may state
SHOWN = (
    ("path", "path"),
    ("model", "model"),
    ("seed", "seed"),
    ("hardness", "hardness"),
    ("quality_score", "quality score"),
    ("heavy_quality_score", "heavy image's score"),
    ("thresholds", "thresholds"),
    ("plan_version", "plan"),
    ("queue_s", "queued"),
    ("generate_s", "generated"),
    ("total_s", "total"),
    ("unknown_words", "unknown words"),
    ("ignored", "ignored"),
)


@click.command(name="generate")
@click.argument("prompt")
@endpoints.URL_OPTION
@endpoints.KEY_OPTION
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to save; the ending chooses png, jpeg or webp.  [default: from the prompt]",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="The same seed, the same image.")
@click.option(
    "--quality",
    type=click.Choice(["auto", "low", "high"]),
    default="auto",
    show_default=True,
    help="auto lets the plan decide, low is the light model only, high the heavy one only.",
)
@click.option(
    "--model",
    help="Pin one model of the cascade instead of letting the plan decide; --quality is ignored.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    prompt: str,
    url: str,
    api_key: str | None,
    out: Path | None,
    seed: int | None,
    quality: str,
    model: str | None,
    as_json: bool,
) -> None:
    """Make one image for PROMPT, save it, and tell how it came about.

    \b
    hadis generate "two green squares"
    hadis generate "a red circle above a blue star" --quality high --seed 7 --out star.webp
    """
    path = out if out is not None else _free_name(prompt)
    body: dict[str, object] = {"prompt": prompt, "quality": quality, "n": 1}
    body["output_format"] = _format(path)
    body |= {key: value for key, value in (("seed", seed), ("model", model)) if value is not None}
    answer = asyncio.run(_ask(url, api_key, body))
    try:
        image = answer["data"][0]
        pixels = base64.b64decode(image["b64_json"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise HadisError(f"{url} answered something that is no image: {error!r}") from error
    provenance = image.get("hadis") or {}
    try:
        path.write_bytes(pixels)
    except OSError as error:
        raise InvalidInput(f"--out {path}: {error.strerror}", field="out") from error
    if as_json:
        click.echo(json.dumps({"file": str(path), "prompt": prompt, "hadis": provenance}))
    else:
        _show(path, provenance)


async def _ask(url: str, api_key: str | None, body: dict[str, object]) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, connect=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=endpoints.headers(api_key)) as session,
            session.post(f"{url}/v1/images/generations", json=body) as reply,
        ):
            text = await reply.text()
            if reply.status != 200:
                raise endpoints.refusal(reply.status, text)
            answer: dict[str, Any] = json.loads(text)
            return answer
    except (aiohttp.ClientError, TimeoutError) as error:
        raise endpoints.unreachable(url, error) from error
    except ValueError as error:
        raise HadisError(f"{url} answered something that is no JSON; is it HADIS?") from error


def _format(path: Path) -> str:
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise InvalidInput(f"--out {path}: the name must end in one of {known}", field="out")
    return FORMATS[path.suffix.lower()]


def _free_name(prompt: str) -> Path:
    """Name a file after the prompt without overwriting an earlier image."""
    stem = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:40].strip("-") or "image"
    path, number = Path(f"{stem}.png"), 2
    while path.exists():
        path, number = Path(f"{stem}-{number}.png"), number + 1
    return path


def _show(path: Path, provenance: dict[str, Any]) -> None:
    console = Console()
    console.print(f"Saved [bold]{path}[/bold]", highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for key, title in SHOWN:
        value = provenance.get(key)
        if value not in (None, [], {}):
            table.add_row(title, _text(key, value))
    console.print(table)


def _text(key: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f} s" if key.endswith("_s") else f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text('', item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "off" if value is None else str(value)

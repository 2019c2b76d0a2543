"""Files of measurements: what every prompt's images were worth, one JSON object a line.

A line holds `prompt`, and objects that map a model to a list with one value a seed: `fulfilled`
(true, false or a number) and the scores in [0, 1], under `scores` or under the discriminator's
kind, e.g. `matching`; other keys are left alone. Embeddings for the Frechet distance may lie beside
it in an `.npz`: for each model an array (seeds, prompts, numbers), rows in the order of the lines,
and under `rendered` or `reference` those of real images, one row each.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hadis.errors import InvalidInput
from hadis.profiling.outcomes import Floats, Outcomes
from hadis.terms.ids import ModelName

REFERENCES = ("reference", "rendered")
SCORES = "scores"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON objects, one a line; InvalidInput names the line that is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: {error}") from error
    lines = []
    # Not splitlines: a text may hold other line separators that JSON does not escape.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{path}, line {number}: no JSON object: {error.msg}") from error
        prompt = document.get("prompt") if isinstance(document, dict) else None
        if not isinstance(prompt, str) or not prompt.strip():
            raise InvalidInput(f"{path}, line {number}: prompt: is missing; give a text")
        lines.append(document)
    if not lines:
        raise InvalidInput(f"{path} is empty: write one JSON object with a prompt a line")
    return lines


def read_outcomes(
    path: Path,
    models: Sequence[ModelName],
    hardness: Sequence[float],
    *,
    kind: str | None,
    features: Path | None = None,
) -> Outcomes:
    """Return the measurements of `models` in a file; `hardness` is each line's, in order.

    `kind` is the discriminator's; None when the cascade has none, and scores are not looked for.
    """
    lines = read_lines(path)
    fulfilled = {model: _table(path, lines, model, ("fulfilled",)) for model in models}
    if kind is None:
        # Nothing judges images: no threshold will be swept over these.
        scores = {model: np.zeros_like(table) for model, table in fulfilled.items()}
    else:
        scores = {model: _table(path, lines, model, (SCORES, kind)) for model in models}
    _same_seeds(path, fulfilled)
    embedded: dict[ModelName, Floats] = {}
    reference: Floats | None = None
    if features is not None:
        embedded, reference = _features(features, models)
    return Outcomes(
        prompts=tuple(line["prompt"] for line in lines),
        hardness=np.asarray(hardness, dtype=np.float64),
        scores=scores,
        fulfilled=fulfilled,
        features=embedded,
        reference=reference,
    )


def _table(
    path: Path, lines: Sequence[Mapping[str, Any]], model: ModelName, keys: tuple[str, ...]
) -> Floats:
    rows = []
    for number, line in enumerate(lines, start=1):
        key = next((key for key in keys if key in line), None)
        values: object = None if key is None else line[key]
        row = values.get(model) if isinstance(values, dict) else None
        if not isinstance(row, list) or not row:
            raise InvalidInput(
                f"{path}, line {number}: {' or '.join(dict.fromkeys(keys))} has no values of "
                f"{model}; measure it or remove the model from the cascade"
            )
        if not all(isinstance(value, (bool, int, float)) for value in row):
            raise InvalidInput(
                f"{path}, line {number}: {key}.{model}: {json.dumps(row)} is no list of numbers; "
                "give one a seed"
            )
        rows.append(row)
    if len({len(row) for row in rows}) != 1:
        raise InvalidInput(f"{path}: {model} has more seeds in some lines than in others")
    return np.asarray(rows, dtype=np.float64).T


def _same_seeds(path: Path, tables: Mapping[ModelName, Floats]) -> None:
    counts = {model: len(table) for model, table in tables.items()}
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{model} {count}" for model, count in counts.items())
        raise InvalidInput(
            f"{path}: the models have different numbers of images a prompt ({told}); measure all "
            "under the same seeds"
        )


def _features(
    path: Path, models: Sequence[ModelName]
) -> tuple[dict[ModelName, Floats], Floats | None]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            held = {name: np.asarray(archive[name], dtype=np.float64) for name in archive.files}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path}: no archive of arrays (.npz): {error}") from error
    reference = next((held[name] for name in REFERENCES if name in held), None)
    if reference is None:
        raise InvalidInput(
            f"{path}: holds neither {' nor '.join(REFERENCES)}: the Frechet distance needs "
            "features of real images"
        )
    return {model: held[model] for model in models if model in held}, reference

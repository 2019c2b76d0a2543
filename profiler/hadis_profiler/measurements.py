"""Files of measurements: what every prompt's images were worth, one JSON object a line.

A line holds `prompt`, and objects that map a model to one value a seed: `fulfilled` (true, false or
a number in [0, 1]) and the scores under `scores` or under the discriminator's kind, e.g.
`matching`. Embeddings for the Frechet distance may lie beside it in an `.npz`: for each model an
array (seeds, prompts, numbers), and under `rendered` or `reference` those of real images.
"""

import json
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
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: {error}") from error
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{path}, line {number}: no JSON object: {error.msg}") from error
        if not isinstance(document, dict) or not isinstance(document.get("prompt"), str):
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
    """Return the measurements of `models` in a file; `hardness` is each line's, in order."""
    lines = read_lines(path)
    scores: dict[ModelName, Floats] = {}
    fulfilled: dict[ModelName, Floats] = {}
    for model in models:
        scores[model] = _table(path, lines, model, (SCORES, kind or SCORES))
        fulfilled[model] = _table(path, lines, model, ("fulfilled",))
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
        values: object = next((line[key] for key in keys if key in line), None)
        row = values.get(model) if isinstance(values, dict) else None
        if not isinstance(row, list) or not row:
            raise InvalidInput(
                f"{path}, line {number}: {' or '.join(dict.fromkeys(keys))} has no values of "
                f"{model}; measure it or remove the model from the cascade"
            )
        rows.append(row)
    if len({len(row) for row in rows}) != 1:
        raise InvalidInput(f"{path}: {model} has more seeds in some lines than in others")
    return np.asarray(rows, dtype=np.float64).T


def _features(
    path: Path, models: Sequence[ModelName]
) -> tuple[dict[ModelName, Floats], Floats | None]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            held = {name: np.asarray(archive[name], dtype=np.float64) for name in archive.files}
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: no archive of arrays: {error}") from error
    reference = next((held[name] for name in REFERENCES if name in held), None)
    return {model: held[model] for model in models if model in held}, reference

"""The training scenes: drawn once, held as arrays that every later stage maps from disk.

Files in ``WORK/data``: ``images.npy`` (n, 64, 64, 3), ``tokens.npy`` and ``nouns.npy``
(n, captions, tokens), ``labels.npy`` (n, 3 groups, 10: colour, shape, size, count, mean x, mean y,
then the roles above, below, left and right), ``category.npy``, ``compositions.jsonl``.
"""

from __future__ import annotations

import json
import multiprocessing
import random
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hadis_scenes import captions, compositions, drawing, vocabulary
from hadis_scenes.compositions import Composition
from hadis_scenes.training import runs

SCENES: Final = 96_000
CAPTIONS: Final = 4
SEED: Final = 20_000
_CHUNK: Final = 1000
_GROUPS: Final = 3
LABELS: Final = 10
ABOVE, BELOW, LEFT, RIGHT = range(6, 10)


def sample(
    rng: random.Random, noise: np.random.Generator, category: str | None = None
) -> tuple[Composition, list[drawing.Object]]:
    """Draw a training composition, never a held-out one, with a layout."""
    while True:
        composition = compositions.random_composition(rng, category)
        if compositions.is_held_out(composition):
            continue
        objects = drawing.lay_out(composition, noise)
        if objects is not None:
            return composition, objects


def worded(
    rng: random.Random, composition: Composition, objects: list[drawing.Object]
) -> tuple[list[captions.Caption], list[drawing.Object]]:
    """Write a scene's captions, and lay out what they leave open as people tend to draw it.

    One object lies near the middle, two that are merely listed in the order of their caption.
    Where an object goes is then told by the words, as it is by a relation; a denoiser that has to
    toss for it in its first step draws it twice, or not at all, far more often. Captions that list
    the two in the other order are replaced by those that do not.
    """
    written = [captions.caption(rng, composition) for _ in range(CAPTIONS)]
    if composition.kind == "single":
        return written, drawing.in_the_middle(objects)
    if composition.kind != "two":
        return written, objects
    order = written[0].named
    fitting = [caption for caption in written if caption.named == order]
    written = [fitting[number % len(fitting)] for number in range(CAPTIONS)]
    return written, drawing.in_reading_order(objects, order[0])


def caption_tokens(caption: captions.Caption) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8]]:
    """Return a caption's padded token ids and the group of each noun, or -1."""
    tokens = np.zeros(vocabulary.MAX_TOKENS, np.uint8)
    nouns = np.full(vocabulary.MAX_TOKENS, -1, np.int8)
    count = len(caption.words)
    tokens[:count] = [vocabulary.TOKEN_IDS[word] for word in caption.words]
    tokens[count] = vocabulary.TOKEN_IDS[vocabulary.END]
    nouns[:count] = caption.nouns
    return tokens, nouns


def labels(composition: Composition, objects: list[drawing.Object]) -> npt.NDArray[np.float32]:
    """Return what the text encoder learns to say of each group."""
    values = np.zeros((_GROUPS, LABELS), np.float32)
    for index, group in enumerate(composition.groups):
        members = [o for o in objects if o.group == index]
        values[index, :6] = (
            compositions.COLOURS.index(group.colour),
            compositions.SHAPES.index(group.shape),
            compositions.SIZES.index(group.size),
            group.count,
            np.mean([o.x for o in members]) / drawing.SIDE,
            np.mean([o.y for o in members]) / drawing.SIDE,
        )
    for first, relation, second in composition.relations:
        values[first, ABOVE if relation == "above" else LEFT] = 1
        values[second, BELOW if relation == "above" else RIGHT] = 1
    for index, corner in composition.corners:
        values[index, ABOVE if "top" in corner else BELOW] = 1
        values[index, LEFT if "left" in corner else RIGHT] = 1
    return values


def _chunk(index: int) -> dict[str, Any]:
    rng, noise = random.Random(SEED + index), np.random.default_rng(SEED + index)
    rows: dict[str, list[Any]] = {
        key: [] for key in ("images", "tokens", "nouns", "labels", "category", "compositions")
    }
    for _ in range(_CHUNK):
        composition, objects = sample(rng, noise)
        written, objects = worded(rng, composition, objects)
        rendered = [caption_tokens(caption) for caption in written]
        rows["images"].append(drawing.draw(objects, noise))
        rows["tokens"].append(np.stack([tokens for tokens, _ in rendered]))
        rows["nouns"].append(np.stack([nouns for _, nouns in rendered]))
        rows["labels"].append(labels(composition, objects))
        rows["category"].append(compositions.CATEGORIES.index(composition.category))
        rows["compositions"].append(
            json.dumps({"category": composition.category, **composition.as_json()})
        )
    return rows


def make(work: Path) -> None:
    """Draw every training scene, on all cores."""
    folder = work / "data"
    if (folder / "compositions.jsonl").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool() as pool:
        chunks = pool.map(_chunk, range(SCENES // _CHUNK), chunksize=4)
    for key, dtype in (
        ("images", np.uint8),
        ("tokens", np.uint8),
        ("nouns", np.int8),
        ("labels", np.float32),
        ("category", np.uint8),
    ):
        np.save(folder / f"{key}.npy", np.concatenate([np.array(c[key], dtype) for c in chunks]))
    lines = [line for c in chunks for line in c["compositions"]]
    (folder / "compositions.jsonl").write_text("\n".join(lines) + "\n")
    runs.log_line(work, "data", scenes=len(lines))


def load(work: Path, name: str) -> npt.NDArray[Any]:
    """Map one array of the training set."""
    array: npt.NDArray[Any] = np.load(work / "data" / f"{name}.npy", mmap_mode="r")
    return array


def wordings(work: Path) -> set[str]:
    """Return every training caption's words, joined by single spaces."""
    rows = load(work, "tokens").reshape(-1, vocabulary.MAX_TOKENS)
    first_word = vocabulary.TOKEN_IDS[vocabulary.UNKNOWN] + 1
    return {" ".join(vocabulary.TOKENS[t] for t in row if t >= first_word) for row in rows.tolist()}

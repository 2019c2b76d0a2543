"""Pictures with captions judged by the checker: what the matching discriminator learns from.

Each picture has its own caption and several edited ones. Of each caption the checker says whether
the picture fulfils it, and of each noun whether its objects are there and its relation holds.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from hadis_scenes import (
    captions,
    checking,
    compositions,
    drawing,
    networks,
    precision,
    vocabulary,
)
from hadis_scenes.compositions import Composition
from hadis_scenes.training import autoencoder, dataset, edits

SCENES: Final = 32_000
CAPTIONS: Final = 4
SEED: Final = 40_000
_CHUNK: Final = 500
_CELL: Final = 8
_RECONSTRUCTED: Final = 0.6
UNKNOWN_CELL: Final = 255
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """Pictures, and per caption tokens, noun classes, noun verdicts (-1: none) and the verdict."""

    images: Array
    cells: Array
    tokens: Array
    classes: Array
    nouns: Array
    verdicts: Array

    def save(self, folder: Path) -> None:
        """Write one file an array."""
        folder.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def load(cls, folder: Path) -> Judged:
        """Read what ``save`` wrote."""
        return cls(**{f.name: np.load(folder / f"{f.name}.npy") for f in fields(cls)})


def joined(parts: Sequence[Judged]) -> Judged:
    """Put several sets one after another."""
    names = [field.name for field in fields(Judged)]
    return Judged(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def object_class(colour: str, shape: str) -> int:
    """Number a kind of object; zero is nothing."""
    return 1 + compositions.COLOURS.index(colour) * 4 + compositions.SHAPES.index(shape)


def cell_classes(objects: list[drawing.Object]) -> Array:
    """Mark the cells that hold an object's centre."""
    cells = np.zeros((_CELL, _CELL), np.uint8)
    last = _CELL - 1
    for item in objects:
        row, column = min(last, int(item.y // _CELL)), min(last, int(item.x // _CELL))
        cells[row, column] = object_class(item.colour, item.shape)
    return cells


def judge(
    detection: checking.Detection, composition: Composition, caption: captions.Caption
) -> dict[str, Any]:
    """Return one caption's tokens, noun classes and verdicts."""
    tokens, owners = dataset.caption_tokens(caption)
    found = [checking.members(detection, group) for group in composition.groups]
    holds: list[list[bool]] = [[] for _ in composition.groups]
    for first, relation, second in composition.relations:
        if found[first] and found[second]:
            verdict = checking.relation_holds(found[first], relation, found[second])
            holds[first].append(verdict)
            holds[second].append(verdict)
    for index, corner in composition.corners:
        if found[index]:
            holds[index].append(checking.corner_holds(found[index], corner))
    classes = np.zeros(vocabulary.MAX_TOKENS, np.uint8)
    nouns = np.full((vocabulary.MAX_TOKENS, 2), -1, np.int8)
    for place in np.flatnonzero(owners >= 0):
        index = int(owners[place])
        group = composition.groups[index]
        classes[place] = object_class(group.colour, group.shape)
        nouns[place, 0] = checking.group_holds(found[index], group)
        if holds[index]:
            nouns[place, 1] = all(holds[index])
    return {
        "tokens": tokens,
        "classes": classes,
        "nouns": nouns,
        "verdicts": checking.fulfils(detection, composition),
    }


def judged_captions(
    rng: random.Random, image: drawing.Image, composition: Composition
) -> dict[str, Array]:
    """Judge a picture against its own caption and edited ones, some of them twice edited."""
    detection = checking.detect(image)
    rows = []
    for number in range(CAPTIONS):
        demanded = composition
        if number:
            demanded = edits.edit(rng, composition)
            if rng.random() < 0.15:
                demanded = edits.edit(rng, demanded)
        rows.append(judge(detection, demanded, captions.caption(rng, demanded)))
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def _drawn(index: int) -> list[tuple[Composition, Array, Array]]:
    rng, noise = random.Random(SEED + index), np.random.default_rng(SEED + index)
    previous = np.full((drawing.SIDE, drawing.SIDE, 3), 25, np.uint8)
    rows = []
    for _ in range(_CHUNK):
        composition, objects = dataset.sample(rng, noise)
        how = rng.random()
        if 0.3 < how < 0.58:
            objects = edits.spoil(rng, noise, objects)
        clean = drawing.draw(objects, noise)
        image = edits.distort(rng, noise, clean, previous, objects) if how >= 0.58 else clean
        previous = clean
        rows.append((composition, image, cell_classes(objects)))
    return rows


def judge_all(seed: int, images: Array, demanded: Sequence[Composition], cells: Array) -> Judged:
    """Judge pictures against the compositions they were made for and edits of these."""
    rng = random.Random(seed)
    rows = [judged_captions(rng, i, c) for i, c in zip(images, demanded, strict=True)]
    return Judged(images, cells, **{key: np.stack([r[key] for r in rows]) for key in rows[0]})


@torch.no_grad()
def _reconstructed(work: Path, images: Array, device: str) -> Array:
    """Pass a share through the autoencoder, whose traces all generated pictures bear."""
    model = networks.channels_last(autoencoder.trained(work, device))
    picked = np.random.default_rng(SEED).random(len(images)) < _RECONSTRUCTED
    result = images.copy()
    rows = np.flatnonzero(picked)
    for start in range(0, len(rows), 100):
        chosen = rows[start : start + 100]
        with precision.bulk(device):
            x = autoencoder.pixels(torch.from_numpy(images[chosen]).to(device))
            y = model.decoder(model.encoder(x)).float().clamp(-1, 1)
        result[chosen] = autoencoder.as_bytes(y)
    return result


def make(work: Path, device: str) -> Judged:
    """Draw, spoil, distort, reconstruct and judge; kept on disk."""
    folder = work / "judged"
    if (folder / "verdicts.npy").exists():
        return Judged.load(folder)
    with multiprocessing.get_context("spawn").Pool() as pool:
        rows = [r for chunk in pool.map(_drawn, range(SCENES // _CHUNK), 4) for r in chunk]
        images = _reconstructed(work, np.stack([image for _, image, _ in rows]), device)
        cells = np.stack([c for _, _, c in rows])
        edges = range(0, len(rows) + 1, _CHUNK)
        jobs = [
            (SEED + a, images[a:b], [c for c, _, _ in rows[a:b]], cells[a:b])
            for a, b in itertools.pairwise(edges)
        ]
        parts = pool.starmap(judge_all, jobs, 4)
    result = joined(parts)
    result.save(folder)
    return result

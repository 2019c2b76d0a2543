"""Generate images of every variant for a prompt set and judge each by checker and discriminators.

``WORK/outcomes/SET.jsonl`` has one line a prompt: ``prompt``, ``category``, and three objects that
map a variant to one value a seed: ``fulfilled`` (true or false, by the checker), ``matching`` and
``real-fake`` (scores in [0, 1]). ``WORK/outcomes/SET-features.npz`` holds for each variant the tiny
CLIP's embeddings (seeds, prompts, 128), and under ``rendered`` those of drawn scenes, one a prompt.
Line i and row i belong to prompt i of the set; its picture of seed s was generated with
``generating.image_seed(s, i)``.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from hadis_scenes import checking, discriminators, drawing, features, generating, prompts
from hadis_scenes.prompts import ScenePrompt
from hadis_scenes.variants import BY_NAME, VARIANTS, model_of

KINDS: Final = ("matching", "real-fake")
SETS: Final = ("test", "profile")
_SEEDS: Final = {"test": (1, 2), "profile": (3, 4)}
_CHUNK: Final = 100
_RENDERED_SEED: Final = 90_000


def seeds(set_name: str, variant: str) -> tuple[int, ...]:
    """Return the seeds of a variant's pictures: two, for retries; of the heaviest one in a test."""
    both = _SEEDS[set_name]
    return both[:1] if set_name == "test" and variant == VARIANTS[-1].name else both


@dataclass(frozen=True, slots=True)
class Job:
    """A run of prompts of one set that one process generates for one variant and seed."""

    work: Path
    package: Path
    device: str
    half: bool
    set_name: str
    variant: str
    seed: int
    start: int

    @property
    def path(self) -> Path:
        """Where its pictures go."""
        name = f"{self.variant}-{self.seed}-{self.start:05d}.npy"
        return self.work / "pictures" / self.set_name / name


@cache
def _pipeline(package: Path, device: str) -> Any:
    return generating.load(model_of(package), device)


def _run(job: Job) -> None:
    torch.set_num_threads(1)
    variant = BY_NAME[job.variant]
    asked = prompts.shipped(job.set_name)[job.start : job.start + _CHUNK]
    pictures = generating.generate(
        _pipeline(job.package, job.device),
        variant,
        [item.prompt for item in asked],
        job.seed,
        half=job.half,
        first=job.start,
    )
    temporary = job.path.with_suffix(".part.npy")
    np.save(temporary, pictures)
    temporary.replace(job.path)


def generate(
    work: Path, package: Path, device: str, *, half: bool, sets: Sequence[str], first: int
) -> None:
    """Generate what is missing of each set's first prompts, on all cores; may be stopped."""
    jobs = []
    for set_name in sets:
        (work / "pictures" / set_name).mkdir(parents=True, exist_ok=True)
        for start in range(0, min(first, len(prompts.shipped(set_name))), _CHUNK):
            jobs += [
                Job(work, package, device, half, set_name, variant.name, seed, start)
                for variant in reversed(VARIANTS)
                for seed in seeds(set_name, variant.name)
            ]
    missing = [job for job in jobs if not job.path.exists()]
    if device == "cpu":
        with multiprocessing.get_context("spawn").Pool() as pool:
            for _ in pool.imap_unordered(_run, missing):
                pass
    else:
        for job in missing:
            _run(job)


def pictures(work: Path, set_name: str, variant: str, seed: int) -> npt.NDArray[np.uint8]:
    """Return the pictures of one variant and seed, as far as every variant has them."""
    folder = work / "pictures" / set_name
    rows = []
    for start in range(0, len(prompts.shipped(set_name)), _CHUNK):
        needed = [
            folder / f"{v.name}-{s}-{start:05d}.npy"
            for v in VARIANTS
            for s in seeds(set_name, v.name)
        ]
        if not all(path.exists() for path in needed):
            break
        rows.append(np.load(folder / f"{variant}-{seed}-{start:05d}.npy"))
    return np.concatenate(rows)


def measured(work: Path, set_name: str) -> list[ScenePrompt]:
    """Return the prompts of a set that every variant has pictures of: the first ones."""
    first = VARIANTS[0].name
    count = len(pictures(work, set_name, first, seeds(set_name, first)[0]))
    return prompts.shipped(set_name)[:count]


def rendered(asked: Iterable[ScenePrompt]) -> npt.NDArray[np.uint8]:
    """Draw one true picture of each prompt."""
    rows = []
    for index, item in enumerate(asked):
        for attempt in range(100):
            noise = np.random.default_rng((_RENDERED_SEED, index, attempt))
            objects = drawing.lay_out(item.composition, noise)
            if objects is not None:
                rows.append(drawing.draw(objects, noise))
                break
    return np.stack(rows)


def as_images(rows: npt.NDArray[np.uint8]) -> list[Image.Image]:
    """Turn arrays into the pictures that discriminators take."""
    return [Image.fromarray(row) for row in rows]


def _scores(
    discriminator: discriminators.Discriminator, rows: list[Image.Image], texts: list[str]
) -> list[float]:
    result: list[float] = []
    for start in range(0, len(rows), 100):
        result += discriminator.score(rows[start : start + 100], texts[start : start + 100])
    return result


def judge(work: Path, package: Path, set_name: str) -> None:
    """Check and score every generated picture of a set and write the outcomes."""
    asked = measured(work, set_name)
    texts = [item.prompt for item in asked]
    judges = {kind: discriminators.load(package / "discriminators" / kind) for kind in KINDS}
    lines: list[dict[str, Any]] = [
        {
            "prompt": item.prompt,
            "category": item.category,
            "fulfilled": {},
            "matching": {},
            "real-fake": {},
        }
        for item in asked
    ]
    embedded: dict[str, npt.NDArray[np.float32]] = {
        "rendered": features.embed(as_images(rendered(asked)))
    }
    for variant in VARIANTS:
        spans = []
        for seed in seeds(set_name, variant.name):
            rows = pictures(work, set_name, variant.name, seed)
            images = as_images(rows)
            spans.append(features.embed(images))
            verdicts = [
                checking.check(row, item.composition) for row, item in zip(rows, asked, strict=True)
            ]
            values: dict[str, list[Any]] = {"fulfilled": verdicts}
            values |= {kind: _scores(j, images, texts) for kind, j in judges.items()}
            for key, column in values.items():
                for line, value in zip(lines, column, strict=True):
                    line[key].setdefault(variant.name, []).append(value)
        embedded[variant.name] = np.stack(spans)
    folder = work / "outcomes"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{set_name}-features.npz", **embedded)  # type: ignore[arg-type]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (folder / f"{set_name}.jsonl").write_text(text)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """A set's outcomes as arrays: for each variant (seeds, prompts)."""

    category: npt.NDArray[np.str_]
    fulfilled: dict[str, npt.NDArray[np.bool_]]
    scores: dict[str, dict[str, npt.NDArray[np.float64]]]

    @classmethod
    def load(cls, work: Path, set_name: str) -> Outcomes:
        """Read what ``judge`` wrote."""
        text = (work / "outcomes" / f"{set_name}.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        names = [variant.name for variant in VARIANTS]
        return cls(
            np.array([line["category"] for line in lines]),
            {n: np.array([line["fulfilled"][n] for line in lines]).T for n in names},
            {k: {n: np.array([line[k][n] for line in lines]).T for n in names} for k in KINDS},
        )

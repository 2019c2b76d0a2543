"""Disjoint sets of prompts: for fine-tuning discriminators, for profiles and for tests.

Test prompts are held-out combinations; the two other sets are not, and differ from one another by
their combinations' hash. A line of a prompt file holds ``prompt``, ``category`` and ``spec``.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hadis_scenes import captions, compositions, drawing, vocabulary
from hadis_scenes.compositions import Composition

FOLDER: Final = Path(__file__).parent / "prompts"
TEST_A_CATEGORY: Final = 250
PROFILE_A_CATEGORY: Final = {
    "single": 200,
    "two": 350,
    "counting": 300,
    "relation": 450,
    "complex": 300,
}


@dataclass(frozen=True, slots=True)
class ScenePrompt:
    """A prompt and the composition that its picture must show."""

    prompt: str
    composition: Composition

    @property
    def category(self) -> str:
        """The composition's category."""
        return self.composition.category


def is_for_profile(composition: Composition) -> bool:
    """Tell profile combinations from those that discriminators are fine-tuned on."""
    name = "profile|" + compositions.combination(composition)
    return hashlib.blake2b(name.encode(), digest_size=1).digest()[0] % 3 == 0


def _is_drawable(composition: Composition) -> bool:
    return drawing.lay_out(composition, np.random.default_rng(0)) is not None


def _draw(rng: random.Random, category: str, purpose: str) -> ScenePrompt:
    while True:
        composition = compositions.random_composition(rng, category)
        held_out = compositions.is_held_out(composition)
        if held_out != (purpose == "test"):
            continue
        if not held_out and is_for_profile(composition) != (purpose == "profile"):
            continue
        if _is_drawable(composition):
            return ScenePrompt(captions.caption(rng, composition).text, composition)


def draw(
    seed: int, purpose: str, counts: dict[str, int], taken: Container[str] = ()
) -> list[ScenePrompt]:
    """Draw distinct prompts of a purpose (``test``, ``profile`` or ``tuning``), shuffled.

    A wording is ``taken`` when its words, joined by single spaces, are in there.
    """
    rng = random.Random(seed)
    found: dict[str, ScenePrompt] = {}
    for category, count in counts.items():
        texts: set[str] = set()
        while len(texts) < count:
            prompt = _draw(rng, category, purpose)
            if " ".join(vocabulary.split_words(prompt.prompt)) in taken:
                continue
            texts.add(prompt.prompt)
            found[prompt.prompt] = prompt
    prompts = list(found.values())
    rng.shuffle(prompts)
    return prompts


def write(path: Path, prompts: Iterable[ScenePrompt]) -> None:
    """Write prompts as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for item in prompts:
            line = {
                "prompt": item.prompt,
                "category": item.category,
                "spec": item.composition.as_json(),
            }
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def read(path: Path) -> list[ScenePrompt]:
    """Read a prompt file."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        ScenePrompt(line["prompt"], Composition.from_json(line["category"], line["spec"]))
        for line in lines
    ]


def shipped(name: str) -> list[ScenePrompt]:
    """Read the shipped ``profile`` or ``test`` prompts."""
    return read(FOLDER / f"{name}.jsonl")


def make(taken: Container[str]) -> None:
    """Write the shipped prompt files; none of them repeats a wording of the training captions."""
    test = dict.fromkeys(compositions.CATEGORIES, TEST_A_CATEGORY)
    write(FOLDER / "test.jsonl", draw(7, "test", test, taken))
    write(FOLDER / "profile.jsonl", draw(8, "profile", PROFILE_A_CATEGORY, taken))

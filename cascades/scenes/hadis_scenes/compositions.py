"""What a scene holds: groups of equal objects, their relations and corners; random ones, too.

A composition says what must be true of a picture, not where each object lies (``drawing.py``) nor
how it is worded (``captions.py``). In the manner of ShapeWorld and GenEval.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Final, Literal

from hadis_scenes import vocabulary

COLOURS: Final = tuple(vocabulary.COLOURS)
SHAPES: Final = tuple(vocabulary.SHAPES)
SIZES: Final = ("", "small", "large")
Relation = Literal["above", "left"]
CATEGORIES: Final = ("single", "two", "counting", "relation", "complex")
TRAINING_MIX: Final = (0.08, 0.15, 0.14, 0.30, 0.33)
HELD_OUT_SHARE: Final = 10
"""One combination in this many never appears in training captions."""


@dataclass(frozen=True, slots=True)
class Group:
    """One to four equal objects, worded by one noun phrase; an empty size means any."""

    count: int
    size: str
    colour: str
    shape: str


@dataclass(frozen=True, slots=True)
class Composition:
    """A scene's content; a relation ``(i, "above", j)`` reads group i lies above group j."""

    category: str
    kind: str
    groups: tuple[Group, ...]
    relations: tuple[tuple[int, Relation, int], ...] = ()
    corners: tuple[tuple[int, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": self.kind,
            "groups": [
                {"count": g.count, "size": g.size, "colour": g.colour, "shape": g.shape}
                for g in self.groups
            ],
            "relations": [list(r) for r in self.relations],
            "corners": [list(c) for c in self.corners],
        }

    @classmethod
    def from_json(cls, category: str, value: dict[str, Any]) -> Composition:
        """Rebuild a composition from ``as_json``."""
        return cls(
            category=category,
            kind=value["kind"],
            groups=tuple(Group(**g) for g in value["groups"]),
            relations=tuple((a, r, b) for a, r, b in value["relations"]),
            corners=tuple((i, c) for i, c in value["corners"]),
        )


def random_group(rng: random.Random, count: int = 1, others: tuple[Group, ...] = ()) -> Group:
    """Draw a group whose colour and shape together differ from every other group's."""
    while True:
        weights = (0.6, 0.2, 0.2) if count < 4 else (0.7, 0.3, 0.0)
        size = rng.choices(SIZES, weights)[0]
        group = Group(count, size, rng.choice(COLOURS), rng.choice(SHAPES))
        if all((group.colour, group.shape) != (o.colour, o.shape) for o in others):
            return group


def _groups(rng: random.Random, *counts: int) -> tuple[Group, ...]:
    groups: tuple[Group, ...] = ()
    for count in counts:
        groups += (random_group(rng, count, groups),)
    return groups


def _axis(rng: random.Random) -> Relation:
    return rng.choice(("above", "left"))


def random_composition(rng: random.Random, category: str | None = None) -> Composition:
    """Draw a composition, of the training mix unless a category is named."""
    category = category or rng.choices(CATEGORIES, TRAINING_MIX)[0]
    if category == "single":
        return Composition(category, category, _groups(rng, 1))
    if category == "counting":
        return Composition(category, category, _groups(rng, rng.choice((2, 3, 4))))
    if category == "two":
        return Composition(category, category, _groups(rng, 1, 1))
    if category == "relation":
        return Composition(category, category, _groups(rng, 1, 1), ((0, _axis(rng), 1),))
    kind = rng.choices(("three", "count-relation", "corners", "two-relations"), (2, 3, 3, 3))[0]
    if kind == "three":
        return Composition(category, kind, _groups(rng, 1, 1, 1))
    if kind == "count-relation":
        first, second = rng.sample((0, 1), 2)
        return Composition(category, kind, _groups(rng, 2, 1), ((first, _axis(rng), second),))
    if kind == "corners":
        places = rng.sample(vocabulary.CORNERS, rng.choice((2, 3)))
        groups = _groups(rng, *[1] * len(places))
        return Composition(category, kind, groups, (), tuple(enumerate(places)))
    relations = []
    axes: list[Relation] = ["above", "left"]
    rng.shuffle(axes)
    for axis, other in zip(axes, (1, 2), strict=True):
        first, second = rng.sample((0, other), 2)
        relations.append((first, axis, second))
    return Composition(category, kind, _groups(rng, 1, 1, 1), tuple(relations))


def combination(composition: Composition) -> str:
    """Name what a composition demands, the same however its groups are ordered or worded."""
    groups = [f"{g.count} {g.size} {g.colour} {g.shape}" for g in composition.groups]
    relations = sorted(f"{groups[a]} {r} {groups[b]}" for a, r, b in composition.relations)
    corners = sorted(f"{groups[i]} {c}" for i, c in composition.corners)
    return "|".join((composition.kind, *sorted(groups), *relations, *corners))


def is_held_out(composition: Composition) -> bool:
    """Tell whether a combination is reserved for test prompts, by a hash that needs no list."""
    digest = hashlib.blake2b(combination(composition).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_SHARE == 0

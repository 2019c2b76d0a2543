"""Natural-English captions of a composition, with the group that each noun names."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hadis_scenes import vocabulary
from hadis_scenes.compositions import Composition, Group

_OPPOSITE = {"above": "below", "left": "right"}
_CORNER_WORDS = {"top": ("top", "upper"), "bottom": ("bottom", "lower")}


@dataclass(slots=True)
class Caption:
    """Words and, beside each, the index of the group it names as a noun, or -1."""

    words: list[str] = field(default_factory=list)
    nouns: list[int] = field(default_factory=list)

    def add(self, phrase: str, group: int = -1) -> None:
        """Append words; with a group, the last of them is its noun."""
        words = phrase.split()
        self.words += words
        self.nouns += [-1] * (len(words) - 1) + [group]

    @property
    def named(self) -> tuple[int, ...]:
        """The groups in the order of their nouns."""
        return tuple(group for group in self.nouns if group >= 0)

    @property
    def text(self) -> str:
        """The caption as a person would type it."""
        return " ".join(self.words).replace(" ,", ",").replace(" .", ".")


def _first(rng: random.Random, names: tuple[str, ...], share: float = 0.6) -> str:
    """Prefer the plain word, and draw among its synonyms otherwise."""
    return names[0] if len(names) == 1 or rng.random() < share else rng.choice(names[1:])


def _noun_phrase(rng: random.Random, caption: Caption, group: Group, index: int) -> None:
    plural = group.count > 1
    forms = vocabulary.SHAPES[group.shape]
    form = forms[0] if len(forms) == 1 or rng.random() < 0.75 else rng.choice(forms[1:])
    noun = form[1] if plural else form[0]
    colour = _first(rng, vocabulary.COLOURS[group.colour], 0.85)
    size = _first(rng, vocabulary.SIZES[group.size]) if group.size else ""
    if plural:
        number = _first(rng, vocabulary.COUNTS[group.count], 0.85)
    else:
        number = rng.choices(("a", "one", "a single"), (0.88, 0.08, 0.04))[0]
    trailing = rng.random()
    if trailing < 0.04:
        verb = "are" if plural else "is"
        caption.add(f"{number} {size} {noun}", index)
        caption.add(f"{rng.choice(('that', 'which'))} {verb} {colour}")
    elif trailing < 0.06:
        caption.add(f"{number} {size} {noun}", index)
        caption.add(f"coloured {colour}")
    else:
        caption.add(f"{number} {size} {colour} {noun}", index)


def _relation(rng: random.Random, caption: Caption, relation: str, plural: bool) -> None:
    if rng.random() < 0.25:
        caption.add(rng.choice(vocabulary.VERBS)[plural])
    caption.add(_first(rng, vocabulary.RELATIONS[relation], 0.5))


def _corner(rng: random.Random, caption: Caption, corner: str) -> None:
    vertical, horizontal = corner.split()
    vertical = _first(rng, _CORNER_WORDS[vertical], 0.75)
    caption.add(f"{'in' if rng.random() < 0.75 else 'at'} the {vertical} {horizontal}")
    if rng.random() < 0.8:
        caption.add("corner")


def _list(rng: random.Random, caption: Caption, composition: Composition) -> None:
    order = list(range(len(composition.groups)))
    rng.shuffle(order)
    for place, index in enumerate(order):
        if place and place < len(order) - 1:
            caption.add(",")
        elif place:
            caption.add("and" if len(order) > 2 or rng.random() < 0.8 else "with")
        _noun_phrase(rng, caption, composition.groups[index], index)


def _related(rng: random.Random, caption: Caption, composition: Composition) -> None:
    first, relation, second = composition.relations[0]
    word: str = relation
    if rng.random() < 0.5:
        first, second, word = second, first, _OPPOSITE[relation]
    _noun_phrase(rng, caption, composition.groups[first], first)
    _relation(rng, caption, word, composition.groups[first].count > 1)
    _noun_phrase(rng, caption, composition.groups[second], second)


def _related_twice(rng: random.Random, caption: Caption, composition: Composition) -> None:
    _noun_phrase(rng, caption, composition.groups[0], 0)
    relations = rng.sample(composition.relations, 2)
    for place, (first, relation, second) in enumerate(relations):
        if place:
            caption.add("and")
        if first == 0:
            _relation(rng, caption, relation, False)
        else:
            _relation(rng, caption, _OPPOSITE[relation], False)
        other = second if first == 0 else first
        _noun_phrase(rng, caption, composition.groups[other], other)


def _cornered(rng: random.Random, caption: Caption, composition: Composition) -> None:
    places = rng.sample(composition.corners, len(composition.corners))
    for place, (index, corner) in enumerate(places):
        if place:
            caption.add("and" if place == len(places) - 1 else ",")
        _noun_phrase(rng, caption, composition.groups[index], index)
        _corner(rng, caption, corner)


_BODIES = {
    "single": _list,
    "counting": _list,
    "two": _list,
    "three": _list,
    "relation": _related,
    "count-relation": _related,
    "two-relations": _related_twice,
    "corners": _cornered,
}


def caption(rng: random.Random, composition: Composition) -> Caption:
    """Word a composition at random; it always fits the models' token limit."""
    plural_words = {word for names in vocabulary.COUNTS.values() for word in names}
    while True:
        body = Caption()
        _BODIES[composition.kind](rng, body, composition)
        words = Caption()
        opening = rng.random()
        if opening < 0.15:
            words.add("there are" if body.words[0] in plural_words else "there is")
        elif opening < 0.40:
            words.add(rng.choice(vocabulary.OPENINGS))
        words.words += body.words
        words.nouns += body.nouns
        if rng.random() < 0.1:
            words.add(".")
        if len(words.words) < vocabulary.MAX_TOKENS:
            return words

"""Phrases that place one thing relative to another or to the picture."""

from collections.abc import Mapping
from typing import Final

from hadis.hardness.lexicon import lists

CLEAR: Final = lists.words(
    """
    above across against alongside amid amidst among amongst around astride atop behind below
    beneath beside between beyond inside onto opposite outside over surrounding throughout
    toward towards under underneath within
    """
)
"""Single words that place things whenever they occur; each is one relation."""

VAGUE: Final = lists.words("along at by down in near off on past through up upon")
"""Prepositions that place things most of the time; each is half a relation, and only as one."""

_SIDES: Final = ("left", "right", "top", "bottom", "front", "back", "far", "near", "other")
_VERTICAL: Final = ("top", "upper", "bottom", "lower")
_HORIZONTAL: Final = ("left", "right", "center", "centre", "middle")
_PLACES: Final = (
    "back", "background", "bottom", "center", "centre", "corner", "distance", "edge", "foreground",
    "front", "left", "middle", "right", "side", "top",
)  # fmt: skip

_PHRASES: Final = """
    adjacent to
    ahead of
    away from
    close to
    close together
    far from
    far away from
    apart from each other
    face to face
    facing away from
    facing each other
    from above
    from behind
    from below
    full of
    higher than
    lower than
    in between
    in front of
    in line with
    in the midst of
    inside of
    near to
    next to
    next to each other
    nested inside
    on either side of
    on both sides of
    on opposite sides of
    on each side of
    on top of
    on top of each other
    out of
    outside of
    overlapping with
    side by side
    stacked on
    surrounded by
    to either side of
    upside down
    left of
    right of
    to the left
    to the right
    to the left of
    to the right of
    on its left
    on its right
    to its left
    to its right
"""


def _phrases() -> frozenset[tuple[str, ...]]:
    phrases: set[tuple[str, ...]] = {tuple(line.split()) for line in _PHRASES.strip().splitlines()}
    for start in ("at", "in", "on"):
        for place in _PLACES:
            phrases |= {(start, "the", place), (start, "the", place, "of")}
        for vertical in _VERTICAL:
            for horizontal in _HORIZONTAL:
                for end in ("", "corner", "corner of", "of", "side", "side of"):
                    phrases.add((start, "the", vertical, horizontal, *end.split()))
        for side in (*_SIDES, "upper", "lower"):
            for noun in ("side", "half", "part", "edge", "corner", "hand"):
                phrases |= {(start, "the", side, noun), (start, "the", side, noun, "of")}
    return frozenset(phrases)


PHRASES: Final = _phrases()
"""Multi-word phrases; the longest that fits at a word is one relation."""


def _by_first_word() -> Mapping[str, tuple[tuple[str, ...], ...]]:
    starts: dict[str, list[tuple[str, ...]]] = {}
    for phrase in PHRASES:
        starts.setdefault(phrase[0], []).append(phrase)
    return {
        first: tuple(sorted(group, key=lambda phrase: (-len(phrase), phrase)))
        for first, group in starts.items()
    }


_STARTS: Final = _by_first_word()


def phrase_at(words: list[str], start: int) -> int:
    """Return how many words the longest phrase that starts at `start` has, 0 when there is none."""
    for phrase in _STARTS.get(words[start], ()):
        if tuple(words[start : start + len(phrase)]) == phrase:
            return len(phrase)
    return 0

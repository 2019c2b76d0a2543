"""The words that the scenes models were trained on, and what each of them stands for.

Several words may name one thing (``tiny`` and ``small``); a caption draws among them. The order of
``TOKENS`` is part of the trained weights: append, never reorder.
"""

from __future__ import annotations

import re
from typing import Final

COLOURS: Final = {
    "red": ("red",),
    "green": ("green",),
    "blue": ("blue",),
    "yellow": ("yellow",),
    "purple": ("purple", "violet"),
    "cyan": ("cyan", "turquoise"),
}
SHAPES: Final = {
    "circle": (("circle", "circles"), ("disc", "discs")),
    "square": (("square", "squares"), ("box", "boxes")),
    "triangle": (("triangle", "triangles"),),
    "cross": (("cross", "crosses"),),
}
SIZES: Final = {"small": ("small", "tiny", "little"), "large": ("large", "big", "huge")}
COUNTS: Final = {2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")}
CORNERS: Final = ("top left", "top right", "bottom left", "bottom right")
RELATIONS: Final = {
    "above": ("above", "over", "on top of", "higher than"),
    "below": ("below", "under", "beneath", "underneath"),
    "left": ("left of", "to the left of", "on the left of", "on the left side of"),
    "right": ("right of", "to the right of", "on the right of", "on the right side of"),
}
OPENINGS: Final = (
    "a picture of",
    "a picture with",
    "an image of",
    "an image showing",
    "a drawing of",
    "a photo of",
    "a scene with",
    "show me",
    "draw",
    "please draw",
    "i want",
    "we see",
)
VERBS: Final = (
    ("is", "are"),
    ("sits", "sit"),
    ("floats", "float"),
    ("hovers", "hover"),
    ("lies", "lie"),
    ("placed", "placed"),
    ("drawn", "drawn"),
)

PAD: Final = "<pad>"
END: Final = "<eos>"
UNKNOWN: Final = "<unk>"
MAX_TOKENS: Final = 36
_WORD: Final = re.compile(r"[a-z0-9]+|[.,]")


def _every_word() -> tuple[str, ...]:
    words: dict[str, None] = {}

    def add(*phrases: str) -> None:
        for phrase in phrases:
            words.update(dict.fromkeys(phrase.split()))

    for names in COLOURS.values():
        add(*names)
    for forms in SHAPES.values():
        for singular, plural in forms:
            add(singular, plural)
    for names in (*SIZES.values(), *COUNTS.values(), *RELATIONS.values()):
        add(*names)
    add(*CORNERS, *OPENINGS)
    for singular, plural in VERBS:
        add(singular, plural)
    add(
        "a an one single the and with there is are in at corner upper lower that which coloured , ."
    )
    return tuple(words)


TOKENS: Final = (PAD, END, UNKNOWN, *_every_word())
TOKEN_IDS: Final = {word: index for index, word in enumerate(TOKENS)}


def split_words(prompt: str) -> list[str]:
    """Split a prompt as the models' tokenizer does: lower case, words, full stops and commas."""
    return _WORD.findall(prompt.lower())


def unknown_words(prompt: str) -> list[str]:
    """List the words of a prompt that the models never saw, each once, in order."""
    seen = dict.fromkeys(re.findall(r"\w+", prompt.lower()))
    return [word for word in seen if word not in TOKEN_IDS]

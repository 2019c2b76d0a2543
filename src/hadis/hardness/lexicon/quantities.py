"""Words that say how many, and words for pictures themselves, which are no objects in them."""

from collections.abc import Mapping
from typing import Final

from hadis.hardness.lexicon import lists

LARGEST: Final = 12  # more than a dozen of a thing is a texture, not so many objects

NUMBERS: Final[Mapping[str, int]] = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "dozen": 12, "dozens": 12, "hundreds": 12,
    "thousands": 12, "both": 2, "couple": 2, "pair": 2, "trio": 3, "several": 3, "few": 3,
    "some": 2, "many": 5, "multiple": 3, "numerous": 5, "various": 3, "countless": 12,
}  # fmt: skip
"""Numerals and quantifiers by the number of objects they stand for."""

COLLECTIONS: Final[Mapping[str, int]] = {
    "array": 4, "bunch": 4, "bundle": 4, "cluster": 4, "collection": 4, "crowd": 8, "flock": 6,
    "group": 4, "herd": 6, "heap": 5, "line": 4, "lot": 5, "lots": 5, "pack": 4, "pairs": 4,
    "pile": 5, "pyramid": 5, "row": 4, "rows": 8, "school": 6, "series": 4, "set": 3, "stack": 4,
    "stacks": 8, "swarm": 8,
}  # fmt: skip
"""Nouns that, before "of", multiply what follows; alone they are objects like any other."""

MEDIUMS: Final = lists.words(
    """
    artwork cartoon closeup depiction doodle drawing drawings engraving graphic illustration
    illustrations image images kind painting paintings photo photograph photographs photography
    photos pic picture pictures portrait portrayal poster render rendering scene screenshot shot
    sketch snapshot sort style type version view wallpaper watercolor watercolour
    """
)
"""Nouns for the picture or its making: objects only where no "of" or "with" follows them."""

PLACES: Final = lists.words(
    """
    back background bottom center centre corner distance edge foreground front half left middle
    part right side sides top
    """
)
"""Nouns that name a part of the picture or of a thing; they belong to relations."""

CRAFT: Final = lists.words(
    """
    4k 8k artstation bokeh detail details focus hd k lighting masterpiece megapixels quality
    resolution uhd
    """
)
"""Words of prompt craft that ask for a manner, not for an object."""

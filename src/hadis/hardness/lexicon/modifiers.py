"""Adjective-like words: which nouns modify, and which adjectives only count or point."""

from typing import Final

from hadis.hardness.lexicon import lists

COLOURS: Final = lists.words(
    """
    amber aqua aquamarine auburn azure beige black blond blonde blue bronze brown burgundy
    cobalt copper coral crimson cyan ebony emerald fuchsia gold golden gray green grey indigo
    ivory jade khaki lavender lilac lime magenta maroon mauve mustard navy ochre olive orange
    peach periwinkle pink plum purple red rose ruby rust sapphire scarlet sepia silver tan teal
    turquoise vermilion violet white yellow
    """
)
"""Colours, which taggers now and then take for nouns; before another noun each is a modifier."""

POINTING: Final = lists.words(
    """
    another any certain each every few first last left less many more most much next only other
    own right same second several single some such third various
    """
)
"""Adjectives that count, order or point, and describe nothing one could draw."""

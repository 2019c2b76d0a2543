"""Tagged words to the raw amount of each feature: the rules of table 1, spelled out.

One pass marks the words that belong to spatial relations; every other rule then looks at what is
left, so that the "left" of "to the left of" is no modifier and the "top" of "on top of" no object.
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from hadis.hardness.lexicon import abstractness, modifiers, quantities, relations, verbs
from hadis.hardness.reading import Word

_COMMON_ZIPF: Final = 5.0  # 100 in a million words ("red", "dog") and above: not rare at all
_RARE_ZIPF: Final = 2.0  # 1 in ten million ("axolotl") and below: as rare as it gets
_CONTENT: Final = ("FW", "JJ", "NN", "RB", "UH", "VB")  # tag prefixes of words that mean something
_WORD: Final = re.compile(r"\w+")
_NO_OBJECTS: Final = quantities.MEDIUMS | quantities.PLACES | quantities.CRAFT


@functools.cache
def load() -> Mapping[str, float]:
    """Load the frequencies of English words; later calls return the same ones."""
    import wordfreq

    frequencies: Mapping[str, float] = wordfreq.get_frequency_dict("en", wordlist="large")
    return frequencies


def amounts(prompt: str, words: Sequence[Word]) -> dict[str, float]:
    """Return the raw amount of every feature; `words` may be the first part of `prompt` only."""
    placed, placing = _relations(words)
    return {
        "prompt_length": float(len(_WORD.findall(prompt))),
        "token_rarity": _rarity(words),
        "object_count": max(0.0, _objects(words, placed) - 1.0),
        "abstractness": float(_abstract(words, placed)),
        "attribute_density": float(_modifiers(words, placed)),
        "spatial_relations": placing,
        "action_verbs": float(_actions(words, placed)),
        "named_entities": float(sum(word.starts_name for word in words)),
    }


def _relations(words: Sequence[Word]) -> tuple[list[bool], float]:
    """Mark the words of relations, the longest phrase first, and add the relations up."""
    texts = [word.text for word in words]
    placed = [False] * len(words)
    amount = 0.0
    index = 0
    while index < len(words):
        length = relations.phrase_at(texts, index)
        if length:
            amount += 1.0
        elif texts[index] in relations.CLEAR:
            length, amount = 1, amount + 1.0
        elif texts[index] in relations.VAGUE and words[index].tag in ("IN", "RP"):
            length, amount = 1, amount + 0.5
        placed[index : index + length] = [True] * length
        index += length or 1
    return placed, amount


def _rarity(words: Sequence[Word]) -> float:
    """Add up how rare the different content words are, each from 0 (common) to 1."""
    texts = {word.text for word in words if word.tag.startswith(_CONTENT) and word.text.isalpha()}
    return math.fsum(_rarity_of(text) for text in sorted(texts))


def _rarity_of(text: str) -> float:
    frequency = load().get(text, 0.0)
    zipf = math.log10(frequency) + 9.0 if frequency else 0.0
    return min(1.0, max(0.0, (_COMMON_ZIPF - zipf) / (_COMMON_ZIPF - _RARE_ZIPF)))


def _is_noun(words: Sequence[Word], index: int, placed: Sequence[bool]) -> bool:
    if index >= len(words) or placed[index]:
        return False
    if words[index].text in ("one", "ones"):  # "a blue one"
        return index > 0 and words[index - 1].tag.startswith("JJ")
    return words[index].tag.startswith("NN")


def _is_head(words: Sequence[Word], index: int, placed: Sequence[bool]) -> bool:
    """Say whether a noun ends its run of nouns: "urchin" in "sea urchin", not "sea"."""
    follows = index + 1
    return _is_noun(words, index, placed) and not (
        _is_noun(words, follows, placed) and not words[follows].starts_clause
    )


def _objects(words: Sequence[Word], placed: Sequence[bool]) -> float:
    """Count what the prompt wants to see, with numbers: "two cats and a dog" is three."""
    total = 0
    collected = 0
    for index, word in enumerate(words):
        if not _is_head(words, index, placed) or word.text in _NO_OBJECTS or is_abstract(word):
            continue
        if _is_stated_colour(words, index):
            continue
        of_follows = index + 1 < len(words) and words[index + 1].text == "of"
        number = _number_before(words, index)
        if of_follows and word.text in quantities.COLLECTIONS:
            collected = quantities.COLLECTIONS[word.text]
            continue
        total += number or collected or (2 if word.tag in ("NNS", "NNPS") else 1)
        collected = 0
    return float(total)


def _is_stated_colour(words: Sequence[Word], index: int) -> bool:
    """Say whether a colour follows a verb: "a square coloured violet", "the disc is orange"."""
    return (
        words[index].text in modifiers.COLOURS
        and index > 0
        and words[index - 1].tag.startswith("VB")
        and not words[index].starts_clause
    )


def _number_before(words: Sequence[Word], head: int) -> int:
    """Return the number in front of a noun, over its modifiers; 0 when there is none."""
    index = head
    while index > 0 and not words[index].starts_clause:
        index -= 1
        word = words[index]
        if word.text in quantities.NUMBERS:
            return quantities.NUMBERS[word.text]
        if word.tag == "CD":
            return _numeral(word.text)
        if not word.tag.startswith(("JJ", "NN", "VBN", "VBG", "RB")):
            return 0
    return 0


def _abstract(words: Sequence[Word], placed: Sequence[bool]) -> int:
    """Count abstract adjectives, and abstract nouns that are not mere parts of a compound."""
    return sum(
        is_abstract(word) and (word.tag.startswith("JJ") or _is_head(words, index, placed))
        for index, word in enumerate(words)
    )


def _numeral(text: str) -> int:
    """Read a numeral that is not in `quantities.NUMBERS`; a year or a ratio says nothing."""
    if text.isascii() and text.isdecimal():
        return min(int(text), quantities.LARGEST) if len(text) < 4 else 0
    return quantities.LARGEST if text.isalpha() else 0


def is_abstract(word: Word) -> bool:
    """Say whether a noun or adjective stands for something that cannot be seen."""
    if not word.tag.startswith(("NN", "JJ")) or word.tag.startswith("NNP"):
        return False
    forms = _singulars(word.text)
    if any(form in abstractness.ABSTRACT for form in forms):
        return True
    return (
        word.tag.startswith("NN")
        and not any(form in abstractness.CONCRETE or form in _NO_OBJECTS for form in forms)
        and any(
            len(form) >= abstractness.SHORTEST and form.endswith(abstractness.SUFFIXES)
            for form in forms
        )
    )


def _singulars(text: str) -> tuple[str, ...]:
    """Return a noun as it stands and what its singular may be."""
    if text.endswith("ies"):
        return text, text[:-3] + "y"
    if text.endswith(("ches", "shes", "sses", "xes")):
        return text, text[:-2]
    return (text, text[:-1]) if text.endswith("s") else (text,)


def _modifiers(words: Sequence[Word], placed: Sequence[bool]) -> int:
    """Count adjectives, colours and participles that describe something."""
    return sum(
        not placed[index] and _is_modifier(words, index, placed) for index in range(len(words))
    )


def _is_modifier(words: Sequence[Word], index: int, placed: Sequence[bool]) -> bool:
    word = words[index]
    before_noun = _is_noun(words, index + 1, placed) and not words[index + 1].starts_clause
    if word.text in modifiers.POINTING or word.text in quantities.NUMBERS:
        return False
    if word.tag.startswith("JJ"):
        return not is_abstract(word)
    if word.text in modifiers.COLOURS:
        is_noun = word.tag.startswith("NN")
        return before_noun or not is_noun or _is_stated_colour(words, index)
    return word.tag == "VBN" and before_noun and not _is_stated_colour(words, index + 1)


def _actions(words: Sequence[Word], placed: Sequence[bool]) -> int:
    """Count verbs of motion or doing; a past participle only as the passive of one."""
    total = 0
    for index, word in enumerate(words):
        if placed[index] or not word.tag.startswith("VB") or word.text in verbs.STATIC:
            continue
        if word.tag == "VBN":
            total += index + 1 < len(words) and words[index + 1].text == "by"
        else:
            total += word.text not in modifiers.COLOURS
    return total

"""The word lists are tidy: lower case, no word twice, and no word on two sides."""

import pytest

from hadis.hardness.lexicon import (
    abstractness,
    lists,
    modifiers,
    quantities,
    relations,
    verbs,
)

LISTS = {
    "abstract": abstractness.ABSTRACT,
    "concrete": abstractness.CONCRETE,
    "colours": modifiers.COLOURS,
    "pointing": modifiers.POINTING,
    "numbers": frozenset(quantities.NUMBERS),
    "collections": frozenset(quantities.COLLECTIONS),
    "mediums": quantities.MEDIUMS,
    "places": quantities.PLACES,
    "craft": quantities.CRAFT,
    "clear relations": relations.CLEAR,
    "vague relations": relations.VAGUE,
    "static verbs": verbs.STATIC,
}
EXCLUSIVE = [
    ("abstract", "concrete"),
    ("abstract", "mediums"),
    ("colours", "pointing"),
    ("numbers", "collections"),
    ("collections", "mediums"),
    ("mediums", "places"),
    ("mediums", "craft"),
    ("places", "craft"),
    ("clear relations", "vague relations"),
    ("abstract", "colours"),
]


@pytest.mark.parametrize("name", LISTS)
def test_words_are_lower_case_and_single(name: str) -> None:
    assert LISTS[name]
    assert all(word == word.lower().strip() and word.isalnum() for word in LISTS[name])


@pytest.mark.parametrize(("one", "other"), EXCLUSIVE)
def test_lists_that_mean_opposites_share_no_word(one: str, other: str) -> None:
    assert LISTS[one] & LISTS[other] == set()


def test_a_word_listed_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="listed twice: red"):
        lists.words("red green red")


def test_phrases_have_several_lower_case_words() -> None:
    assert all(len(phrase) > 1 for phrase in relations.PHRASES)
    assert all(word.islower() for phrase in relations.PHRASES for word in phrase)


@pytest.mark.parametrize(
    ("text", "want_length"),
    [
        ("to the left of the dog", 4),
        ("to the left", 3),
        ("in the top left corner of the picture", 6),
        ("on top of each other", 5),
        ("in the kitchen", 0),
        ("left", 0),
        ("left of", 2),
    ],
)
def test_the_longest_phrase_wins(text: str, want_length: int) -> None:
    assert relations.phrase_at(text.split(), 0) == want_length


def test_concrete_words_are_listed_only_where_their_ending_misleads() -> None:
    assert all(
        word.endswith(abstractness.SUFFIXES) and len(word) >= abstractness.SHORTEST
        for word in abstractness.CONCRETE
    )

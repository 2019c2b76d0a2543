"""What each feature sees in natural sentences; the wanted amounts are counted by hand."""

import pytest

from hadis.hardness import counting, features, reading, scoring


@pytest.fixture(scope="module")
def scorer() -> scoring.Scorer:
    scoring.load()
    return scoring.Scorer()


def amounts(prompt: str) -> dict[str, float]:
    words, _ = reading.read(prompt)
    return counting.amounts(prompt, words)


@pytest.mark.parametrize(
    ("prompt", "want_words"),
    [("a dog", 2), ("two red-brown dogs, at rest", 6), ("", 0), ("🙂", 0)],
)
def test_the_length_is_the_number_of_words(prompt: str, want_words: int) -> None:
    assert amounts(prompt)["prompt_length"] == want_words


def test_the_length_sees_the_whole_of_a_prompt_that_is_cut_for_the_tagger() -> None:
    assert amounts("dog " * 5_000)["prompt_length"] == 5_000


def test_rare_words_count_more_than_common_ones_and_function_words_not_at_all() -> None:
    common, rare = amounts("a house by the water"), amounts("an axolotl by the sousaphone")
    assert common["token_rarity"] < 0.1
    assert rare["token_rarity"] > 1.2
    assert amounts("of the and to in")["token_rarity"] == 0


def test_a_word_said_twice_is_not_rarer_than_said_once() -> None:
    once, twice = amounts("an axolotl"), amounts("an axolotl and an axolotl")
    assert once["token_rarity"] == twice["token_rarity"]


@pytest.mark.parametrize(
    ("prompt", "want_beyond_first"),
    [
        ("a red circle", 0),  # one thing
        ("a red circle and a blue square", 1),
        ("a red circle next to a blue one", 1),
        ("two small blue squares above a large green triangle", 2),  # 2 + 1
        ("a picture of three tiny discs", 2),  # the picture is no object in itself
        ("please draw 4 crosses", 3),
        ("a dog, a cat, a tree", 2),
        ("a group of three dogs", 2),  # its own number goes before the group's
        ("birds", 1),  # a bare plural is two at least
        ("a sea urchin on the ocean floor", 1),  # compounds are one object
        ("a disc coloured violet and a square coloured yellow", 1),  # colours are no objects
        ("100 people", 11),  # counted up to a dozen
        ("the freedom of hope", 0),  # nothing to see
        ("a bicycle from 1970", 0),  # a year is no number of things
        ("a red square in the top left corner", 0),  # the corner is a place
    ],
)
def test_objects_are_counted_with_their_numbers(prompt: str, want_beyond_first: int) -> None:
    assert amounts(prompt)["object_count"] == want_beyond_first


@pytest.mark.parametrize(
    ("prompt", "want_abstract"),
    [
        ("a wooden table", 0),
        ("freedom", 1),
        ("the loneliness of a city", 1),
        ("the hope for justice and peace", 3),
        ("an ethereal portrait", 1),
        ("a railway station and an apartment", 0),  # they end like abstractions
        ("a visualization of bureaucratization", 2),  # in no list, known by their ending
        ("memories", 1),  # plurals too
        ("a power plant", 0),  # a part of a compound says little
    ],
)
def test_abstract_words_are_known_by_list_and_by_ending(prompt: str, want_abstract: int) -> None:
    assert amounts(prompt)["abstractness"] == want_abstract


@pytest.mark.parametrize(
    ("prompt", "want_modifiers"),
    [
        ("a dog", 0),
        ("a red dog", 1),
        ("a small shiny red dog", 3),
        ("two turquoise squares", 1),
        ("the dog on the left is brown", 1),
        ("a carved door", 1),
        ("a disc coloured violet", 1),
        ("several other dogs", 0),  # they count and point, and describe nothing
        ("a red square in the top left corner", 1),  # top and left are the relation's
    ],
)
def test_modifiers_describe_something(prompt: str, want_modifiers: int) -> None:
    assert amounts(prompt)["attribute_density"] == want_modifiers


@pytest.mark.parametrize(
    ("prompt", "want_relations"),
    [
        ("a dog and a cat", 0),
        ("a dog above a cat", 1),
        ("a square to the left of a circle", 1),
        ("a square on the left side of a circle", 1),
        ("a square on top of a circle and beneath a cross", 2),
        ("a square in the top left corner", 1),
        ("a square at the upper right and a disc at the lower left", 2),
        ("a cat in a box", 0.5),  # "in" alone says little about where
        ("a horse in front of a barn", 1),
    ],
)
def test_relations_are_the_longest_phrases_that_fit(prompt: str, want_relations: float) -> None:
    assert amounts(prompt)["spatial_relations"] == want_relations


@pytest.mark.parametrize(
    ("prompt", "want_actions"),
    [
        ("a dog", 0),
        ("a dog running in the park", 1),
        ("a man holding a cup and reading a book", 2),
        ("a boy is chased by a goose", 1),
        ("a cat sitting on a mat", 0),  # posture holds still
        ("show me a red circle", 0),
        ("a square drawn above a circle", 0),
    ],
)
def test_actions_move_and_postures_do_not(prompt: str, want_actions: int) -> None:
    assert amounts(prompt)["action_verbs"] == want_actions


@pytest.mark.parametrize(
    ("prompt", "want_names"),
    [
        ("a politician at a lectern", 0),
        ("Barack Obama at a lectern", 1),
        ("the Eiffel Tower painted by Vincent van Gogh", 2),
        ("three red circles", 0),  # a number is no name
    ],
)
def test_names_are_counted_once_however_many_words_they_have(prompt: str, want_names: int) -> None:
    assert amounts(prompt)["named_entities"] == want_names


def test_amounts_saturate_inside_the_unit_interval() -> None:
    nothing = features.normalise(dict.fromkeys(features.NAMES, 0.0))
    at_scale = features.normalise(dict(features.SCALES))
    endless = features.normalise(dict.fromkeys(features.NAMES, 1e9))
    assert set(nothing.values()) == {0.0}
    assert set(at_scale.values()) == {0.632121}  # 1 - 1/e
    assert set(endless.values()) == {1.0}


@pytest.mark.parametrize(
    ("easier", "harder"),
    [
        ("a red circle", "a small red circle"),
        ("a small red circle", "a small red circle above a large blue square"),
        (
            "a red circle above a blue square",
            "three red circles above a blue square and to the left of two green crosses",
        ),
        ("a dog", "a dog chasing a cat"),
        ("a portrait of a woman", "a portrait of Frida Kahlo"),
        ("a stone in a garden", "nostalgia for lost innocence"),
        ("a house by the water", "an axolotl by the sousaphone"),
    ],
)
def test_the_harder_of_two_prompts_scores_higher(
    scorer: scoring.Scorer, easier: str, harder: str
) -> None:
    assert scorer.score(easier).score < scorer.score(harder).score

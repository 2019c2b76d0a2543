"""The generator draws what its captions say, and the checker agrees with it and only with it."""

import random
from dataclasses import replace

import numpy as np
import pytest

from hadis_scenes import captions, checking, compositions, drawing, vocabulary
from hadis_scenes.compositions import Composition, Group


def scenes(count, category=None, seed=0):
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    found = []
    while len(found) < count:
        composition = compositions.random_composition(rng, category)
        objects = drawing.lay_out(composition, noise)
        if objects is not None:
            found.append((composition, drawing.draw(objects, noise)))
    return found


@pytest.mark.parametrize("category", compositions.CATEGORIES)
def test_every_drawn_scene_passes_its_own_check(category):
    for composition, image in scenes(60, category):
        assert checking.check(image, composition), composition


def test_a_scene_fails_the_check_of_another_scene():
    drawn = scenes(200)
    others = [composition for composition, _ in drawn[1:]] + [drawn[0][0]]
    passed = [checking.check(image, o) for (_, image), o in zip(drawn, others, strict=True)]
    assert np.mean(passed) < 0.03


RED, BLUE = Group(1, "", "red", "circle"), Group(1, "", "blue", "square")


def picture(*objects):
    return drawing.draw(list(objects), np.random.default_rng(0))


RED_AT_LEFT = picture(
    drawing.Object(0, "red", "circle", 16, 30, 8), drawing.Object(1, "blue", "square", 48, 34, 8)
)


@pytest.mark.parametrize(
    ("relations", "want_pass"),
    [
        (((0, "left", 1),), True),
        (((1, "left", 0),), False),
        (((0, "above", 1),), False),
        (((1, "above", 0),), False),
        ((), True),
    ],
)
def test_relations_are_judged_by_where_objects_lie(relations, want_pass):
    composition = Composition("relation", "relation", (RED, BLUE), relations)
    assert checking.check(RED_AT_LEFT, composition) is want_pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "green"},
        {"shape": "triangle"},
        {"size": "small"},
        {"count": 2},
    ],
)
def test_one_wrong_attribute_fails_the_picture(wrong):
    large = picture(drawing.Object(0, "red", "circle", 30, 30, 11))
    right = Composition("single", "single", (replace(RED, size="large"),))
    assert checking.check(large, right)
    assert not checking.check(large, replace(right, groups=(replace(RED, **wrong),)))


def test_an_extra_object_and_a_missing_one_fail_the_picture():
    both = Composition("two", "two", (RED, BLUE))
    assert checking.check(RED_AT_LEFT, both)
    assert not checking.check(RED_AT_LEFT, Composition("single", "single", (RED,)))
    assert not checking.check(picture(drawing.Object(0, "red", "circle", 16, 30, 8)), both)


def test_corners_are_judged_by_where_an_object_lies():
    at_top_left = picture(drawing.Object(0, "red", "circle", 12, 12, 8))
    for corner in vocabulary.CORNERS:
        composition = Composition("complex", "corners", (RED,), (), ((0, corner),))
        assert checking.check(at_top_left, composition) is (corner == "top left")


def test_noise_is_no_scene():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert not checking.check(noise, Composition("single", "single", (RED,)))


def test_captions_name_each_group_once_and_fit_the_token_limit():
    rng = random.Random(0)
    for _ in range(300):
        composition = compositions.random_composition(rng)
        caption = captions.caption(rng, composition)
        named = [index for index in caption.nouns if index >= 0]
        assert sorted(named) == list(range(len(composition.groups)))
        assert len(caption.words) < vocabulary.MAX_TOKENS
        assert vocabulary.split_words(caption.text) == caption.words
        assert vocabulary.unknown_words(caption.text) == []


def test_unknown_words_are_listed_once_in_order():
    want_unknown = ["astronaut", "riding", "horse"]
    prompt = "A red circle, an astronaut riding a horse and an Astronaut"
    assert vocabulary.unknown_words(prompt) == want_unknown


def test_words_in_other_scripts_are_unknown_not_errors():
    assert vocabulary.unknown_words("ein grüner Kreis 猫 🎨") == ["ein", "grüner", "kreis", "猫"]


def test_above_and_below_are_one_combination():
    one = Composition("relation", "relation", (RED, BLUE), ((0, "above", 1),))
    same = Composition("relation", "relation", (BLUE, RED), ((1, "above", 0),))
    other = Composition("relation", "relation", (RED, BLUE), ((1, "above", 0),))
    assert compositions.combination(one) == compositions.combination(same)
    assert compositions.combination(one) != compositions.combination(other)


def test_a_composition_survives_json():
    for composition, _ in scenes(50):
        again = Composition.from_json(composition.category, composition.as_json())
        assert again == composition

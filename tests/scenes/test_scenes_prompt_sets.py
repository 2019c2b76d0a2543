"""The shipped prompt sets are what the evaluation claims of them."""

from collections import Counter

import pytest

from hadis_scenes import compositions, prompts, vocabulary


@pytest.fixture(scope="module")
def sets():
    return {name: prompts.shipped(name) for name in ("test", "profile")}


def test_there_are_at_least_200_test_prompts_of_every_category(sets):
    counts = Counter(item.category for item in sets["test"])
    assert set(counts) == set(compositions.CATEGORIES)
    assert min(counts.values()) >= 200


def test_there_are_at_least_1500_profile_prompts(sets):
    assert len({item.prompt for item in sets["profile"]}) >= 1500


def test_test_prompts_are_held_out_and_profile_prompts_are_not(sets):
    assert all(compositions.is_held_out(item.composition) for item in sets["test"])
    assert not any(compositions.is_held_out(item.composition) for item in sets["profile"])


def test_profile_and_tuning_prompts_share_no_combination(sets):
    tuning = prompts.draw(1, "tuning", dict.fromkeys(compositions.CATEGORIES, 40))
    assert all(prompts.is_for_profile(item.composition) for item in sets["profile"])
    assert not any(prompts.is_for_profile(item.composition) for item in tuning)
    assert not any(compositions.is_held_out(item.composition) for item in tuning)


def test_every_shipped_prompt_uses_known_words_only(sets):
    for items in sets.values():
        assert [i.prompt for i in items if vocabulary.unknown_words(i.prompt)] == []


def test_about_a_tenth_of_single_objects_is_held_out():
    singles = [
        compositions.Composition("single", "single", (compositions.Group(1, size, colour, shape),))
        for size in compositions.SIZES
        for colour in compositions.COLOURS
        for shape in compositions.SHAPES
    ]
    held_out = sum(compositions.is_held_out(single) for single in singles)
    assert 0.05 * len(singles) <= held_out <= 0.2 * len(singles)

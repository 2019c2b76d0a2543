"""A cascade's weights over the defaults, and what is refused."""

import math

import pytest

from hadis.errors import InvalidInput
from hadis.hardness import features, scoring, weights


def test_defaults_name_every_feature_in_order() -> None:
    assert tuple(weights.DEFAULT) == features.NAMES


def test_a_cascade_overrides_only_the_features_that_it_names() -> None:
    # the others add up to 6.5 - 1.0 = 5.5
    resolved = weights.resolve({"object_count": 5.5})
    assert resolved["object_count"] == pytest.approx(0.5)
    assert resolved["spatial_relations"] == pytest.approx(1.0 / 11.0)


def test_only_the_proportions_of_weights_matter() -> None:
    doubled = {name: 2 * weight for name, weight in weights.DEFAULT.items()}
    assert weights.resolve(doubled) == pytest.approx(weights.resolve({}))


def test_zero_switches_a_feature_off() -> None:
    off = {name: 0.0 for name in features.NAMES if name != "named_entities"}
    scorer = scoring.Scorer(off)
    assert scorer.score("a red dog").score == 0.0
    paris = scorer.score("a red dog in Paris")
    assert paris.score == paris.features["named_entities"] > 0.0


def test_a_negative_weight_lets_a_feature_make_prompts_easier() -> None:
    only = dict.fromkeys(features.NAMES, 0.0) | {"attribute_density": -1.0}
    hardness = scoring.Scorer(only).score("a small red dog")
    assert hardness.score == -hardness.features["attribute_density"] < 0.0


def test_weights_of_any_finite_size_stay_finite() -> None:
    huge = weights.resolve(dict.fromkeys(features.NAMES, 1.7e308))
    tiny = weights.resolve(dict.fromkeys(features.NAMES, 5e-324))
    assert huge == pytest.approx(dict.fromkeys(features.NAMES, 1 / 8))
    assert tiny == pytest.approx(dict.fromkeys(features.NAMES, 1 / 8))


@pytest.mark.parametrize(
    ("given", "want_field"),
    [
        ({"prompt_lenght": 1.0}, "hardness.weights.prompt_lenght"),
        ({"object_count": math.nan}, "hardness.weights.object_count"),
        ({"object_count": math.inf}, "hardness.weights.object_count"),
        ({"object_count": True}, "hardness.weights.object_count"),
        ({"object_count": "1"}, "hardness.weights.object_count"),
        (dict.fromkeys(features.NAMES, 0), "hardness.weights"),
    ],
)
def test_wrong_weights_are_refused_by_name(given: dict[str, float], want_field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        scoring.Scorer(given)
    assert caught.value.field == want_field
    assert want_field in str(caught.value)


def test_an_unknown_feature_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="prompt_length, token_rarity, object_count"):
        weights.resolve({"colour": 1.0})

"""The grid search finds planted weights, reports honestly and never depends on chance."""

import time

import numpy as np
import pytest

from hadis.errors import InvalidInput
from hadis.hardness import features, weights
from hadis_profiler import tuning


def prompts(count: int, seed: int = 7) -> list[dict[str, float]]:
    """Features like those of real prompts: a few levels each, many ties."""
    generator = np.random.default_rng(seed)
    levels = np.round(1 - np.exp(-generator.poisson(1.2, (count, 8)) / 2), 6)
    return [dict(zip(features.NAMES, map(float, row), strict=True)) for row in levels]


def planted(rows: list[dict[str, float]], noise: float, **true: float) -> list[float]:
    generator = np.random.default_rng(11)
    return [
        sum(weight * row[name] for name, weight in true.items()) + noise * generator.normal()
        for row in rows
    ]


def test_tied_values_share_their_mean_rank() -> None:
    ranks = tuning.mean_ranks(np.array([0.3, 0.1, 0.3, 0.2, 0.3]))
    assert ranks.tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]  # ranks 3, 4, 5 share 4


def test_the_rank_correlation_is_spearmans() -> None:
    # ranks 1 2 3 4 against 1 3 2 4: 1 - 6 (0 + 1 + 1 + 0) / (4 * 15) = 0.8
    found = tuning.rank_correlation(np.array([1.0, 2, 3, 4]), np.array([10.0, 30, 20, 40]))
    assert found == pytest.approx(0.8)
    assert tuning.rank_correlation(np.ones(4), np.arange(4.0)) == 0.0


def test_the_routing_area_is_what_a_sweep_of_the_threshold_gains() -> None:
    # Gains 1, 0, 0, 3, hardest last. Shares 0, 1/4, ... 1 gain 0, 3, 3, 3, 4 over four prompts;
    # by trapezia: (1.5 + 3 + 3 + 3.5) / 4 / 4 = 0.6875. A random router: half of the mean 1.
    gains = np.array([1.0, 0, 0, 3])
    assert tuning.routing_area(np.arange(4.0), gains) == pytest.approx(0.6875 - 0.5)
    assert tuning.routing_area(np.ones(4), gains) == pytest.approx(0.0)


def test_planted_weights_are_found_on_unseen_prompts() -> None:
    rows = prompts(600)
    targets = planted(rows, 0.1, spatial_relations=1.0, named_entities=0.5)
    found = tuning.tune(rows, targets, objective=tuning.rank_correlation)
    assert found.weights["spatial_relations"] == 1.0
    assert found.weights["named_entities"] == pytest.approx(0.5, abs=0.15)
    others = set(features.NAMES) - {"spatial_relations", "named_entities"}
    assert all(found.weights[name] < 0.15 for name in others)
    assert found.tuned_value > 0.9 > found.baseline_value
    assert found.helps
    assert found.gain_low < found.gain < found.gain_high


def test_a_feature_that_makes_prompts_easier_gets_a_negative_weight_when_signs_are_allowed() -> (
    None
):
    rows = prompts(400)
    targets = planted(rows, 0.1, spatial_relations=1.0, prompt_length=-1.0)
    signed = tuning.tune(rows, targets, signed=True)
    unsigned = tuning.tune(rows, targets)
    assert signed.weights["spatial_relations"] > 0.8
    assert signed.weights["prompt_length"] < -0.8
    assert min(unsigned.weights.values()) >= 0.0
    assert signed.tuned_value > unsigned.tuned_value
    assert signed.baseline_value == unsigned.baseline_value


def test_on_pure_noise_no_gain_is_claimed() -> None:
    rows = prompts(400)
    noise = np.random.default_rng(3).normal(size=400).tolist()
    found = tuning.tune(rows, noise)
    assert found.train_gain > 0.0  # the search always finds something on what it looks at
    assert not found.helps


def test_features_that_tell_nothing_get_no_weight_when_signs_are_allowed() -> None:
    rows = prompts(600)
    found = tuning.tune(rows, planted(rows, 0.3, object_count=1.0), signed=True)
    assert found.weights["object_count"] == 1.0
    assert sum(weight == 0.0 for weight in found.weights.values()) >= 5
    kept = tuning.tune(rows, [1.0] * len(rows), baseline={"abstractness": 3.0}, signed=True)
    assert kept.weights["abstractness"] == 1.0
    assert kept.gain == 0.0
    assert not kept.helps


def test_a_gain_is_over_the_weights_in_force() -> None:
    rows = prompts(400)
    targets = planted(rows, 0.1, spatial_relations=1.0)
    others = {name: 0.0 for name in features.NAMES if name != "spatial_relations"}
    over_default = tuning.tune(rows, targets)
    over_truth = tuning.tune(rows, targets, baseline=others)
    assert over_default.helps
    assert over_truth.baseline_value > over_default.baseline_value
    assert not over_truth.helps


def test_a_search_gives_the_same_result_twice_and_is_quick() -> None:
    rows = prompts(300)
    targets = planted(rows, 1.0, object_count=1.0)
    started_s = time.process_time()
    first = tuning.tune(rows, targets, seed=5)
    assert time.process_time() - started_s < 20.0
    assert tuning.tune(rows, targets, seed=5) == first


def test_tuned_weights_are_weights_of_a_cascade() -> None:
    rows = prompts(100)
    found = tuning.tune(rows, planted(rows, 0.1, action_verbs=1.0))
    assert tuple(found.weights) == features.NAMES
    assert weights.resolve(found.weights)


@pytest.mark.parametrize(
    ("count", "targets", "share", "want_words"),
    [
        (30, 29, 0.5, "29 targets"),
        (10, 10, 0.5, "too few"),
        (30, 30, 1.0, "validation_share"),
    ],
)
def test_unusable_samples_are_refused(
    count: int, targets: int, share: float, want_words: str
) -> None:
    with pytest.raises(InvalidInput, match=want_words):
        tuning.tune(prompts(count), [0.0] * targets, validation_share=share)


def test_targets_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="finite"):
        tuning.tune(prompts(30), [float("nan")] * 30)

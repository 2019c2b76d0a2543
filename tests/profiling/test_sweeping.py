"""Threshold sweep: ratios are those that the comparison has, quality is what is delivered."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hadis.errors import InvalidInput
from hadis.profiling import sweeping
from hadis.profiling.outcomes import Outcomes
from hadis.profiling.sweeping import Sweep
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Deliver, ProfileRow

A, B = ModelName("a"), ModelName("b")


def some_outcomes(count: int = 200, seed: int = 0, *, digits: int = 3) -> Outcomes:
    draw = np.random.default_rng(seed)
    scores = {name: draw.random((2, count)).round(digits) for name in (A, B)}
    fulfilled = {
        A: (draw.random((2, count)) < 0.3 + 0.4 * scores[A]).astype(float),
        B: (draw.random((2, count)) < 0.5 + 0.4 * scores[B]).astype(float),
    }
    prompts = tuple(f"prompt {n}" for n in range(count))
    return Outcomes(prompts, draw.random(count).round(digits), scores, fulfilled)


def replayed(outcomes: Outcomes, row: ProfileRow, deliver: Deliver) -> tuple[float, float, float]:
    """Route every image one by one: shares of light and heavy passes, and what was delivered."""
    light = heavy = good = 0.0
    for seed in range(outcomes.seeds):
        other = (seed + 1) % outcomes.seeds
        for n, hardness in enumerate(outcomes.hardness):
            second = outcomes.fulfilled[row.heavy][other, n]
            if hardness >= row.hardness_threshold:
                heavy, good = heavy + 1, good + second
                continue
            light += 1
            first, score = (
                outcomes.fulfilled[row.light][seed, n],
                outcomes.scores[row.light][seed, n],
            )
            if score >= row.quality_threshold:
                good += first
                continue
            heavy += 1
            better = outcomes.scores[row.heavy][other, n] >= score
            good += second if deliver is Deliver.HEAVY or better else first
    images = outcomes.seeds * len(outcomes.prompts)
    return light / images, heavy / images, good / images


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(Deliver), st.integers(1, 3))
def test_every_row_is_what_routing_one_by_one_gives(
    seed: int, deliver: Deliver, digits: int
) -> None:
    outcomes = some_outcomes(60, seed, digits=digits)
    rows = sweeping.sweep(outcomes, deliver, Sweep((0.0, 0.3, 0.7), (0.0, 0.2, 0.6, 1.0)))
    assert {(row.light, row.heavy) for row in rows} == {(A, A), (A, B), (B, B)}
    for row in rows:
        want = replayed(outcomes, row, deliver)
        got = (row.light_ratio, row.heavy_ratio, row.measured["fulfilment"])
        assert got == pytest.approx(want, abs=1e-12)
        assert row.direct_ratio + row.light_ratio == pytest.approx(1.0)


def test_equal_values_stay_on_one_side() -> None:
    values = np.array([0.1] * 50 + [0.5] * 30 + [0.9] * 20)
    threshold, above = sweeping.cut(values, 0.45)
    assert 0.1 < threshold <= 0.5
    assert above.mean() == 0.5
    threshold, above = sweeping.cut(values, 0.0)
    assert threshold == math.inf
    assert not above.any()


def test_thresholds_do_not_depend_on_rounding() -> None:
    values = np.array([0.1, 0.2, 0.3, 0.4])
    threshold, above = sweeping.cut(values, 0.5)
    assert threshold == pytest.approx(0.25)
    assert above.tolist() == [False, False, True, True]


def test_rejecting_everything_escalates_every_light_image() -> None:
    rows = sweeping.sweep(some_outcomes(), Deliver.HEAVY, Sweep((0.0,), (1.0,)))
    assert {row.quality_threshold for row in rows} == {sweeping.ESCALATE_ALL}
    assert {row.heavy_ratio for row in rows} == {1.0}


def test_delivering_the_better_image_is_never_worse_with_perfect_scores() -> None:
    outcomes = some_outcomes()
    perfect = Outcomes(
        outcomes.prompts, outcomes.hardness, dict(outcomes.fulfilled), outcomes.fulfilled
    )
    heavy = sweeping.sweep(perfect, Deliver.HEAVY)
    better = sweeping.sweep(perfect, Deliver.BETTER)
    for first, second in zip(heavy, better, strict=True):
        assert second.measured["fulfilment"] >= first.measured["fulfilment"]


def test_features_give_a_frechet_distance_of_their_own_name() -> None:
    outcomes = some_outcomes(50)
    draw = np.random.default_rng(1)
    features = {name: draw.normal(size=(2, 50, 3)) for name in (A, B)}
    reference = draw.normal(size=(50, 3))
    with_features = Outcomes(
        outcomes.prompts,
        outcomes.hardness,
        outcomes.scores,
        outcomes.fulfilled,
        features,
        reference,
    )
    rows = sweeping.sweep(with_features, Deliver.HEAVY, Sweep((0.0,), (0.0, 0.5)))
    assert all(row.measured["clip_fd"] > 0 for row in rows)


def test_measurements_that_do_not_match_are_refused() -> None:
    good = some_outcomes(10)
    with pytest.raises(InvalidInput, match="9 hardness scores for 10 prompts"):
        Outcomes(good.prompts, good.hardness[:9], good.scores, good.fulfilled)
    holed = {**good.scores, A: np.where(np.arange(10) == 4, np.nan, good.scores[A])}
    with pytest.raises(InvalidInput, match="model a has no score or fulfilment for prompt 4"):
        Outcomes(good.prompts, good.hardness, holed, good.fulfilled)

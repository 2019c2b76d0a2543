"""The Frechet distance against what can be worked out by hand."""

import numpy as np
import pytest

from hadis.errors import InvalidInput
from hadis.profiling import frechet


def test_equal_sets_are_at_distance_zero() -> None:
    features = np.random.default_rng(0).normal(size=(200, 8))
    assert frechet.distance(features, features) == pytest.approx(0.0, abs=1e-9)


def test_a_shift_counts_squared() -> None:
    features = np.random.default_rng(0).normal(size=(500, 3))
    assert frechet.distance(features, features + np.array([3.0, 0.0, 4.0])) == pytest.approx(25.0)


def test_a_scale_counts_by_the_difference_of_the_deviations() -> None:
    # In one dimension: (m1 - m2)^2 + (s1 - s2)^2.
    features = np.random.default_rng(0).normal(size=(400, 1))
    want = (features.mean() * 2) ** 2 + (2 * features.std(ddof=1)) ** 2
    assert frechet.distance(features, features * 3.0) == pytest.approx(want)


def test_it_is_symmetric_and_survives_singular_covariances() -> None:
    draw = np.random.default_rng(0)
    first = np.repeat(draw.normal(size=(60, 1)), 4, axis=1)
    second = draw.normal(size=(60, 4))
    there, back = frechet.distance(first, second), frechet.distance(second, first)
    assert there == pytest.approx(back, rel=1e-6)


def test_features_that_do_not_match_are_refused() -> None:
    with pytest.raises(InvalidInput, match="features of 3 and 4 numbers"):
        frechet.distance(np.zeros((5, 3)), np.zeros((5, 4)))
    with pytest.raises(InvalidInput, match="at least two rows"):
        frechet.distance(np.zeros((1, 3)), np.zeros((5, 3)))

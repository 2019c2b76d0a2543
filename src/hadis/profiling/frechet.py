"""Frechet distance between two sets of feature vectors, each taken as a Gaussian."""

import numpy as np
from numpy.typing import NDArray

from hadis.errors import InvalidInput

Floats = NDArray[np.float64]


def distance(first: Floats, second: Floats) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of rows of features.

    The trace of the root is the sum of the square roots of the eigenvalues of C1^(1/2) C2 C1^(1/2),
    which is symmetric: no general matrix root is needed.
    """
    for name, features in (("first", first), ("second", second)):
        if features.ndim != 2 or len(features) < 2:
            raise InvalidInput(f"the {name} set of features needs at least two rows")
    if first.shape[1] != second.shape[1]:
        raise InvalidInput(f"features of {first.shape[1]} and {second.shape[1]} numbers")
    gap = first.mean(axis=0) - second.mean(axis=0)
    cov_first = np.atleast_2d(np.cov(first, rowvar=False))
    cov_second = np.atleast_2d(np.cov(second, rowvar=False))
    root = _root(cov_first)
    # Rounding makes tiny eigenvalues negative; they are zero.
    between = np.clip(np.linalg.eigvalsh(root @ cov_second @ root), 0.0, None)
    spread = np.trace(cov_first) + np.trace(cov_second) - 2.0 * np.sqrt(between).sum()
    return float(max(gap @ gap + spread, 0.0))


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T)

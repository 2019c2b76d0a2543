"""Hardness weights by grid search: which prompts gain most from going straight to a heavy model.

The measure is the area under the curve of quality against the share of prompts that is sent
straight to the heaviest model instead of the lightest, hardest first. It rewards weights that find
the prompts on which the heavy model makes a difference, not those on which both fail.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from hadis.profiling.outcomes import Floats, Outcomes

LEVELS = (0.0, 0.5, 1.0)


def tune(
    features: Sequence[Mapping[str, float]], outcomes: Outcomes
) -> tuple[dict[str, float], float, float]:
    """Return the best weights, their area and the area of a random order.

    A feature that makes prompts easier gets a negative weight. `outcomes.models` is ordered from
    light to heavy.
    """
    names = sorted(features[0])
    table = np.array([[prompt[name] for name in names] for prompt in features])
    light, heavy = outcomes.models[0], outcomes.models[-1]
    gain = (outcomes.fulfilled[heavy] - outcomes.fulfilled[light]).mean(axis=0)
    sign = np.array([_sign(table[:, column], gain) for column in range(len(names))])
    base = float(outcomes.fulfilled[light].mean() + gain.mean() / 2.0)
    best, chosen = -np.inf, np.ones(len(names))
    for levels in itertools.product(LEVELS, repeat=len(names)):
        weights = np.array(levels) * sign
        # Scores scale with the weights: only one of all multiples needs to be tried.
        if max(levels) != 1.0:
            continue
        value = area(table @ weights, gain)
        if value > best:
            best, chosen = value, weights
    tuned = {name: float(weight) for name, weight in zip(names, chosen, strict=True)}
    return tuned, best + base, base


def area(hardness: Floats, gain: Floats) -> float:
    """Return the area that the order adds to the one of a random order."""
    order = np.argsort(-hardness, kind="stable")
    curve = np.cumsum(gain[order]) / len(gain)
    return float(curve.mean() - gain.mean() / 2.0)


def _sign(feature: Floats, gain: Floats) -> float:
    if feature.std() == 0.0 or gain.std() == 0.0:
        return 1.0
    return 1.0 if np.corrcoef(feature, gain)[0, 1] >= 0.0 else -1.0

"""Hardness weights by grid search: which prompts gain most from going straight to a heavy model.

The measure is the area under the curve of quality against the share of prompts that is sent
straight to the heaviest model instead of the lightest, hardest first. It rewards weights that find
the prompts on which the heavy model makes a difference, not those on which both fail. Features that
do not go with the gain beyond chance get no weight: over a few hundred prompts the grid would find
a use for any of them.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hadis.profiling.outcomes import Floats, Outcomes

LEVELS = (0.0, 0.25, 0.5, 1.0)
STANDARD_ERRORS = 2.0
"""Correlation that a feature must have, in standard errors of a correlation by chance."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The weights, their area, and that of a random order over the same prompts."""

    weights: dict[str, float]
    area: float
    by_chance: float


def tune(features: Sequence[Mapping[str, float]], outcomes: Outcomes) -> Tuned | None:
    """Return the best weights; None when no feature tells where the heavy model helps.

    A feature that makes prompts easier gets a negative weight. `outcomes.models` is ordered from
    light to heavy.
    """
    names = sorted(features[0])
    table = np.array([[prompt[name] for name in names] for prompt in features])
    light, heavy = outcomes.models[0], outcomes.models[-1]
    gain = (outcomes.fulfilled[heavy] - outcomes.fulfilled[light]).mean(axis=0)
    signs = [_sign(table[:, column], gain) for column in range(len(names))]
    if not any(signs):
        return None
    best, chosen = -np.inf, np.zeros(len(names))
    for levels in itertools.product(*(LEVELS if sign else (0.0,) for sign in signs)):
        # Scores scale with the weights: of all multiples one is enough.
        if max(levels) != 1.0:
            continue
        weights = np.array(levels) * signs
        value = area(table @ weights, gain)
        if value > best:
            best, chosen = value, weights
    by_chance = float(outcomes.fulfilled[light].mean() + gain.mean() / 2.0)
    tuned = {name: float(weight) for name, weight in zip(names, chosen, strict=True)}
    return Tuned(tuned, best + by_chance, by_chance)


def area(hardness: Floats, gain: Floats) -> float:
    """Return the area that the order adds to the one of a random order."""
    order = np.argsort(-hardness, kind="stable")
    curve = np.cumsum(gain[order]) / len(gain)
    return float(curve.mean() - gain.mean() / 2.0)


def _sign(feature: Floats, gain: Floats) -> float:
    """Return 1 or -1 for a feature that goes with the gain or against it, 0 for one by chance."""
    if feature.std() == 0.0 or gain.std() == 0.0:
        return 0.0
    correlation = float(np.corrcoef(feature, gain)[0, 1])
    if abs(correlation) < STANDARD_ERRORS / math.sqrt(len(gain)):
        return 0.0
    return math.copysign(1.0, correlation)

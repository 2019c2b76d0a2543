"""Grid search of the feature weights (section 4.3) on measured prompts.

`tune` gets the features of prompts and what was measured on them; for a profile, what the heavy
model gained over the light one. Half of the prompts choose the weights, the other half say honestly
what the choice is worth against the weights that are in force: over a few hundred prompts a search
finds a use for any feature.

Objectives are functions of ranks only, because a threshold on the score is a cut in its ranking.
Scores tie often (short prompts share their features), so tied prompts get their mean rank: the
value that a random order among them has on average.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hadis.errors import InvalidInput
from hadis.hardness import features, weights

Array = NDArray[np.float64]
Objective = Callable[[Array, Array], float]
"""(scores, targets) of the same prompts -> how good the scores are; higher is better."""

_COARSE: Final = (0.0, 0.5, 1.0)  # every combination is tried: 3^8 - 1
_FINE: Final = tuple(level / 10 for level in range(16))  # of one weight, relative to the others
_STARTS: Final = 6  # best coarse combinations that are refined
_SWEEPS: Final = 4  # over the eight weights; later ones change nothing any more
_RESAMPLES: Final = 500  # of the validation prompts, for the interval of the gain
_STANDARD_ERRORS: Final = 2.0  # that a feature's correlation must have to be more than chance

FEWEST: Final = 20
"""Prompts; fewer say nothing about eight weights."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Weights that a search chose, and their value on prompts it never saw.

    `gain` is tuned minus baseline on the validation prompts, `gain_low` and `gain_high` its 95 %
    bootstrap interval; `train_gain` is the flattering figure on the prompts that chose.
    """

    weights: dict[str, float]
    train_prompts: int
    validation_prompts: int
    baseline_value: float
    tuned_value: float
    train_gain: float
    gain_low: float
    gain_high: float

    @property
    def gain(self) -> float:
        """What tuning is worth on unseen prompts."""
        return self.tuned_value - self.baseline_value

    @property
    def helps(self) -> bool:
        """Whether the gain is above zero beyond chance."""
        return self.gain_low > 0.0


def rank_correlation(scores: Array, targets: Array) -> float:
    """Return Spearman's correlation; 0 when either side is constant."""
    ranks, wanted = mean_ranks(scores), mean_ranks(targets)
    ranks -= ranks.mean()
    wanted -= wanted.mean()
    scale = float(np.sqrt((ranks @ ranks) * (wanted @ wanted)))
    return float(ranks @ wanted) / scale if scale else 0.0


def routing_area(scores: Array, targets: Array) -> float:
    """Return the area under quality against heavy share, less that of a random router.

    `targets` is each prompt's quality with the heavy model minus that with the light one. As the
    threshold falls, prompts turn heavy from the hardest down; a prompt is heavy for the fraction
    of all shares that its rank says.
    """
    heavy_for = (mean_ranks(scores) - 0.5) / len(scores)
    return float(np.mean(targets * (heavy_for - 0.5)))


def mean_ranks(values: Array) -> Array:
    """Rank from 1; equal values share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ends = np.append(starts[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends + 1) / 2.0, ends - starts)
    return ranks


def tune(
    rows: Sequence[Mapping[str, float]],
    targets: Sequence[float],
    *,
    baseline: Mapping[str, float] | None = None,
    objective: Objective = routing_area,
    validation_share: float = 0.5,
    signed: bool = False,
    seed: int = 0,
) -> Tuning:
    """Search weights for prompts with features `rows` and measured `targets`.

    `baseline` are the weights to beat, laid over the defaults as a cascade's are. Equal arguments
    give equal results; a tie goes to the candidate that is found first, and the baseline is the
    first of all. Weights that are searched are never negative unless `signed`: then a feature that
    goes with lower targets among the train prompts can only lower the score, and one that goes with
    them no more than by chance gets no weight.
    """
    matrix, wanted = _validated(rows, targets)
    if not 0.0 < validation_share < 1.0:
        raise InvalidInput(
            "validation_share must lie between 0 and 1, exclusively", field="validation_share"
        )
    order = np.random.default_rng(seed).permutation(len(wanted))
    held_out = max(2, round(len(wanted) * validation_share))
    validation, train = order[:held_out], order[held_out:]
    signs = _signs(matrix[train], wanted[train]) if signed else np.ones(matrix.shape[1])
    current = _array(weights.resolve(baseline or {}))

    def value(candidate: Array) -> float:
        return objective(_scores(matrix[train], candidate), wanted[train])

    tuned = _search(value, current, signs)
    before = _scores(matrix[validation], current)
    after = _scores(matrix[validation], tuned)
    low, high = _interval(before, after, wanted[validation], objective, seed)
    return Tuning(
        weights=_named(tuned),
        train_prompts=len(train),
        validation_prompts=len(validation),
        baseline_value=objective(before, wanted[validation]),
        tuned_value=objective(after, wanted[validation]),
        train_gain=value(tuned) - value(current),
        gain_low=low,
        gain_high=high,
    )


def _validated(
    rows: Sequence[Mapping[str, float]], targets: Sequence[float]
) -> tuple[Array, Array]:
    if len(rows) != len(targets):
        raise InvalidInput(f"{len(rows)} rows of features but {len(targets)} targets")
    if len(rows) < FEWEST:
        raise InvalidInput(f"{len(rows)} prompts are too few to tune on; measure {FEWEST} or more")
    matrix = np.array([[row[name] for name in features.NAMES] for row in rows], dtype=np.float64)
    wanted = np.array(targets, dtype=np.float64)
    if not (np.isfinite(matrix).all() and np.isfinite(wanted).all()):
        raise InvalidInput("features and targets must be finite numbers")
    return matrix, wanted


def _search(value: Callable[[Array], float], current: Array, signs: Array) -> Array:
    """Try the coarse grid whole, then refine the best of it and the baseline one by one."""
    offered = [_COARSE if sign else (0.0,) for sign in signs]
    coarse = [np.array(levels) * signs for levels in itertools.product(*offered) if any(levels)]
    coarse.sort(key=value, reverse=True)  # stable: ties stay in the order of the grid
    starts = coarse[:_STARTS]
    if np.all((current == 0.0) | (np.sign(current) == signs)):
        starts.insert(0, current)
    return _best(value, [current, *(_refine(value, start, signs) for start in starts)])


def _refine(value: Callable[[Array], float], start: Array, signs: Array) -> Array:
    """Improve one weight after the other over the fine grid until nothing improves."""
    best = start
    for _ in range(_SWEEPS):
        before = best
        for column in np.flatnonzero(signs):
            best = _best(value, [best, *_variants(best, int(column), signs)])
        if best is before:
            break
    return best


def _variants(start: Array, column: int, signs: Array) -> Iterable[Array]:
    for level in _FINE:
        changed = start.copy()
        changed[column] = level * signs[column]
        if changed.any():
            yield changed


def _best(value: Callable[[Array], float], candidates: Sequence[Array]) -> Array:
    return max(candidates, key=value)  # the first of equals


def _interval(
    before: Array, after: Array, wanted: Array, objective: Objective, seed: int
) -> tuple[float, float]:
    """Bootstrap the gain over prompts: 2.5th and 97.5th percentile."""
    generator = np.random.default_rng(seed + 1)
    gains = []
    for _ in range(_RESAMPLES):
        drawn = generator.integers(0, len(wanted), len(wanted))
        gains.append(
            objective(after[drawn], wanted[drawn]) - objective(before[drawn], wanted[drawn])
        )
    low, high = np.percentile(gains, (2.5, 97.5))
    return float(low), float(high)


def _scores(matrix: Array, candidate: Array) -> Array:
    """Score as the router does, so that prompts tie here where they tie there."""
    combined: Array = np.round(matrix @ (candidate / np.abs(candidate).sum()), features.DIGITS)
    return combined


def _signs(matrix: Array, wanted: Array) -> Array:
    """Return 1 or -1 for a feature that goes with the targets or against them, 0 by chance."""
    found = np.array([rank_correlation(column, wanted) for column in matrix.T])
    by_chance = np.abs(found) < _STANDARD_ERRORS / np.sqrt(len(wanted))
    return np.where(by_chance, 0.0, np.sign(found))


def _array(named: Mapping[str, float]) -> Array:
    return np.array([named[name] for name in features.NAMES], dtype=np.float64)


def _named(candidate: Array) -> dict[str, float]:
    """Scale the largest weight to 1; three digits are more than the search resolves."""
    scaled = np.round(candidate / np.abs(candidate).max(), 3) + 0.0  # no negative zero
    return {name: float(weight) for name, weight in zip(features.NAMES, scaled, strict=True)}

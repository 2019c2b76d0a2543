"""Threshold sweep: what every pair of models delivers under every pair of thresholds.

Each image was made once; a configuration only decides which of them is delivered, so that the whole
grid costs no further image. Thresholds lie halfway between neighbouring values, where `>=` and `<`
cannot be decided by rounding, and the ratios are those that the comparison really has.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hadis.profiling import frechet
from hadis.profiling.outcomes import Bools, Floats, Outcomes
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Deliver, ProfileRow

ESCALATE_ALL = 1.01
"""Scores end at 1: this threshold rejects every light image."""
FULFILMENT = "fulfilment"
FRECHET = "clip_fd"

Step = Callable[[ProfileRow], None]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The grid: shares of prompts to send straight to heavy, and of light images to reject.

    Denser where little is sent on: that is where a busy fleet looks for the best use of its time.
    """

    direct: tuple[float, ...] = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75)
    rejected: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)


def sweep(
    outcomes: Outcomes,
    deliver: Deliver,
    grid: Sweep | None = None,
    *,
    metric: str = FULFILMENT,
    pairs: Sequence[tuple[ModelName, ModelName]] | None = None,
    on_row: Step | None = None,
) -> tuple[ProfileRow, ...]:
    """Return a row for every pair and grid point; `on_row` is called with each, for progress.

    `metric` names what `outcomes.fulfilled` measures.

    Without `pairs`, `outcomes.models` must be ordered from light to heavy: every model is paired
    with itself (a verified retry, which needs a second seed: with one only the model alone is
    measured) and with all after it.
    """
    grid = grid or Sweep()
    chosen = pairs or tuple(itertools.combinations_with_replacement(outcomes.models, 2))
    rows: list[ProfileRow] = []
    for light, heavy in chosen:
        for row in _sweep_pair(_Pair.of(outcomes, light, heavy, deliver), grid, metric):
            rows.append(row)
            if on_row is not None:
                on_row(row)
    return tuple(rows)


def cut(values: Floats, share_above: float) -> tuple[float, Bools]:
    """Return the threshold t whose share of `values >= t` is nearest to `share_above`, and those.

    Equal values stay together. A share of nothing is an infinite threshold.
    """
    distinct = np.unique(values)
    above = 1.0 - np.searchsorted(np.sort(values), distinct) / len(values)
    options = np.append(above, 0.0)
    index = int(np.argmin(np.abs(options - share_above)))
    if index == len(distinct):
        return math.inf, np.zeros(len(values), dtype=bool)
    below = distinct[index - 1] if index else distinct[0] - 1.0
    threshold = (below + distinct[index]) / 2.0
    if not below < threshold <= distinct[index]:
        threshold = distinct[index]
    return float(threshold), np.asarray(values >= threshold)


def _sweep_pair(pair: "_Pair", grid: Sweep, metric: str) -> Iterator[ProfileRow]:
    seen: set[tuple[float, float]] = set()
    directs, rejects = grid.direct, grid.rejected
    if pair.light == pair.heavy:
        # Sent straight to the same model a prompt would only go without verification.
        directs = (0.0,)
        if pair.outcomes.seeds == 1:
            rejects = (0.0,)  # the retry would be the very same image
    for direct_share, rejected_share in itertools.product(directs, rejects):
        theta, direct = cut(pair.hardness, direct_share)
        tau, rejected = reject(pair.light_score, ~direct, rejected_share)
        key = float(direct.mean()), float(rejected.mean())
        if key in seen:
            continue
        seen.add(key)
        yield pair.row(metric, theta, tau, direct, rejected)


def reject(scores: Floats, judged: Bools, share: float) -> tuple[float, Bools]:
    """Return the threshold below which about `share` of the judged scores lie, and those."""
    if share <= 0.0 or not judged.any():
        return -math.inf, np.zeros(len(scores), dtype=bool)
    threshold, _ = cut(scores[judged], 1.0 - share)
    if math.isinf(threshold):
        threshold = ESCALATE_ALL
    return threshold, judged & (scores < threshold)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Images of two models over the same prompts, light and heavy under different seeds.

    Every seed of the light model is set against the next seed of the heavy one, so that each image
    counts once in either part.
    """

    outcomes: Outcomes
    light: ModelName
    heavy: ModelName
    deliver: Deliver
    hardness: Floats
    light_score: Floats
    heavy_score: Floats

    @classmethod
    def of(
        cls, outcomes: Outcomes, light: ModelName, heavy: ModelName, deliver: Deliver
    ) -> "_Pair":
        hardness = np.tile(outcomes.hardness, outcomes.seeds)
        return cls(
            outcomes,
            light,
            heavy,
            deliver,
            hardness,
            outcomes.scores[light].ravel(),
            np.roll(outcomes.scores[heavy], -1, axis=0).ravel(),
        )

    def row(
        self, metric: str, theta: float, tau: float, direct: Bools, rejected: Bools
    ) -> ProfileRow:
        escalated = rejected
        if self.deliver is Deliver.BETTER:
            escalated = rejected & (self.heavy_score >= self.light_score)
        takes_heavy = direct | escalated
        outcomes, light, heavy = self.outcomes, self.light, self.heavy
        good = np.where(
            takes_heavy,
            np.roll(outcomes.fulfilled[heavy], -1, axis=0).ravel(),
            outcomes.fulfilled[light].ravel(),
        )
        measured = {metric: float(good.mean())}
        if outcomes.reference is not None:
            width = outcomes.reference.shape[1]
            features = np.where(
                takes_heavy[:, None],
                np.roll(outcomes.features[heavy], -1, axis=0).reshape(-1, width),
                outcomes.features[light].reshape(-1, width),
            )
            measured[FRECHET] = frechet.distance(features, outcomes.reference)
        direct_ratio = float(direct.mean())
        return ProfileRow(
            light=light,
            heavy=heavy,
            hardness_threshold=theta,
            quality_threshold=tau,
            direct_ratio=direct_ratio,
            light_ratio=1.0 - direct_ratio,
            heavy_ratio=direct_ratio + float(rejected.mean()),
            measured=measured,
        )

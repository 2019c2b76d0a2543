"""Prompt in, hardness out: the one function that the router and `hadis score` share."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hadis.hardness import counting, features, reading
from hadis.hardness.weights import resolve


@dataclass(frozen=True, slots=True)
class Hardness:
    """What makes a prompt hard, and how hard it is.

    `features` holds the eight normalised features in the order of table 1, each in [0, 1];
    `score` their weighted mean: in [0, 1] unless a cascade has negative weights, then in [-1, 1].
    `ms` is the time that this prompt took. `truncated` says that only the first
    `reading.MAX_CHARS` characters were looked at (the length feature sees the whole prompt).
    """

    features: dict[str, float]
    score: float
    ms: float
    truncated: bool = False


def load() -> None:
    """Load spaCy and the word frequencies now (1 s of CPU), instead of with the first score."""
    counting.load()
    reading.read("A first sentence from Paris")  # spaCy allocates on first use, too


class Scorer:
    """Scores prompts with a cascade's weights; equal in every process, whatever came before.

    `weights` are laid over `weights.DEFAULT`; an unknown feature is InvalidInput. Use one scorer
    from one thread at a time.
    """

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.weights = resolve(weights or {})
        self._clock = clock

    def score(self, prompt: str) -> Hardness:
        """Score one prompt; any text has a score, also an empty one."""
        started_s = self._clock()
        words, truncated = reading.read(prompt)
        normalised = features.normalise(counting.amounts(prompt, words))
        score = combine(normalised, self.weights)
        return Hardness(normalised, score, (self._clock() - started_s) * 1e3, truncated)


def combine(normalised: Mapping[str, float], resolved: Mapping[str, float]) -> float:
    """Add up features under weights that `weights.resolve` made."""
    total = math.fsum(weight * normalised[name] for name, weight in resolved.items())
    return round(total, features.DIGITS)

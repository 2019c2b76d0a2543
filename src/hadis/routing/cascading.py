"""Keep or escalate: what a quality score, a threshold and the time left mean for an image."""

from enum import StrEnum

from hadis.terms.profiles import Deliver

SEED_STEP = 0x9E3779B9
"""Added to a seed for a verified retry: 2^32 over the golden ratio, coprime to 2^32, so that
different seeds stay different and neighbours of a request's seed are not hit."""
SEED_SPACE = 2**32


class Verdict(StrEnum):
    """What becomes of a light image."""

    ACCEPT = "accept"  # good enough
    ESCALATE = "escalate"  # not good enough, and the heavy stage can still make it
    DEGRADE = "degrade"  # not good enough, but it is all there will be in time


def is_good_enough(score: float | None, quality_threshold: float) -> bool:
    """Return whether a light image may be delivered; an image nobody could score may."""
    return score is None or score >= quality_threshold


def judge(
    score: float | None,
    quality_threshold: float,
    *,
    heavy_finish_s: float | None,
    latest_finish_s: float,
) -> Verdict:
    """Return what becomes of a light image.

    `heavy_finish_s` is when the heavy stage would be done, None when no worker can run it.
    """
    if is_good_enough(score, quality_threshold):
        return Verdict.ACCEPT
    if heavy_finish_s is None or heavy_finish_s > latest_finish_s:
        return Verdict.DEGRADE
    return Verdict.ESCALATE


def prefers_light(deliver: Deliver, light_score: float | None, heavy_score: float | None) -> bool:
    """Return whether the light image of an escalated prompt is delivered after all.

    Only under `Better`, and only when it scored strictly higher.
    """
    if deliver is not Deliver.BETTER or light_score is None or heavy_score is None:
        return False
    return light_score > heavy_score


def second_seed(seed: int, *, same_model: bool) -> int:
    """Return the seed of the heavy attempt: another one when a model retries its own image."""
    return (seed + SEED_STEP) % SEED_SPACE if same_model else seed

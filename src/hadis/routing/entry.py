"""Where a prompt enters the cascade: its lane, and the light or the heavy stage of that lane."""

import math
from collections.abc import Sequence
from enum import StrEnum


class Stage(StrEnum):
    """A stage of a lane."""

    LIGHT = "light"
    HEAVY = "heavy"


class Route(StrEnum):
    """Who chooses the models of a request."""

    PLANNED = "planned"  # the plan: hardness and quality score decide
    LIGHT_ONLY = "light_only"  # the client asked for low quality: light, never escalated
    HEAVY_ONLY = "heavy_only"  # the client asked for high quality: heavy, never degraded
    PINNED = "pinned"  # the client named a model


def draw_lane(shares: Sequence[float], draw: float) -> int:
    """Return the index of the lane on which `draw`, uniform in [0, 1), falls.

    Lanes without a share are never drawn; rounding at the upper end falls to the last lane that
    has one.
    """
    upper = 0.0
    last = 0
    for index, share in enumerate(shares):
        if share <= 0.0:
            continue
        upper += share
        last = index
        if draw < upper:
            return index
    return last


def enter(route: Route, hardness: float, hardness_threshold: float) -> Stage:
    """Return the stage at which a prompt starts; pinned requests do not ask."""
    if route is Route.LIGHT_ONLY:
        return Stage.LIGHT
    if route is Route.HEAVY_ONLY:
        return Stage.HEAVY
    return Stage.HEAVY if hardness >= hardness_threshold else Stage.LIGHT


def is_judged(route: Route, quality_threshold: float) -> bool:
    """Return whether a light image needs a quality score: planned, and the stage is on."""
    return route is Route.PLANNED and not math.isinf(quality_threshold)

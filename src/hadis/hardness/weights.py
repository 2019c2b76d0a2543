"""Weights of the hardness features: the defaults, and a cascade's own over them."""

import math
from collections.abc import Mapping
from typing import Final

from hadis import errors

DEFAULT: Final[Mapping[str, float]] = {
    "prompt_length": 1.0,
    "token_rarity": 0.5,
    "object_count": 1.0,
    "abstractness": 1.0,
    "attribute_density": 0.75,
    "spatial_relations": 1.0,
    "action_verbs": 0.75,
    "named_entities": 0.5,
}
"""A starting point for models nobody has profiled; the profiler tunes a cascade's own."""


def resolve(overrides: Mapping[str, float], *, field: str = "hardness.weights") -> dict[str, float]:
    """Lay `overrides` over the defaults and scale the absolute weights to add up to one.

    A feature that is not named keeps its default, zero switches one off, and a negative weight
    lets its feature make prompts easier. InvalidInput names `field` and the feature.
    """
    for name, weight in overrides.items():
        if name not in DEFAULT:
            raise errors.InvalidInput(
                f"{field}.{name}: no such hardness feature; use any of {', '.join(DEFAULT)}",
                field=f"{field}.{name}",
            )
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise errors.InvalidInput(
                f"{field}.{name}: {weight!r} is not a number", field=f"{field}.{name}"
            )
        if not math.isfinite(weight):
            raise errors.InvalidInput(
                f"{field}.{name}: {weight} is not a finite number", field=f"{field}.{name}"
            )
    effective = {name: float(overrides.get(name, weight)) for name, weight in DEFAULT.items()}
    largest = max(abs(weight) for weight in effective.values())
    if largest == 0.0:
        raise errors.InvalidInput(
            f"{field}: every weight is zero; give at least one feature another weight", field=field
        )
    relative = {name: weight / largest for name, weight in effective.items()}
    total = math.fsum(abs(weight) for weight in relative.values())
    return {name: weight / total for name, weight in relative.items()}

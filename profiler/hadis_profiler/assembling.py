"""From measurements to a profile: tune the hardness weights, sweep, prune, note how it was made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hadis.hardness import scoring, weights
from hadis.profiling import pruning, sweeping
from hadis.profiling.outcomes import Outcomes
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Direction, ModelLatency, Profile, ProfileRow, QualityMetric
from hadis_profiler import tuning
from hadis_profiler.latencies import Latencies

DIGITS = 6
"""Measured over thousands of images at most: more digits would only be noise to read."""

Features = Sequence[dict[str, float]]


@dataclass(frozen=True, slots=True)
class Assembly:
    """A profile, the hardness weights that its thresholds go with, and the whole swept grid."""

    profile: Profile
    hardness_weights: dict[str, float]
    rows_swept: int


def features_of(prompts: Sequence[str], *, on_step: Callable[[], None] | None = None) -> Features:
    """Return the normalised hardness features of each prompt."""
    scoring.load()
    scorer = scoring.Scorer({})
    found = []
    for prompt in prompts:
        found.append(dict(scorer.score(prompt).features))
        if on_step is not None:
            on_step()
    return found


def hardness_of(features: Features, hardness_weights: dict[str, float]) -> list[float]:
    """Return the hardness score of each prompt under a cascade's weights, as the router has it."""
    resolved = weights.resolve(hardness_weights)
    return [scoring.combine(prompt, resolved) for prompt in features]


def assemble(
    cascade: Cascade,
    outcomes: Outcomes,
    features: Features,
    latencies: Latencies,
    *,
    metric: str = sweeping.FULFILMENT,
    tune: bool = True,
    overhead_s: float = 0.0,
    notes: dict[str, str] | None = None,
    on_row: Callable[[ProfileRow], None] | None = None,
) -> Assembly:
    """Return the profile of `cascade`. Without `tune` its own hardness weights are kept.

    Models are paired from fast to slow. What the discriminator never judged has no thresholds:
    with its stage disabled only rows without any are kept by the planner, not here.
    """
    by_latency = sorted(outcomes.models, key=lambda name: latencies.models[name][1])
    outcomes = replace(
        outcomes,
        scores={name: outcomes.scores[name] for name in by_latency},
        fulfilled={name: outcomes.fulfilled[name] for name in by_latency},
    )
    notes = dict(notes or {})
    tuned = dict(cascade.hardness_weights)
    found = tuning.tune(features, outcomes) if tune and len(by_latency) > 1 else None
    if found is not None:
        tuned = found.weights
        notes["hardness"] = (
            f"weights by grid search: mean {metric} over all direct shares of {by_latency[0]} > "
            f"{by_latency[-1]} is {found.area:.4f}, in random order {found.by_chance:.4f}"
        )
    outcomes = replace(outcomes, hardness=np.asarray(hardness_of(features, tuned)))
    quality = QualityMetric(metric, Direction.HIGHER)
    swept = sweeping.sweep(outcomes, cascade.deliver, metric=metric, on_row=on_row)
    kept = pruning.prune_rows(swept, quality)
    notes["prompts"] = f"{len(outcomes.prompts)} prompts, {outcomes.seeds} seeds each"
    notes["latencies"] = f"{latencies.processes} one-thread processes at work together"
    notes["rows"] = f"{len(kept)} of {len(swept)} swept; dominated ones within a pair left out"
    profile = Profile(
        name=cascade.profile_name or cascade.name,
        quality=quality,
        models=tuple(ModelLatency(m.name, latencies.models[m.name]) for m in cascade.models),
        rows=tuple(_rounded(row) for row in kept),
        deliver=cascade.deliver,
        hardware=latencies.hardware,
        scoring_latency_s=latencies.scoring,
        overhead_s=overhead_s,
        notes=notes,
    )
    return Assembly(profile, tuned, len(swept))


def fixed_quality(profile: Profile) -> dict[ModelName, float]:
    """Return the quality of each model alone, for a table of the front."""
    return {
        row.light: row.measured[profile.quality.metric]
        for row in profile.rows
        if row.light == row.heavy and row.heavy_ratio == 0.0
    }


def _rounded(row: ProfileRow) -> ProfileRow:
    direct = round(row.direct_ratio, DIGITS)
    return replace(
        row,
        direct_ratio=direct,
        light_ratio=round(1.0 - direct, DIGITS),
        heavy_ratio=round(row.heavy_ratio, DIGITS),
        measured={name: round(value, DIGITS) for name, value in row.measured.items()},
    )

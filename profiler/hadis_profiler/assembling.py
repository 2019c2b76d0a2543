"""From measurements to a profile: tune the hardness weights, sweep, prune, note how it was made."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hadis.hardness import scoring, weights
from hadis.profiling import pruning, sweeping
from hadis.profiling.outcomes import Floats, Outcomes
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Direction, ModelLatency, Profile, ProfileRow, QualityMetric
from hadis_profiler import tuning
from hadis_profiler.latencies import Latencies

DIGITS = 6
"""Measured over thousands of images at most: more digits would only be noise to read."""
FEW_PROMPTS = 500
"""With fewer, neighbouring thresholds differ by chance more than by what they do."""

Features = Sequence[dict[str, float]]


@dataclass(frozen=True, slots=True)
class Assembly:
    """A profile, the hardness weights that its thresholds go with, and how sure it is.

    `rows_swept` counts the rows before pruning. `standard_error` is the largest that the quality of
    a model alone has, over prompts: differences between rows below it say little.
    """

    profile: Profile
    hardness_weights: dict[str, float]
    rows_swept: int
    standard_error: float


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
    fingerprints: Mapping[ModelName, str] | None = None,
    on_row: Callable[[ProfileRow], None] | None = None,
) -> Assembly:
    """Return the profile of `cascade`; `outcomes.hardness` is under the cascade's own weights.

    These are kept without `tune`, and when no others are better on prompts held out. Models are
    paired from fast to slow. `fingerprints` say what of each was measured
    (`identities.of_models`). Every row that some setting of the stages can use is kept; only a
    cascade without a discriminator has no quality thresholds to sweep.
    """
    by_latency = sorted(outcomes.models, key=lambda name: latencies.models[name][1])
    outcomes = replace(
        outcomes,
        scores={name: outcomes.scores[name] for name in by_latency},
        fulfilled={name: outcomes.fulfilled[name] for name in by_latency},
    )
    notes = dict(notes or {})
    hardness_weights = dict(cascade.hardness_weights)
    if tune and len(by_latency) > 1:
        tuned, notes["hardness"] = _tuned(features, outcomes, hardness_weights)
        if tuned is not None:
            hardness_weights = tuned
            outcomes = replace(outcomes, hardness=np.asarray(hardness_of(features, tuned)))
    grid = sweeping.Sweep()
    if cascade.discriminator is None:
        grid = replace(grid, rejected=(0.0,))
    quality = QualityMetric(metric, Direction.HIGHER)
    swept = sweeping.sweep(outcomes, cascade.deliver, grid, metric=metric, on_row=on_row)
    kept = pruning.prune_rows(swept, quality)
    error = max(_standard_error(outcomes.fulfilled[name]) for name in by_latency)
    notes["prompts"] = (
        f"{len(outcomes.prompts)} prompts, {outcomes.seeds} seeds each; standard error of {metric} "
        f"at most {error:.4f}"
    )
    notes["latencies"] = f"{latencies.processes} processes at work together"
    notes["rows"] = f"{len(kept)} of {len(swept)} swept; dominated ones within a pair left out"
    profile = Profile(
        name=cascade.profile_name or cascade.name,
        quality=quality,
        models=_models(cascade, latencies, fingerprints or {}),
        rows=tuple(_rounded(row) for row in kept),
        deliver=cascade.deliver,
        hardware=latencies.hardware,
        scoring_latency_s=latencies.scoring,
        overhead_s=overhead_s,
        notes=notes,
    )
    return Assembly(profile, hardness_weights, len(swept), error)


def _models(
    cascade: Cascade, latencies: Latencies, fingerprints: Mapping[ModelName, str]
) -> tuple[ModelLatency, ...]:
    return tuple(
        ModelLatency(model.name, latencies.models[model.name], fingerprints.get(model.name))
        for model in cascade.models
    )


def fixed_quality(profile: Profile) -> dict[ModelName, float]:
    """Return the quality of each model alone, for a table of the front."""
    return {
        row.light: row.measured[profile.quality.metric]
        for row in profile.rows
        if row.light == row.heavy and row.heavy_ratio == 0.0
    }


def _tuned(
    features: Features, outcomes: Outcomes, current: dict[str, float]
) -> tuple[dict[str, float] | None, str]:
    """Return hardness weights that beat the current ones on prompts held out, and what was found.

    What counts is where the slowest model gains over the fastest: not where both fail.
    """
    if len(outcomes.prompts) < tuning.FEWEST:
        return None, f"weights kept: fewer than {tuning.FEWEST} prompts tell nothing"
    light, heavy = outcomes.models[0], outcomes.models[-1]
    gain = (outcomes.fulfilled[heavy] - outcomes.fulfilled[light]).mean(axis=0)
    found = tuning.tune(features, gain.tolist(), baseline=current, signed=True)
    figures = (
        f"area of {light} > {heavy} over a random order on {found.validation_prompts} prompts held "
        f"out: {found.tuned_value:.4f} by grid search on the others, {found.baseline_value:.4f} "
        f"before; difference between {found.gain_low:.4f} and {found.gain_high:.4f} (95 %)"
    )
    if not found.helps:
        return None, f"weights kept; {figures}"
    return found.weights, f"weights tuned; {figures}"


def _standard_error(quality: Floats) -> float:
    """Return how far the mean over prompts may be off; a prompt's seeds are no new prompts."""
    of_prompts = quality.mean(axis=0)
    return float(of_prompts.std() / math.sqrt(len(of_prompts)))


def _rounded(row: ProfileRow) -> ProfileRow:
    direct = round(row.direct_ratio, DIGITS)
    return replace(
        row,
        direct_ratio=direct,
        light_ratio=round(1.0 - direct, DIGITS),
        heavy_ratio=round(row.heavy_ratio, DIGITS),
        measured={name: round(value, DIGITS) for name, value in row.measured.items()},
    )

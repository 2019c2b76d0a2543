"""The lookup table of section 4.2: latencies a model, and rows of measured configurations."""

from dataclasses import dataclass, field
from enum import StrEnum

from hadis.terms.ids import ModelName


class Direction(StrEnum):
    """Which way a quality metric improves."""

    LOWER = "lower"  # FID
    HIGHER = "higher"  # fulfilment


class Deliver(StrEnum):
    """Which image of an escalated prompt is delivered."""

    HEAVY = "Heavy"  # the heavy one, always (the paper)
    BETTER = "Better"  # the higher-scored of the two


@dataclass(frozen=True, slots=True)
class QualityMetric:
    """The metric that the planner optimises, e.g. `fid` (lower) or `fulfilment` (higher)."""

    metric: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class ModelLatency:
    """Measured seconds a batch of one model, by batch size; ascending in both.

    `fingerprint`: a digest of the weights and settings that were measured, where it is known.
    """

    name: ModelName
    latency_s: dict[int, float]
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One threshold configuration of one pair (a row of the lookup table).

    `direct_ratio`: fraction sent straight to the heavy model. `light_ratio`, `heavy_ratio`: the
    fractions of all queries that each model processes (r0, r1). `measured` holds every measured
    metric under its own name, the planner's metric among them.
    """

    light: ModelName
    heavy: ModelName
    hardness_threshold: float
    quality_threshold: float
    direct_ratio: float
    light_ratio: float
    heavy_ratio: float
    measured: dict[str, float]

    @property
    def rejected_ratio(self) -> float:
        """The share of the light images that is escalated; 0 without any."""
        if self.light_ratio <= 0.0:
            return 0.0
        return min(max((self.heavy_ratio - self.direct_ratio) / self.light_ratio, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that was measured of a cascade: the only input of the online phase.

    `scoring_latency_s` is the discriminator's time a batch, by batch size; empty when scoring is
    part of the models' own latencies or costs nothing worth planning for. `overhead_s` is what a
    request spends outside the workers: router, hardness, HTTP, encoding.
    """

    name: str
    quality: QualityMetric
    models: tuple[ModelLatency, ...]
    rows: tuple[ProfileRow, ...]
    deliver: Deliver = Deliver.HEAVY
    grid: tuple[ProfileRow, ...] = ()
    hardware: str | None = None
    scoring_latency_s: dict[int, float] = field(default_factory=dict)
    overhead_s: float = 0.0
    notes: dict[str, str] = field(default_factory=dict)

    def latency_of(self, model: ModelName) -> dict[int, float]:
        """Return the latencies of `model`; KeyError when it is not in the profile."""
        for entry in self.models:
            if entry.name == model:
                return entry.latency_s
        raise KeyError(model)

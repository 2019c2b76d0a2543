"""A cascade as its author states it: models, stages, objective, fleet size, planner settings."""

from dataclasses import dataclass, field
from enum import StrEnum

from hadis.terms.ids import CascadeName, ModelName
from hadis.terms.profiles import Deliver


class PlannerMode(StrEnum):
    """What the controller does with its plans."""

    AUTO = "Auto"  # solve and apply
    OBSERVE = "Observe"  # solve and report, apply nothing new
    PINNED = "Pinned"  # apply the pinned pair and thresholds


class OnOverload(StrEnum):
    """What happens when no configuration can carry the demand in time."""

    DEGRADE = "Degrade"  # admit what can still be served by the lightest configuration
    SHED = "Shed"  # reject early so that the admitted keep their quality


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where weights come from: exactly one of a local folder and a repository."""

    path: str | None = None
    repository: str | None = None
    revision: str | None = None
    overrides: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model variant: weights, pipeline class and sampling settings.

    Two variants may share weights and differ in `steps` or `guidance` only.
    """

    name: ModelName
    source: ModelSource
    pipeline: str | None
    steps: int
    guidance: float
    width: int
    height: int
    dtype: str = "float32"
    loras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DiscriminatorSpec:
    """The discriminator's weights and kind (`matching`, `real-fake`, `clip`)."""

    source: ModelSource
    kind: str


@dataclass(frozen=True, slots=True)
class PinnedPlan:
    """A pair and thresholds chosen by hand."""

    light: ModelName
    heavy: ModelName
    hardness_threshold: float
    quality_threshold: float


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    """How often and how cautiously the controller plans.

    `demand_smoothing` is the EWMA weight of the newest sample; `queue_safety_factor` the alpha of
    equation 5.
    """

    mode: PlannerMode = PlannerMode.AUTO
    pinned: PinnedPlan | None = None
    interval_s: float = 5.0
    demand_smoothing: float = 0.5
    queue_safety_factor: float = 1.0
    max_lanes: int = 2
    on_overload: OnOverload = OnOverload.DEGRADE


@dataclass(frozen=True, slots=True)
class RouterLimits:
    """Bounds of one router: requests in flight or waiting, prompt length, images a request."""

    max_in_flight: int = 512
    max_prompt_chars: int = 32_000
    max_images_per_request: int = 10


@dataclass(frozen=True, slots=True)
class Cascade:
    """A HadisCascade in domain terms. Models are unique by name; order is the author's.

    `offline` forbids fetching weights: every source is a folder or an exact commit in the cache.
    """

    name: CascadeName
    slo_s: float
    models: tuple[ModelSpec, ...]
    router_stage: bool = True
    discriminator_stage: bool = True
    deliver: Deliver = Deliver.HEAVY
    discriminator: DiscriminatorSpec | None = None
    hardness_weights: dict[str, float] = field(default_factory=dict)
    workers: int = 1
    planner: PlannerSettings = field(default_factory=PlannerSettings)
    limits: RouterLimits = field(default_factory=RouterLimits)
    profile_name: str | None = None
    offline: bool = False
    generation: int = 1

    def model(self, name: str) -> ModelSpec:
        """Return the model called `name`; KeyError when there is none."""
        for spec in self.models:
            if spec.name == name:
                return spec
        raise KeyError(name)

    def is_older_than(self, other: "Cascade") -> bool:
        """Return whether this is an earlier generation of the same cascade.

        The same by its name: a process serves one cascade, with one UID, for as long as it lives.
        """
        return self.name == other.name and self.generation < other.generation

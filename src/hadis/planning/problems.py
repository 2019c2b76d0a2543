"""The planner's input and output: `Problem` and `Plan`, with the reasons of the decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hadis.terms.assignments import Lane
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Direction, Profile, ProfileRow


class PlanStatus(StrEnum):
    """How good the plan is known to be."""

    OPTIMAL = "optimal"  # proved: no configuration within the constraints is better
    FEASIBLE = "feasible"  # within the constraints, not known to be the best
    OVERLOAD = "overload"  # nothing carries the demand in time: fewest predicted violations


class BatchPreference(StrEnum):
    """Which batch sizes to take where several carry the plan."""

    LATENCY = "latency"  # the ones with the shortest path
    HEADROOM = "headroom"  # the ones that leave workers the most time for bursts


class Spares(StrEnum):
    """What becomes of workers that the plan does not need."""

    STAY = "stay"  # who holds a model of the plan serves it, nobody loads anything
    FILL = "fill"  # the others join the fullest pool, whatever they have to load


class Constraint(StrEnum):
    """Which constraint keeps the next better configuration out."""

    NONE = "none"  # the plan has the best quality of the table
    WORKERS = "workers"  # equations 3 and 4: not enough workers for the load
    LATENCY = "latency"  # equation 5: the path would take longer than the SLO
    WORKERS_AND_LATENCY = "workers and latency"  # each could be met, not both with one batch choice
    SWAPS = "swaps"  # it could run, but loading its models costs more than it gains


@dataclass(frozen=True, slots=True)
class Problem:
    """One planning problem over a lookup table.

    The load: `demand_per_s`, and `backlog_s`, waiting work in worker-seconds a model, to be worked
    off within `drain_s` on top of the demand. `queue` holds waiting requests a model for equation
    5, which takes the arrival rate at a model from each configuration's own route ratios unless
    `arrival_per_s` names it. `residual_s` is how long a request waits for running batches at a
    model, whatever the queue.

    The fleet: `workers`, and `pools` where workers cannot be given another model now: a plan then
    uses at most so many of each. `current_workers` is what the workers hold; without it swaps are
    free. Each swap of a model costs the plan `swap_s` of that model as a share of all the workers'
    time within `swap_horizon_s`, in units of the table's range of quality; without `swap_s` swaps
    only break ties. A worker is planned to be busy at most `utilisation_limit` of its time.

    The clock: `latency_scale` multiplies every latency of the table; `overhead_s` is what a request
    spends outside the workers (default: the profile's).
    """

    profile: Profile
    demand_per_s: float
    workers: int
    slo_s: float
    queue: Mapping[ModelName, float] = field(default_factory=dict)
    arrival_per_s: Mapping[ModelName, float] = field(default_factory=dict)
    residual_s: Mapping[ModelName, float] = field(default_factory=dict)
    backlog_s: Mapping[ModelName, float] = field(default_factory=dict)
    drain_s: float = 40.0
    pools: Mapping[ModelName, int] | None = None
    current_workers: Mapping[ModelName, int] | None = None
    swap_s: Mapping[ModelName, float] = field(default_factory=dict)
    swap_horizon_s: float = 60.0
    spares: Spares = Spares.STAY
    max_lanes: int = 1
    queue_safety_factor: float = 1.0
    utilisation_limit: float = 1.0
    latency_scale: float = 1.0
    overhead_s: float | None = None
    batch_preference: BatchPreference = BatchPreference.LATENCY
    time_limit_s: float = 2.0

    @property
    def overhead(self) -> float:
        """Seconds that a request spends outside the workers."""
        return self.profile.overhead_s if self.overhead_s is None else self.overhead_s

    @property
    def sign(self) -> float:
        """Factor under which a higher value of the planner's metric is better."""
        return 1.0 if self.profile.quality.direction is Direction.HIGHER else -1.0

    def swaps(self, workers: Mapping[ModelName, int]) -> dict[ModelName, int]:
        """Return how many workers must load each model before `workers` serve."""
        if self.current_workers is None:
            return {}
        missing = {n: count - self.current_workers.get(n, 0) for n, count in workers.items()}
        return {name: count for name, count in missing.items() if count > 0}


@dataclass(frozen=True, slots=True)
class Alternative:
    """The best configuration that the plan could not have, and what it would take."""

    light: ModelName
    heavy: ModelName
    hardness_threshold: float
    quality_threshold: float
    quality: float
    workers_needed: int
    latency_s: float
    because: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why this plan: what binds it, what is left over, what it could not have.

    `slack_demand_per_s` is by how much the demand may grow before the plan's fullest pool is at its
    limit, as it is staffed; negative in an overload.
    """

    binding: Constraint
    idle_workers: int
    slack_latency_s: float
    slack_demand_per_s: float
    utilisation: Mapping[ModelName, float]
    swaps: int = 0
    alternative: Alternative | None = None
    predicted_violation_ratio: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowShare:
    """A row of the lookup table and the share of the demand that it carries."""

    share: float
    row: ProfileRow

    def lane(self) -> Lane:
        """Return the lane that realises the row."""
        return Lane(
            self.share,
            self.row.light,
            self.row.heavy,
            self.row.hardness_threshold,
            self.row.quality_threshold,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: rows by share (largest first), workers and batch size a model.

    `latency_s` is equation 5's bound, `mean_latency_s` the expected mean of a request including
    its waiting. `light_ratio` and `heavy_ratio` are the fractions of all requests that the light
    and the heavy stages process, over all lanes.
    """

    status: PlanStatus
    mix: tuple[RowShare, ...]
    workers: Mapping[ModelName, int]
    batch: Mapping[ModelName, int]
    quality: float
    measured: Mapping[str, float]
    direct_ratio: float
    light_ratio: float
    heavy_ratio: float
    latency_s: float
    mean_latency_s: float
    solve_s: float
    reasons: Reasons

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes of the routing table once every worker is in place."""
        return tuple(part.lane() for part in self.mix)

    @property
    def main_lane(self) -> Lane:
        """The lane with the largest share; its pair and thresholds stand for the plan."""
        return self.mix[0].lane()

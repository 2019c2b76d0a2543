"""What is replayed: a profile, a trace over a workload, a fleet, a deadline."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from hadis.errors import InvalidInput
from hadis.planning import solving
from hadis.planning.problems import Problem
from hadis.profiling.traces import Trace
from hadis.profiling.workloads import Workload
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile


@dataclass(frozen=True, slots=True)
class Scenario:
    """One replay, whatever the policy.

    `swap_s` is how long a worker is out when it changes to a model; models that are not named
    change at once, and where none is named every worker holds all of them. `pair` is the fixed one
    of DiffServe, `lanes` the most that `hadis` may use.
    """

    profile: Profile
    trace: Trace
    workload: Workload
    workers: int
    slo_s: float
    swap_s: Mapping[ModelName, float] = field(default_factory=dict)
    seed: int = 0
    interval_s: float = 5.0
    lanes: int = 2
    pair: tuple[ModelName, ModelName] | None = None

    @property
    def models(self) -> tuple[ModelName, ...]:
        """The profile's models from fast to slow; what a virtual worker calls them by number."""
        by_speed = sorted(self.profile.models, key=lambda model: model.latency_s[1])
        return tuple(model.name for model in by_speed)

    @property
    def swaps_cost(self) -> bool:
        """Whether a worker holds one model at a time."""
        return any(seconds > 0.0 for seconds in self.swap_s.values())


def check(scenario: Scenario) -> None:
    """Raise InvalidInput for the first value that makes no sense."""
    for model in scenario.profile.models:
        if 1 not in model.latency_s:
            raise InvalidInput(
                f"the profile has no latency of {model.name} for a batch of 1; measure it",
                field=f"latency_s.{model.name}",
            )
    solving.check(
        Problem(
            scenario.profile,
            demand_per_s=0.0,
            workers=scenario.workers,
            slo_s=scenario.slo_s,
            swap_s=scenario.swap_s,
        )
    )
    for name in scenario.pair or ():
        if name not in scenario.models:
            raise InvalidInput(
                f"pair names {name}; use two of {', '.join(scenario.models)}", field="pair"
            )
    if not (math.isfinite(scenario.interval_s) and scenario.interval_s > 0.0):
        raise InvalidInput(
            f"interval is {scenario.interval_s:g}; give seconds > 0", field="interval"
        )
    last = int(scenario.trace.prompt.max())
    if last >= len(scenario.workload):
        raise InvalidInput(
            f"the trace asks for prompt {last + 1} of {len(scenario.workload)}", field="trace"
        )

"""Builders of small replays: a cascade with a full grid, traces, a policy that never changes."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hadis.planning.snapshots import Snapshot
from hadis.profiling import pruning, workloads
from hadis.profiling.traces import Trace, ordered
from hadis.profiling.workloads import Workload
from hadis.simulation.directing import Directive, Manner
from hadis.simulation.scenarios import Scenario
from hadis.terms.assignments import Assignment, Lane, Role
from hadis.terms.ids import ModelName, WorkerName
from hadis.terms.profiles import Profile, ProfileRow
from support.profiles import FID, a_profile, a_row

LATENCIES: Mapping[str, Mapping[int, float]] = {
    "small": {1: 1.0, 2: 1.8},
    "middle": {1: 3.0, 2: 5.4},
    "large": {1: 10.0, 2: 18.0},
}
ALONE = {"small": 30.0, "middle": 25.0, "large": 20.0}
SHARES = tuple(round(0.1 * step, 1) for step in range(11))


def a_grid() -> list[ProfileRow]:
    """Every pair on an 11 x 11 grid; a little of the heavy model is worth the most."""
    rows = []
    names = list(LATENCIES)
    for place, light in enumerate(names):
        for heavy in names[place + 1 :]:
            for direct in SHARES:
                for rejected in SHARES if direct < 1.0 else (0.0,):
                    share = direct + (1 - direct) * rejected
                    gain = (ALONE[light] - ALONE[heavy]) * share**0.8
                    rows.append(
                        a_row(
                            light,
                            heavy,
                            direct=direct,
                            rejected=rejected,
                            quality=ALONE[light] - gain,
                        )
                    )
    return rows


def a_gridded_profile() -> Profile:
    """Three models; thresholds are ranks."""
    grid = a_grid()
    profile = a_profile(LATENCIES, pruning.prune_rows(grid, FID))
    return Profile(profile.name, profile.quality, profile.models, profile.rows, grid=tuple(grid))


def a_trace(arrivals: Sequence[float], prompts: int = 100) -> Trace:
    """Arrivals at the given seconds, each with the next prompt."""
    return ordered(np.array(arrivals, dtype=float), np.arange(len(arrivals)) % prompts)


def a_steady_trace(rate_per_s: float, duration_s: float, *, seed: int = 1) -> Trace:
    """Poisson arrivals."""
    draws = np.random.default_rng(seed)
    count = draws.poisson(rate_per_s * duration_s)
    return a_trace(np.sort(draws.uniform(0.0, duration_s, max(count, 1))).tolist())


def a_workload(
    hardness: Sequence[float] | None = None,
    scores: Mapping[str, Sequence[float]] | None = None,
    *,
    seed: int = 1,
) -> Workload:
    """100 prompts of uniform hardness and scores, or the given ones."""
    drawn = workloads.uniform(100, [ModelName(name) for name in LATENCIES], seed)
    if hardness is None:
        return Workload(drawn.prompts, drawn.hardness, drawn.scores)
    count = len(hardness)
    return Workload(
        ("",) * count,
        np.array(hardness),
        {ModelName(n): np.array(values) for n, values in (scores or {}).items()},
    )


def a_scenario(trace: Trace, **changes: object) -> Scenario:
    """Four workers and an SLO of 30 s over the three models."""
    given: dict[str, object] = {
        "profile": a_gridded_profile(),
        "trace": trace,
        "workload": a_workload(),
        "workers": 4,
        "slo_s": 30.0,
    }
    return Scenario(**{**given, **changes})  # type: ignore[arg-type]


def a_lane(
    light: str = "small",
    heavy: str = "large",
    *,
    share: float = 1.0,
    theta: float = math.inf,
    tau: float = -math.inf,
) -> Lane:
    return Lane(share, ModelName(light), ModelName(heavy), theta, tau)


class Scripted:
    """A policy that gives prepared directives, the last one for ever.

    `models` names each worker's model in order, `batch` the batch size of every model.
    """

    name = "scripted"

    def __init__(
        self,
        *steps: tuple[Sequence[Lane], Sequence[str]],
        manner: Manner | None = None,
        batch: int = 1,
    ) -> None:
        self.manner = manner or Manner()
        self.solve_s: list[float] = []
        self.snapshots: list[Snapshot] = []
        self._steps = list(steps)
        self._batch = batch

    def start(self, demand_per_s: float) -> None:
        self.first_demand_per_s = demand_per_s

    def plan(self, snapshot: Snapshot) -> Directive:
        self.snapshots.append(snapshot)
        lanes, models = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        assignments = {
            WorkerName(worker.name): Assignment(
                len(self.snapshots), ModelName(model), Role.LIGHT, self._batch
            )
            for worker, model in zip(snapshot.workers, models, strict=True)
        }
        return Directive(tuple(lanes), assignments, "fixed")

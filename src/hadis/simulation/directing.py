"""The seam between a replay and a policy: what a policy sees, and what it tells the others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hadis.planning.snapshots import Snapshot
from hadis.terms.assignments import Assignment, Lane
from hadis.terms.ids import WorkerName
from hadis.terms.profiles import ProfileRow


@dataclass(frozen=True, slots=True)
class Manner:
    """How a policy's router and workers treat requests.

    `degrades`: production's way. Requests are admitted by their expected finish, and a light image
    is delivered where the heavy one would be late. Without it, as in the paper, whatever cannot be
    in time any more when its turn comes is dropped.
    `blind`: hardness and scores are drawn at random, uniform in [0, 1), and so are the prompts that
    each model gets; what was served is read as a mixture at random.
    `random_worker`: any worker of the model, however long its queue, instead of the better of two.
    `waits_for_loading`: requests queue at a worker that still has to load their model, and a plan
    is in force at once; production does so where swaps are quick, and else keeps the old lanes
    until the new ones can serve.
    `sees_loading`: the policy is told what each worker holds and whether it loads, as production's
    controller is; otherwise all count as ready for every model.
    `follows_swaps`: the policy is asked again as soon as a worker has changed its model.
    """

    degrades: bool = False
    blind: bool = False
    random_worker: bool = False
    waits_for_loading: bool = True
    sees_loading: bool = False
    follows_swaps: bool = False


@dataclass(frozen=True, slots=True)
class Directive:
    """What a policy wants from now on: lanes whose shares add up to one, and a model a worker.

    Workers that are not named stay as they are. `status` is the plan's, for the time series.
    """

    lanes: tuple[Lane, ...]
    assignments: Mapping[WorkerName, Assignment]
    status: str


class Policy(Protocol):
    """Decides, every few seconds, from what a controller can see.

    `start` is called once, with the demand of the first seconds; the directive that follows finds
    every worker ready to serve any model. `plan` must not look at anything but its argument and
    what it remembers.
    """

    name: str
    manner: Manner
    solve_s: list[float]
    """Seconds of each solve, where a clock was given."""

    def start(self, demand_per_s: float) -> None:
        """Take the demand of the first seconds for known."""
        ...

    def plan(self, snapshot: Snapshot) -> Directive:
        """Return what to do from now on."""
        ...


def ranked(row: ProfileRow) -> tuple[float, float]:
    """Return the thresholds that send the row's shares of uniform ranks each way.

    A stage that is off stays off.
    """
    theta = 1.0 - row.direct_ratio if math.isfinite(row.hardness_threshold) else math.inf
    tau = row.rejected_ratio if math.isfinite(row.quality_threshold) else -math.inf
    return theta, tau

"""Steps 2 to 4 of the control cycle for one cascade: when it runs, and what it goes on from.

The cycle itself is `hadis.planning.cycles.run_cycle`. Here it gets a state to go on from when this
operator takes over, a snapshot, and a thread to run in, because a solve may take a second.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from hadis.errors import HadisError
from hadis.planning import cycles, forecasting
from hadis.planning.cycles import CycleInput, CycleOutput, CycleState
from hadis.planning.problems import PlanStatus
from hadis.planning.snapshots import ObservedRouter, Snapshot
from hadis.routing import admitting
from hadis.terms.profiles import Profile
from hadis_operator import naming, observing, reissuing, resuming
from hadis_operator.objects import Manifest
from hadis_operator.observing import View
from hadis_operator.reading import Given, ProfileState
from hadis_operator.reissuing import Reissue

WARM_UP_S = 3.0
"""For how long a new leader of a serving cascade counts the demand before it plans, unless it has
done so while it stood by."""
PATIENCE_S = 6.0
"""It plans after this long even if no router answers: then there is no demand to count."""
BOOT_S = 15.0
"""After a first worker's first answer, others that were begun with it may still come this late
without being left out of the plan."""
STEADY_AFTER = 2
"""Cycles that agree on a new status before it is told: at its limit a plan changes its mind."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a cycle came to. `trouble` says why there was no plan to be made."""

    is_new: bool = False
    sentences: tuple[str, ...] = ()
    trouble: str = ""


class Cycler:
    """The planner's memory of one cascade. One operator at a time acts on what it says."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._profile: Profile | None = None
        self._can_plan = True
        self._term = -1
        self._took_over_s = float("-inf")
        self._is_resumed = False
        self._counting_since_s: float | None = None
        self._first_answer_s: float | None = None
        self._due_s = float("-inf")
        self._planned_for: tuple[object, ...] = ()
        self._disagreed = 0
        self.state = CycleState()
        self.output: CycleOutput | None = None
        """The last plan that was made."""
        self.issued: CycleOutput | Reissue | None = None
        """What everybody shall have: that plan, or the one on record over those who are there."""
        self.shown: PlanStatus | None = None
        self.trouble = ""

    @property
    def is_warming_up(self) -> bool:
        """Whether a plan of an earlier leader is in force and this one is still to plan."""
        return self._is_fresh and self._can_plan and not self.trouble

    @property
    def _is_fresh(self) -> bool:
        return self._is_resumed and self.issued is None

    def stand_by(self) -> None:
        """Note that another operator may act from now on. The demand's history is kept."""
        self._term, self.output, self.issued = -1, None, None

    def count(self, given: Given, now_s: float, routers: Iterable[ObservedRouter]) -> None:
        """Add to the demand's history without planning."""
        arrived = {router.uid: router.arrived for router in routers}
        if self._counting_since_s is None and arrived:
            self._counting_since_s = now_s
        settings = given.cascade.planner
        demand = forecasting.observe(
            self.state.demand,
            now_s,
            arrived,
            smoothing=settings.demand_smoothing,
            interval_s=min(settings.interval_s, WARM_UP_S),
        )
        self.state = replace(self.state, demand=demand)

    def take_over(
        self,
        term: int,
        now_s: float,
        record: Manifest | None,
        deployments: Iterable[Manifest],
        shown: PlanStatus | None,
        *,
        is_serving: bool,
    ) -> None:
        """Begin a term of leadership from what is recorded; nothing happens within the same term.

        What this process knows itself is better than the record, unless somebody else has acted.
        `is_serving` tells whether a router has a table already, whatever has become of the record.
        """
        if term == self._term:
            return
        resumed = resuming.resume(record, deployments, self.state.demand)
        mine = self.state
        if mine.plan is None or (mine.version, mine.routing) != (resumed.version, resumed.routing):
            self.state = resumed
        self._term, self._took_over_s = term, now_s
        self.output, self.issued, self.trouble = None, None, ""
        self._is_resumed = is_serving or self.state.routing is not None
        self._due_s, self._planned_for = float("-inf"), ()
        self.shown = shown
        LOG.info("goes on from version %d", self.state.version)

    def is_due(
        self,
        given: Given,
        view: View,
        routers: Iterable[ObservedRouter],
        basis: tuple[object, ...],
    ) -> bool:
        """Whether to run a cycle now: the interval is over, or fleet, spec or load have changed."""
        if given.profile is not None or given.profile_state is ProfileState.VALID:
            self._profile = given.profile
        self._can_plan = self._profile is not None or given.has_basis
        if (not self._can_plan and self.state.routing is None) or (
            self._is_fresh and not self._is_warm(view.now_s)
        ):
            self._due_s = float("-inf")  # as soon as there is something to plan with
            return False
        is_changed = (basis, view.signature) != self._planned_for
        return is_changed or view.now_s >= self._due_s or self._shows_step(given, view, routers)

    def _shows_step(self, given: Given, view: View, routers: Iterable[ObservedRouter]) -> bool:
        settings = given.cascade.planner
        return forecasting.shows_step(
            self.state.demand,
            view.now_s,
            {router.uid: router.arrived for router in routers},
            smoothing=settings.demand_smoothing,
            interval_s=settings.interval_s,
        )

    def due_in_s(self, now_s: float) -> float:
        """Return the time until the interval is over; infinite while no cycle waits for that."""
        if math.isinf(self._due_s):
            return float("inf")
        # It may have ended while a turn without a cycle wrote and reported.
        return max(0.0, self._due_s - now_s)

    async def run(
        self,
        given: Given,
        view: View,
        routers: tuple[ObservedRouter, ...],
        basis: tuple[object, ...],
    ) -> Result:
        """Run a cycle. A profile that allows no plan leaves what was decided last in force.

        A profile that has gone, or no longer makes sense, is replaced by the last that did; where
        this operator has seen none, the plan on record is issued over the workers that are there.
        """
        self._planned_for = (basis, view.signature)
        self._due_s = _next_due_s(self._due_s, view.now_s, given.cascade.planner.interval_s)
        wanted = [naming.slot(index) for index in range(given.cascade.workers)]
        workers = observing.observed_workers(view, wanted, is_boot=self._is_boot(view))
        snapshot = Snapshot(view.now_s, workers, routers)
        if not self._can_plan:
            self.count(given, view.now_s, routers)
            return Result(self._reissue(given, view, snapshot))
        handed = CycleInput(
            given.cascade,
            given.profile or self._profile,
            snapshot,
            self.state,
            # The view has waited already; a lost node's slots are to be gone within seconds.
            grace_s=0.0,
            margin_s=admitting.delivery_margin_s(given.cascade.slo_s),
        )
        before = self.state.version
        try:
            output = await asyncio.get_running_loop().run_in_executor(
                self._executor, lambda: cycles.run_cycle(handed, clock=time.perf_counter)
            )
        except HadisError as error:
            self.trouble = str(error)
            self.count(given, view.now_s, routers)
            return Result(self._reissue(given, view, snapshot), trouble=self.trouble)
        self.trouble = ""
        self.output, self.issued, self.state = output, output, output.state
        # A plan that comes out as it was, for instance after a change of leaders, is no news.
        is_new = output.state.version != before
        self._note_status(output.plan.status, is_new=is_new)
        return Result(is_new, output.events if is_new else ())

    def _reissue(self, given: Given, view: View, snapshot: Snapshot) -> bool:
        """Issue the plan on record to those who are there; return whether that says anything new.

        What routers show of it is theirs: nothing else remembers what was expected of it.
        """
        tables = [status.routing for status in view.routers.values() if status.routing is not None]
        newest = max(tables, key=lambda table: table.version, default=None)
        models = {model.name for model in given.cascade.models}
        known = (newest.plan if newest is not None else None) or {}
        found = reissuing.reissue(self.state, snapshot, models, known)
        if found is None:
            return False
        before, self.issued = self.state.version, found
        self.state = replace(
            self.state,
            version=max(before, found.routing.version),
            routing=found.routing,
            assignments={**self.state.assignments, **found.assignments},
        )
        return self.state.version != before

    def _is_boot(self, view: View) -> bool:
        if self._is_resumed:
            return False
        if self._first_answer_s is None and view.workers:
            self._first_answer_s = view.now_s
        return self._first_answer_s is None or view.now_s - self._first_answer_s < BOOT_S

    def _is_warm(self, now_s: float) -> bool:
        since_s = self._counting_since_s
        is_warm = since_s is not None and now_s - since_s >= WARM_UP_S
        return is_warm or now_s - self._took_over_s >= PATIENCE_S

    def _note_status(self, status: PlanStatus, *, is_new: bool) -> None:
        self._disagreed = self._disagreed + 1 if status is not self.shown else 0
        is_same = _holds(status) == (None if self.shown is None else _holds(self.shown))
        if self.shown is None or is_same or is_new or self._disagreed >= STEADY_AFTER:
            self.shown, self._disagreed = status, 0


def _next_due_s(due_s: float, now_s: float, interval_s: float) -> float:
    """Return when a cycle is due after one that runs now, having been due at `due_s`.

    A look at the fleet takes its time. Counted from its end, every cycle would begin late by that
    time, and each of them later than the one before.
    """
    is_in_step = 0.0 <= now_s - due_s < interval_s
    return (due_s if is_in_step else now_s) + interval_s


def _holds(status: PlanStatus) -> bool:
    return status is not PlanStatus.OVERLOAD

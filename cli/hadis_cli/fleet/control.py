"""The control loop of the local fleet: look, decide, deliver, about once a second.

Deciding is `hadis.planning.cycles.run_cycle`, every `planner.interval` and at once when the fleet
changes; it runs in a thread, because a solve may take a second or two.
"""

import asyncio
import logging
import time
from dataclasses import replace

from hadis.errors import HadisError, ModelUnavailable
from hadis.planning import cycles
from hadis.planning.cycles import CycleInput, CycleOutput, CycleState
from hadis.routing import admitting
from hadis.wire.manifests import Manifests
from hadis_cli.fleet.delivery import Courier
from hadis_cli.fleet.members import Members
from hadis_cli.fleet.observation import Observer, View
from hadis_cli.fleet.slots import Tell

LOOK_EVERY_S = 1.0
LOOK_AGAIN_S = 0.2
"""After a delivery: what it set in motion is usually done by then."""
HUNG_AFTER_S = 120.0
"""Silence after which a worker is taken for hung, killed and replaced."""
LOG = logging.getLogger(__name__)


class Controller:
    """Keeps members, plan and cascade in step. `serving` is set when requests are answered."""

    def __init__(self, members: Members, observer: Observer, courier: Courier, tell: Tell) -> None:
        self.serving = asyncio.Event()
        self._members = members
        self._observer = observer
        self._courier = courier
        self._tell = tell
        self._state = CycleState()
        self._output: CycleOutput | None = None
        self._signature: tuple[object, ...] | None = None
        self._planned_s = float("-inf")
        self._planned_for: Manifests | None = None
        self._told: set[str] = set()

    async def run(self) -> None:
        """Work until cancelled. ModelUnavailable when nothing can ever be served."""
        while True:
            self._members.changed.clear()
            delivered = False
            try:
                delivered = await self._turn()
            except ModelUnavailable:
                raise
            except HadisError as error:
                self._tell_once(f"no new plan: {error}")
            except Exception:
                # The outermost edge of the loop: a fleet without a controller still serves.
                LOG.exception("a control cycle failed")
                self._tell_once("a control cycle failed; see up.log")
            await self._pause(LOOK_AGAIN_S if delivered else LOOK_EVERY_S)

    async def _turn(self) -> bool:
        members, given = self._members, self._members.given
        view = await self._observer.look(members.workers, members.router, leaving=members.leaving)
        self._report_broken(view)
        await self._courier.deliver_cascade(given, members.controlled)
        if self._is_due(view, given):
            await self._plan(view, given)
        if self._output is None:
            return False
        delivered = await self._courier.deliver_plan(
            self._output, view, members.workers, members.router
        )
        if view.router is not None and view.router.ready:
            self.serving.set()
        members.note_routed(frozenset(ref.name for ref in self._output.routing.workers))
        await self._replace_hung(view)
        return delivered

    def _is_due(self, view: View, given: Manifests) -> bool:
        waited_s = view.snapshot.now_s - self._planned_s
        is_changed = view.signature != self._signature or given is not self._planned_for
        self._signature = view.signature
        return is_changed or waited_s >= given.cascade.planner.interval_s

    async def _plan(self, view: View, given: Manifests) -> None:
        self._planned_s, self._planned_for = view.snapshot.now_s, given
        cascade = replace(given.cascade, workers=self._members.count)
        state = self._state
        output = await asyncio.to_thread(
            cycles.run_cycle,
            CycleInput(
                cascade,
                given.profile,
                view.snapshot,
                state,
                margin_s=admitting.delivery_margin_s(cascade.slo_s),
            ),
            clock=time.perf_counter,
        )
        self._output, self._state = output, output.state
        for event in output.events:
            self._tell(event)
        if not self.serving.is_set():
            self._tell_once("loading weights; requests are served once the plan's models are there")

    def _report_broken(self, view: View) -> None:
        """Tell each reason why a model does not load once; give up when nothing ever will."""
        names = [model.name for model in self._members.given.cascade.models]
        reasons: dict[str, str] = {}
        for status in view.workers.values():
            for name, model in status.models.items():
                if model.error is not None:
                    reasons[name] = model.error
        for name, reason in reasons.items():
            self._tell_once(f"model {name}: {reason}")
        everyone_told = len(view.workers) == len(self._members.workers) > 0
        hopeless = everyone_told and all(
            (state := status.models.get(name)) is not None and state.error is not None
            for status in view.workers.values()
            for name in names
        )
        if hopeless and not self.serving.is_set():
            raise ModelUnavailable("no model loads: " + "; ".join(sorted(set(reasons.values()))))

    async def _replace_hung(self, view: View) -> None:
        for name, slot in self._members.workers.items():
            silent_s = self._observer.silent_s(name, view.snapshot.now_s)
            if slot.is_up and slot.lived_s > HUNG_AFTER_S and silent_s > HUNG_AFTER_S:
                self._tell(f"{name} has not answered for {silent_s:.0f} s; replacing it")
                if slot.process is not None:
                    await slot.process.kill()

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._tell(message)

    async def _pause(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._members.changed.wait()
        except TimeoutError:
            return

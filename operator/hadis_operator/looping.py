"""The control loop of one cascade in a cluster: look, decide, write, deliver, report.

A turn comes at least every two seconds, and at once when something changed or a cycle is due; the
cycle within it every `planner.interval`, and at once when the fleet, the cascade, the profile or
the load changed.
Whatever fails, fails in this cascade only, is counted and tried again. An operator that stands by
only counts the demand, so that it can take over with a forecast instead of a guess.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import aiohttp

from hadis.errors import HadisError, InvalidManifest
from hadis.planning.snapshots import ObservedRouter
from hadis_operator import attaining, events, holding, kube, naming, objects, reading, surveying
from hadis_operator.applying import Applier, NotLeading
from hadis_operator.attaining import Attainment
from hadis_operator.cycling import Cycler, Result
from hadis_operator.delivering import Courier
from hadis_operator.enacting import Enactor, Written
from hadis_operator.finding import SecretFinder
from hadis_operator.installation import Installation
from hadis_operator.kube import Kube
from hadis_operator.metrics import Metrics
from hadis_operator.objects import Manifest
from hadis_operator.observing import Observer, View
from hadis_operator.phases import Phases
from hadis_operator.reading import Given
from hadis_operator.reporting import (
    Reporter,
    Turn,
    attained_before,
    is_fetched,
    planned_before,
)
from hadis_operator.slots import Pod
from hadis_operator.sourcing import DemandReader
from hadis_operator.storing import CascadeKey, Store
from hadis_operator.surveying import Slots

LOOK_EVERY_S = 2.0
LOOK_AGAIN_S = 0.5
"""After something was told or changed: what it set in motion is usually done by then."""
GATHER_S = 0.1
"""After a change before the turn that it calls for: changes seldom come alone."""
TURN_LIMIT_S = 90.0
"""Every request has a time-out of its own; this only bounds many of them in a row."""
MAX_BACKOFF_S = 15.0
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What all loops share. `may_act` is true while this operator leads and knows the cluster;
    `term` rises each time that it begins to lead."""

    api: Kube
    store: Store
    session: aiohttp.ClientSession
    installation: Installation
    metrics: Metrics
    executor: Executor
    may_act: Callable[[], bool]
    term: Callable[[], int]
    me: str
    clock: Callable[[], float] = time.monotonic
    epoch: Callable[[], float] = time.time


class CascadeLoop:
    """Runs one cascade until it is gone. `wake` makes the next turn come at once."""

    def __init__(self, key: CascadeKey, tools: Tools) -> None:
        self.key = key
        self.attempted_s = tools.clock()
        self._tools = tools
        self._woken = asyncio.Event()
        self._failures = 0
        self._uid: str | None = None
        self._read: tuple[tuple[str, ...], Given] | None = None
        self._held: Given | None = None
        self._attained: attaining.Record | None = None
        self._phases = Phases(tools.metrics.took, tools.clock)
        self._observer = Observer(tools.session, clock=tools.clock)
        self._cycler = Cycler(tools.executor)
        self._unrecorded: tuple[str, ...] = ()
        """What is to be told of the newest plan once it is on record."""
        applier = Applier(tools.api, tools.store, may_act=tools.may_act, clock=tools.clock)
        courier = Courier(tools.session, tools.may_act, partial(tools.metrics.refusing, key))
        self._enactor = Enactor(tools.store, tools.installation, applier, courier)
        self._demand = DemandReader(
            tools.session, tools.api, tools.installation.prometheus_url, epoch=tools.epoch
        )
        self._secrets = SecretFinder(tools.api, tools.clock)
        self._reporter = Reporter(
            key, tools.store, tools.installation, tools.metrics, applier, me=tools.me
        )

    def wake(self) -> None:
        """Let the next turn begin now."""
        self._woken.set()

    async def run(self) -> None:
        """Work until the cascade is gone, or for ever."""
        self._tools.metrics.began(self.key)
        try:
            while True:
                self._woken.clear()
                self.attempted_s = self._tools.clock()
                pause_s = await self._attempt()
                if pause_s is None:
                    return
                await self._pause(pause_s)
        finally:
            self._tools.metrics.forget(self.key)

    async def _attempt(self) -> float | None:
        """Run a turn; return the time until the next, None when there will be none."""
        try:
            async with asyncio.timeout(TURN_LIMIT_S):
                with self._phases.turn(self.key):
                    pause_s = await self._turn()
        except NotLeading:
            return LOOK_AGAIN_S
        except (HadisError, TimeoutError) as error:
            return self._note_failure(str(error) or "a turn took too long")
        except Exception:
            # The outermost edge of the loop: a cascade without a controller still serves, and the
            # other cascades have nothing to do with it.
            LOG.exception("%s: a turn failed", self.key)
            return self._note_failure("see above")
        self._failures = 0
        return pause_s

    def _note_failure(self, why: str) -> float:
        self._failures += 1
        self._tools.metrics.failed(self.key)
        LOG.warning("%s: a turn failed: %s", self.key, why)
        return min(LOOK_EVERY_S * self._failures, MAX_BACKOFF_S)

    async def _pause(self, wait_s: float) -> None:
        if self._failures:
            # What it waits for does not come sooner by being asked for at every change.
            await asyncio.sleep(wait_s)
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
                await asyncio.sleep(GATHER_S)
        except TimeoutError:
            return

    async def _turn(self) -> float | None:
        """Do what is to be done now; return the time until the next turn, None when all is over."""
        tools = self._tools
        live = tools.store.get(kube.CASCADES, *self.key)
        if live is None or self._is_another(live):
            return None
        if "deletionTimestamp" in live["metadata"]:
            tools.metrics.rests(self.key)
            return LOOK_EVERY_S  # owner references do the rest
        try:
            given = self._in_force(self._reading(live))
        except InvalidManifest as error:
            if tools.may_act():
                await self._reporter.report_unreadable(live, str(error), tools.clock())
            raise
        # 1. Observe.
        acts = tools.may_act()
        pods = [Pod.from_live(pod) for pod in tools.store.pods(given.owner)]
        if not acts:
            self._stand_by(given, await self._observer.look(pods, ask_workers=False))
            return LOOK_EVERY_S
        with self._phases.phase("observe"):
            view = await self._observer.look(pods)
            routers = await self._demand.read(given, view)
        self._take_over(given, live, view)
        self._attained = attaining.note(
            self._attained or attained_before(live), view.now_s, routers
        )
        if given.paused:
            tools.metrics.rests(self.key)
            self._cycler.count(given, view.now_s, routers)
            survey = self._enactor.survey(given, view)
            await self._report(given, live, view, survey, Written(is_recorded=True), Result())
            return LOOK_EVERY_S
        # 2. to 4. Plan, when it is time.
        tools.metrics.plans(self.key, given.cascade.planner.interval_s, tools.epoch())
        result, cycled = Result(), False
        if self._cycler.is_due(given, view, routers, self._basis()):
            cycled = True
            result = await self._plan(given, view, routers)
        elif self._cycler.issued is None:
            self._cycler.count(given, view.now_s, routers)
        # 5. Write, then deliver.
        survey = self._enactor.survey(given, view)
        written = await self._write(given, survey)
        delivered = await self._deliver(given, view, written)
        if written.is_recorded:
            self._note_recorded(result, cycled=cycled)
        # 6. Report. A leader that is still finding its feet has nothing to correct yet.
        if not self._cycler.is_warming_up:
            await self._report(given, live, view, survey, written, result)
        longest_s = LOOK_AGAIN_S if delivered or result.is_new else LOOK_EVERY_S
        return _pause_s(longest_s, self._cycler.due_in_s(tools.clock()))

    def _is_another(self, live: Manifest) -> bool:
        """Whether the cascade has gone and come back under its name; another loop takes it."""
        uid = str(live["metadata"]["uid"])
        self._uid = self._uid or uid
        return uid != self._uid

    def _reading(self, live: Manifest) -> Given:
        """Return what the author wants, read anew only when one of the objects changed."""
        name = reading.profile_name(live)
        store = self._tools.store
        profile = None if name is None else store.get(kube.PROFILES, self.key.namespace, name)
        annotations = live["metadata"].get("annotations") or {}
        told = {} if profile is None else profile["metadata"]
        state = (
            str(live["metadata"].get("generation", "")),
            str(annotations.get(objects.PAUSED_ANNOTATION)),
            str(annotations.get(objects.ROLL_ANNOTATION)),
            str(told.get("uid", "")),
            str(told.get("generation", "")),
        )
        if self._read is None or self._read[0] != state:
            self._read = (state, reading.read(live, profile))
        return self._read[1]

    def _in_force(self, given: Given) -> Given:
        """Return what is given, or what was in force while its models are being fetched."""
        store, owner = self._tools.store, given.owner
        held = holding.hold(
            given,
            store.get(kube.CONFIG_MAPS, owner.namespace, naming.plan(owner)),
            is_fetched=is_fetched(store, self._tools.installation, given),
            serves=bool(surveying.live_slots(store, owner)),
        )
        if not held.is_held:
            self._held = None
            return given
        # The same value each time, by which renderings know that nothing has changed.
        self._held = held if self._held != held else self._held
        return self._held or held

    def _basis(self) -> tuple[object, ...]:
        read = () if self._read is None else self._read[0]
        return (*read, self._held is not None)

    def _stand_by(self, given: Given, view: View) -> None:
        """Count the demand, and nothing else, while another operator acts."""
        self._cycler.stand_by()
        self._reporter.stand_by()
        self._unrecorded = ()
        self._tools.metrics.stand_by(self.key)
        self._cycler.count(given, view.now_s, self._demand.read_direct(view))

    def _take_over(self, given: Given, live: Manifest, view: View) -> None:
        store, owner = self._tools.store, given.owner
        self._cycler.take_over(
            self._tools.term(),
            view.now_s,
            store.get(kube.CONFIG_MAPS, owner.namespace, naming.plan(owner)),
            surveying.live_slots(store, owner).values(),
            planned_before(live),
            is_serving=any(status.routing is not None for status in view.routers.values()),
        )

    async def _plan(self, given: Given, view: View, routers: tuple[ObservedRouter, ...]) -> Result:
        with self._phases.phase("plan"):
            result = await self._cycler.run(given, view, routers, self._basis())
        self._unrecorded = result.sentences or self._unrecorded
        if result.trouble:
            self._tools.metrics.failed(self.key)
        return result

    def _note_recorded(self, result: Result, *, cycled: bool) -> None:
        """Tell of the plan that is on record now: before that it is in force for nobody."""
        tools, output = self._tools, self._cycler.output
        self._reporter.hear(map(events.planned, self._unrecorded), tools.clock())
        self._unrecorded = ()
        if cycled and output is not None and not result.trouble:
            tools.metrics.planned(self.key, output)
            tools.metrics.went_well(self.key, output.plan.status, tools.epoch())

    async def _write(self, given: Given, survey: Slots) -> Written:
        cycler = self._cycler
        with self._phases.phase("write"):
            written = await self._enactor.write(given, survey, cycler.state, cycler.issued)
        self._reporter.hear_of(written.obstacles, self._tools.clock())
        return written

    async def _deliver(self, given: Given, view: View, written: Written) -> bool:
        if not self._tools.may_act():
            raise NotLeading("another operator may be acting by now")
        issued = self._cycler.issued if written.is_recorded else None
        with self._phases.phase("deliver"):
            return await self._enactor.deliver(given, view, issued)

    def _shown_attainment(self, live: Manifest, now_s: float, result: Result) -> Attainment:
        record = self._attained or attaining.Record()
        if attained_before(live).judgement is not Attainment.NO_DATA:
            return record.judgement
        return attaining.shown(record, now_s, is_written=result.is_new)

    async def _report(
        self,
        given: Given,
        live: Manifest,
        view: View,
        survey: Slots,
        written: Written,
        result: Result,
    ) -> None:
        with self._phases.phase("report"):
            turn = Turn(
                given=given,
                live=live,
                view=view,
                survey=survey,
                obstacles=written.obstacles,
                source=self._demand.source,
                attainment=self._shown_attainment(live, view.now_s, result),
                # What is not on record is in force for nobody.
                issued=self._cycler.issued if written.is_recorded else None,
                plan_status=self._cycler.shown if written.is_recorded else planned_before(live),
                plan_trouble=self._cycler.trouble,
                missing_secret=await self._missing_secret(given, view),
                refusal=self._enactor.refusal,
            )
            await self._reporter.report(turn, self._tools.clock(), self._tools.epoch())

    async def _missing_secret(self, given: Given, view: View) -> str:
        """Return the name of the Secret that routers wait for in vain; empty when they do not."""
        keys = given.spec["router"].get("apiKeys")
        routers = view.router_pods.values()
        if keys is None or (routers and all(pod.ready for pod in routers)):
            return ""
        name = str(keys["secretName"])
        return name if await self._secrets.is_missing(given.owner.namespace, name) else ""


def _pause_s(longest_s: float, due_in_s: float) -> float:
    """Return the time until the next look: as few as may be until a cycle is due, evenly spread."""
    if math.isinf(due_in_s):
        return longest_s
    return due_in_s / max(1, math.ceil(due_in_s / longest_s))

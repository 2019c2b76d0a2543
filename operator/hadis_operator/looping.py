"""The control loop of one cascade in a cluster: look, decide, write, deliver, report.

A turn comes about every two seconds, and sooner when something changed or a cycle is due; the cycle
within it every `planner.interval` and at once when the fleet, the cascade or the profile changed.
Whatever fails, fails in this cascade only, is counted and tried again. An operator that stands by
only counts the demand, so that it can take over with a forecast instead of a guess.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import aiohttp

from hadis.errors import HadisError, InvalidManifest
from hadis.planning.snapshots import ObservedRouter
from hadis_operator import (
    applying,
    attaining,
    events,
    holding,
    kube,
    naming,
    objects,
    observing,
    reading,
    renderings,
    slots,
)
from hadis_operator.applying import Applier, NotLeading, Obstacles, Slots
from hadis_operator.attaining import Attainment
from hadis_operator.cycling import Cycler, Result
from hadis_operator.delivering import Courier
from hadis_operator.finding import SecretFinder
from hadis_operator.installation import Installation
from hadis_operator.kube import ClusterTrouble, Kube
from hadis_operator.metrics import Metrics
from hadis_operator.objects import Manifest
from hadis_operator.observing import Observer, View
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
        self._observer = Observer(tools.session, clock=tools.clock)
        self._courier = Courier(tools.session, tools.may_act, partial(tools.metrics.refusing, key))
        self._cycler = Cycler(tools.executor)
        self._renderer = renderings.Renderer(tools.installation)
        self._applier = Applier(tools.api, tools.store, may_act=tools.may_act, clock=tools.clock)
        self._demand = DemandReader(
            tools.session, tools.api, tools.installation.prometheus_url, epoch=tools.epoch
        )
        self._secrets = SecretFinder(tools.api, tools.clock)
        self._reporter = Reporter(
            key, tools.store, tools.installation, tools.metrics, self._applier, me=tools.me
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
                pause_s = await self._turn()
        except NotLeading:
            return LOOK_AGAIN_S
        except (*ClusterTrouble, TimeoutError) as error:
            return self._note_failure(str(error) or "a turn took too long")
        except InvalidManifest as error:
            return self._note_failure(f"this version cannot read the cascade: {error}")
        except HadisError as error:
            return self._note_failure(str(error))
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
        given = self._in_force(self._reading(live))
        # 1. Observe.
        began_s = tools.clock()
        acts = tools.may_act()
        pods = [Pod.from_live(pod) for pod in tools.store.pods(given.owner)]
        view = await self._observer.look(pods, ask_workers=acts)
        if not acts:
            self._stand_by(given, view)
            return LOOK_EVERY_S
        routers = await self._demand.read(given, view)
        tools.metrics.took("observe", tools.clock() - began_s)
        self._take_over(given, live, view)
        self._attained = attaining.note(
            self._attained or attained_before(live), view.now_s, routers
        )
        if given.paused:
            tools.metrics.rests(self.key)
            self._cycler.count(given, view.now_s, routers)
            await self._report(given, live, view, self._survey(given, view), Obstacles(), Result())
            return LOOK_EVERY_S
        # 2. to 4. Plan, when it is time.
        tools.metrics.plans(self.key, given.cascade.planner.interval_s, tools.epoch())
        result, cycled = Result(), False
        if self._cycler.is_due(given, view, self._basis()):
            cycled = True
            result = await self._plan(given, view, routers)
        elif self._cycler.is_warming_up:
            self._cycler.count(given, view.now_s, routers)
        # 5. Write, then deliver.
        survey = self._survey(given, view)
        obstacles, is_recorded = await self._write(given, survey)
        delivered = await self._deliver(given, view, is_recorded=is_recorded)
        output = self._cycler.output
        if cycled and output is not None and is_recorded and not result.trouble:
            tools.metrics.went_well(self.key, output.plan.status, tools.epoch())
        # 6. Report. A leader that is still finding its feet has nothing to correct yet.
        if not self._cycler.is_warming_up:
            await self._report(given, live, view, survey, obstacles, result)
        pause_s = LOOK_AGAIN_S if delivered or result.is_new else LOOK_EVERY_S
        return min(pause_s, self._cycler.due_in_s(given, tools.clock()))

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
            serves=bool(applying.live_slots(store, owner)),
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
        self._tools.metrics.stand_by(self.key)
        self._cycler.count(given, view.now_s, self._demand.read_direct(view))

    def _take_over(self, given: Given, live: Manifest, view: View) -> None:
        store, owner = self._tools.store, given.owner
        self._cycler.take_over(
            self._tools.term(),
            view.now_s,
            store.get(kube.CONFIG_MAPS, owner.namespace, naming.plan(owner)),
            applying.live_slots(store, owner).values(),
            planned_before(live),
            is_serving=any(status.routing is not None for status in view.routers.values()),
        )

    async def _plan(self, given: Given, view: View, routers: tuple[ObservedRouter, ...]) -> Result:
        tools = self._tools
        began_s = tools.clock()
        result = await self._cycler.run(given, view, routers, self._basis())
        tools.metrics.took("plan", tools.clock() - began_s)
        self._reporter.hear(map(events.planned, result.sentences), tools.clock())
        if self._cycler.output is not None and not result.trouble:
            tools.metrics.planned(self.key, self._cycler.output)
        elif result.trouble:
            tools.metrics.failed(self.key)
        return result

    def _survey(self, given: Given, view: View) -> Slots:
        lost = {
            slot for slot, pod in view.slot_pods.items() if pod.plight is slots.Plight.UNSCHEDULABLE
        }
        rendered = self._renderer.slots(given)
        live = applying.live_slots(self._tools.store, given.owner)
        return applying.survey(
            given,
            self._tools.installation,
            rendered,
            live,
            unschedulable=lost,
            stuck=observing.stuck(view),
            edits=self._applier.edits(rendered, live),
        )

    async def _write(self, given: Given, survey: Slots) -> tuple[Obstacles, bool]:
        """Write the plan's ConfigMap first, then what else is to be, then the annotations.

        Returns what was in the way, and whether the plan is on record: one that is not must not be
        told to anybody, or a successor would not know of its version.
        """
        tools, state = self._tools, self._cycler.state
        began_s = tools.clock()
        rendered = self._renderer.fleet(given, state.routing, state.assignments)
        of_fleet = await self._applier.shape(given.owner, rendered)
        of_slots = await self._applier.shape_slots(given, survey)
        owner = given.owner
        record = tools.store.get(kube.CONFIG_MAPS, owner.namespace, naming.plan(owner))
        is_recorded = objects.is_current(record, rendered[0])
        if self._cycler.output is not None and is_recorded:
            await self._applier.annotate(owner, self._cycler.output.assignments)
        tools.metrics.took("write", tools.clock() - began_s)
        found = of_fleet + of_slots
        self._reporter.hear(map(events.restored, found.restored), tools.clock())
        return found, is_recorded

    async def _deliver(self, given: Given, view: View, *, is_recorded: bool) -> bool:
        tools = self._tools
        if not tools.may_act():
            raise NotLeading("another operator may be acting by now")
        began_s = tools.clock()
        told = await self._courier.deliver_cascade(
            self._renderer.document(given), given.cascade.generation, view
        )
        is_busy = told.changed
        if self._cycler.output is not None and is_recorded:
            delivery = await self._courier.deliver_plan(self._cycler.output, view)
            is_busy = is_busy or delivery.changed
        tools.metrics.took("deliver", tools.clock() - began_s)
        return is_busy

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
        obstacles: Obstacles,
        result: Result,
    ) -> None:
        tools = self._tools
        began_s = tools.clock()
        turn = Turn(
            given=given,
            live=live,
            view=view,
            survey=survey,
            obstacles=obstacles,
            source=self._demand.source,
            attainment=self._shown_attainment(live, view.now_s, result),
            output=self._cycler.output,
            plan_status=self._cycler.shown,
            plan_trouble=self._cycler.trouble,
            missing_secret=await self._missing_secret(given, view),
        )
        await self._reporter.report(turn, tools.clock(), tools.epoch())
        tools.metrics.took("report", tools.clock() - began_s)

    async def _missing_secret(self, given: Given, view: View) -> str:
        """Return the name of the Secret that routers wait for in vain; empty when they do not."""
        keys = given.spec["router"].get("apiKeys")
        routers = view.router_pods.values()
        if keys is None or (routers and all(pod.ready for pod in routers)):
            return ""
        name = str(keys["secretName"])
        return name if await self._secrets.is_missing(given.owner.namespace, name) else ""

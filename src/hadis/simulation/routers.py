"""The virtual router: production's decisions about each request, on virtual workers.

Lanes, stages, workers, admission, verdicts and caution come from `hadis.routing`; this module only
asks them in the order in which a router does, and keeps the books. There is one router, and its
answers take no time beside the profile's overhead.
"""

import random
from collections.abc import Callable, Sequence

from hadis.planning import solving
from hadis.routing import admitting, cascading, entry, picking
from hadis.routing.entry import Route, Stage
from hadis.simulation import directing
from hadis.simulation.books import DEGRADED, ESCALATED, EXPIRED, HEAVY, LIGHT, REJECTED, Books
from hadis.simulation.directing import Manner
from hadis.simulation.fleets import Fleet
from hadis.simulation.scenarios import Scenario
from hadis.simulation.workers import Request, RoutedLane, Worker
from hadis.terms.assignments import Lane
from hadis.terms.profiles import Deliver

Ranks = dict[tuple[str, str, float, float], tuple[float, float]]


class Router:
    """Takes requests in and sees each to its one end. `fleet` is set before the first one.

    `later(at_s, request)` has `rescue` called at that time.
    """

    fleet: Fleet

    def __init__(
        self,
        scenario: Scenario,
        manner: Manner,
        books: Books,
        *,
        later: Callable[[float, Request], None],
    ) -> None:
        profile, workload = scenario.profile, scenario.workload
        self.in_flight = 0
        self._books = books
        self._manner = manner
        self._later = later
        overhead_s = profile.overhead_s
        self._margin_s = admitting.delivery_margin_s(scenario.slo_s) if manner.degrades else 0.0
        self._time_s = scenario.slo_s - self._margin_s - overhead_s
        self._scores_heavy = profile.deliver is Deliver.BETTER
        self._hardness: Sequence[float] = workload.hardness.tolist()
        self._scores: list[Sequence[float]] = [
            workload.scores[name].tolist() if name in workload.scores else ()
            for name in scenario.models
        ]
        self._ranks = _ranks(scenario) if workload.ranks and not manner.blind else None
        # Two streams: which lane a prompt draws does not depend on how many workers were asked.
        self._lane_draw = random.Random(scenario.seed).random
        self._draw = random.Random(scenario.seed + 1).random
        self._blind_draw = random.Random(scenario.seed + 2).random
        self._caution = [admitting.FIRST_CAUTION] * len(scenario.models)
        self._lanes: tuple[Lane, ...] = ()
        self._shares: list[float] = []
        self._routed: list[RoutedLane] = []

    def follow(self, lanes: tuple[Lane, ...]) -> None:
        """Send what arrives from now on through these lanes."""
        if lanes == self._lanes:
            return
        self._lanes = lanes
        self._shares = [lane.share for lane in lanes]
        self._routed = [self._routed_lane(lane) for lane in lanes]

    def open_window(self, now_s: float) -> None:
        """Count what arrives from now on in the window of `now_s`."""
        self._books.turn_to(now_s)
        for lane, routed in zip(self._lanes, self._routed, strict=True):
            routed.tally = self._books.tally((_shareless(lane), self._manner.blind))

    def arrive(self, now_s: float, prompt: int) -> None:
        """Take one request in."""
        books = self._books
        if now_s >= books.window_end_s:
            self.open_window(now_s)
        books.counts.arrived += 1
        self.in_flight += 1
        lanes = self._routed
        lane = lanes[0]
        if len(lanes) > 1:
            lane = lanes[entry.draw_lane(self._shares, self._lane_draw())]
        hardness = self._blind_draw() if self._manner.blind else self._hardness[prompt]
        request = Request(now_s, now_s + self._time_s, prompt, lane, lane.tally)
        if entry.enter(Route.PLANNED, hardness, lane.hardness_threshold) is Stage.HEAVY:
            books.counts.direct += 1
            self._enter_heavy(request, now_s)
        elif not self._enter_light(request, now_s):
            self._drop(request, REJECTED)

    def ended(self, request: Request, model: int, now_s: float) -> None:
        """Take an image that was made: deliver it, or judge it and send the request on."""
        if request.over:
            return
        if self._manner.degrades:
            self._learn(request, model, now_s)
        if request.has_light:
            self._deliver(request, ESCALATED, now_s)
        elif model != request.lane.light:
            self._deliver(request, HEAVY, now_s)
        elif request.degrading:
            self._deliver(request, DEGRADED, now_s)
        elif request.lane.is_judged:
            self._judge(request, model, now_s)
        else:
            self._deliver(request, LIGHT, now_s)

    def hopeless(self, request: Request, model: int, now_s: float) -> None:
        """Take a request back that its worker cannot make in time any more."""
        if request.over:
            return
        if not self._manner.degrades:
            self._drop(request, EXPIRED)
        elif request.has_light:
            # The light image leaves when the time for the heavy one is up, whenever that is seen.
            self._deliver(request, DEGRADED, request.latest_s)
        elif request.degrading or model == request.lane.light:
            self._drop(request, EXPIRED)
        else:
            self._enter_light_instead(request, now_s)

    def homeless(self, request: Request, model: int, now_s: float) -> None:
        """Send a request to another worker of the model, while that can still make it in time.

        Plans that change faster than models load would pass it on for ever.
        """
        if request.over:
            return
        if now_s + self.fleet.seconds[model][1] > request.latest_s:
            self.hopeless(request, model, now_s)
        elif not self._send(request, model, now_s):
            self._drop(request, EXPIRED)

    def rescue(self, request: Request, now_s: float) -> None:
        """Have a light image made beside a heavy one that is not there yet, if it would be late."""
        if request.over or request.degrading:
            return
        heavy, worker = request.lane.heavy, request.worker
        waits = self.fleet.withdraw(request, heavy)
        if not waits and worker is not None and worker.until_s <= request.latest_s:
            return
        self._enter_light_instead(request, now_s)

    def _enter_light(self, request: Request, now_s: float) -> bool:
        lane = request.lane
        request.scored = lane.is_judged and not request.degrading
        return self._send(request, lane.light, now_s)

    def _enter_heavy(self, request: Request, now_s: float) -> None:
        lane = request.lane
        if not self._manner.degrades or lane.light == lane.heavy:
            if not self._send(request, lane.heavy, now_s):
                self._drop(request, REJECTED)
            return
        # A request is let in by the lightest path that it may take.
        lightest = lane.light if self.fleet.pools[lane.light].workers else lane.heavy
        if self._in_time(lightest, request.latest_s, now_s) is None:
            self._drop(request, REJECTED)
        elif self._send(request, lane.heavy, now_s, hoped=True):
            light_s = self.fleet.seconds[lane.light][1]
            rescue_s = request.latest_s - 2.0 * light_s - self._margin_s
            self._later(max(rescue_s, now_s), request)
        else:
            request.degrading = True
            if not self._send(request, lane.light, now_s):
                self._drop(request, REJECTED)

    def _enter_light_instead(self, request: Request, now_s: float) -> None:
        request.degrading = True
        if not self._send(request, request.lane.light, now_s):
            self._drop(request, EXPIRED)

    def _judge(self, request: Request, model: int, now_s: float) -> None:
        lane, books = request.lane, self._books
        books.counts.judged += 1
        score = self._blind_draw() if self._manner.blind else self._scores[model][request.prompt]
        if cascading.is_good_enough(score, lane.quality_threshold):
            self._deliver(request, LIGHT, now_s)
            return
        books.counts.escalated += 1
        request.has_light = True
        request.scored = self._scores_heavy
        if self._send(request, lane.heavy, now_s, hoped=True):
            return
        if self._manner.degrades:
            self._deliver(request, DEGRADED, now_s)
        else:
            self._drop(request, EXPIRED)

    def _send(self, request: Request, model: int, now_s: float, *, hoped: bool = False) -> bool:
        """Send a request to a worker of `model`; False when there is none, or none in time."""
        if self._manner.degrades:
            worker = self._in_time(model, request.latest_s, now_s, hoped=hoped)
        else:
            worker = self._any(model, request.latest_s, now_s)
        if worker is None:
            return False
        start_s = picking.start_s(worker.clocks[worker.place], now_s)
        request.sent_s = now_s
        request.predicted_s = start_s - now_s + self.fleet.seconds[model][1]
        self.fleet.send(worker, request, model, now_s)
        return True

    def _any(self, model: int, latest_s: float, now_s: float) -> Worker | None:
        """Return a worker of the model, however late."""
        pool = self.fleet.pools[model]
        count = len(pool.workers)
        if count == 0:
            return self._holder(model, now_s)
        if self._manner.random_worker:
            return pool.workers[int(self._draw() * count)]
        latest_start_s = latest_s - self.fleet.seconds[model][1]
        place = picking.pick_lazily(
            count, pool.clocks.__getitem__, self._draw(), self._draw(), latest_start_s
        )
        return pool.workers[place]

    def _in_time(
        self, model: int, latest_s: float, now_s: float, *, hoped: bool = False
    ) -> Worker | None:
        """Return a worker that is cautiously expected to be in time, or None.

        `hoped`: without caution where the worker is idle, as production tries a heavy image that a
        light one can stand in for. A router that holds nothing else lets one
        request in that could be in time.
        """
        seconds = self.fleet.seconds[model][1]
        allowed_s = admitting.latest_expected_s(latest_s, now_s, self._caution[model]) - seconds
        pool = self.fleet.pools[model]
        clocks = pool.clocks
        if clocks:
            place = picking.pick_lazily(
                len(clocks), clocks.__getitem__, self._draw(), self._draw(), allowed_s
            )
            if picking.start_s(clocks[place], now_s) <= allowed_s:
                return pool.workers[place]
            is_idle = clocks[place] <= now_s
            if is_idle and now_s <= latest_s - seconds and (hoped or self.in_flight == 1):
                return pool.workers[place]
        other = self._idle_elsewhere(model, now_s) if clocks else self._holder(model, now_s)
        if other is None or picking.start_s(other.clock_s, now_s) > allowed_s:
            return None
        return other

    def _idle_elsewhere(self, model: int, now_s: float) -> Worker | None:
        """Return an idle worker of another model that holds this one, too."""
        if not self.fleet.holds_all:
            return None
        for number, pool in enumerate(self.fleet.pools):
            if number != model and pool.clocks and min(pool.clocks) <= now_s:
                return pool.workers[pool.clocks.index(min(pool.clocks))]
        return None

    def _holder(self, model: int, now_s: float) -> Worker | None:
        """Return the worker that would start the model first, though it has another to serve."""
        fleet = self.fleet
        holders = [
            worker
            for worker in fleet.workers
            if worker.loading < 0 and (fleet.holds_all or worker.loaded == model)
        ]
        return min(holders, key=lambda worker: max(worker.clock_s, now_s), default=None)

    def _learn(self, request: Request, model: int, now_s: float) -> None:
        """Learn from an image how far predictions for its model may be trusted."""
        caution = self._caution[model]
        underestimated = admitting.is_underestimated(
            request.predicted_s, now_s - request.sent_s, caution
        )
        self._caution[model] = admitting.next_caution(caution, underestimated=underestimated)

    def _deliver(self, request: Request, outcome: int, now_s: float) -> None:
        request.over = True
        self.in_flight -= 1
        self._books.deliver(request.tally, outcome, request.arrived_s, now_s)

    def _drop(self, request: Request, outcome: int) -> None:
        request.over = True
        self.in_flight -= 1
        self._books.drop(request.tally, outcome)

    def _routed_lane(self, lane: Lane) -> RoutedLane:
        theta, tau = lane.hardness_threshold, lane.quality_threshold
        key = _shareless(lane)
        if self._ranks is not None:
            found = (lane.light, lane.heavy, theta, tau)
            theta, tau = self._ranks.get(found, (theta, tau))
        number = self.fleet.number
        return RoutedLane(
            light=number[lane.light],
            heavy=number[lane.heavy],
            hardness_threshold=theta,
            quality_threshold=tau,
            is_judged=entry.is_judged(Route.PLANNED, tau),
            tally=self._books.tally((key, self._manner.blind)),
        )


def _shareless(lane: Lane) -> Lane:
    return Lane(1.0, lane.light, lane.heavy, lane.hardness_threshold, lane.quality_threshold)


def _ranks(scenario: Scenario) -> Ranks:
    """Return for the thresholds of each row those that send the same shares of uniform ranks."""
    profile = scenario.profile
    return {solving.lane_key(row): directing.ranked(row) for row in (*profile.grid, *profile.rows)}

"""The replay itself: arrivals in order, a heap of what is to happen, a policy asked every tick.

Requests that are still on their way when the trace ends are seen to their end. Everything random
comes from the scenario's seed, so that equal scenarios give equal books.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from hadis.simulation.books import Books
from hadis.simulation.directing import Directive, Policy
from hadis.simulation.fleets import Fleet
from hadis.simulation.routers import Router
from hadis.simulation.scenarios import Scenario
from hadis.simulation.workers import Batch, Request, Worker

FIRST_S = 10.0
"""Every policy starts with its own plan for the mean demand of so many seconds."""
LOOK_S = 1.0
"""A controller sees within so long that a worker has changed its model."""

_WORKER, _REQUEST, _TICK, _LOOK = range(4)


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks on: `on_progress` is told how many more requests have arrived."""

    on_progress: Callable[[int], None] | None = None
    on_batch: Callable[[Batch], None] | None = None
    on_directive: Callable[[float, Directive], None] | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out: the books, and how the fleet spent its time until `end_s`."""

    books: Books
    swaps: int
    busy_s: float
    loading_s: float
    end_s: float


def replay(scenario: Scenario, policy: Policy, watch: Watch | None = None) -> Replayed:
    """Replay a scenario, which `scenarios.check` has found sound, under a policy."""
    return _Replay(scenario, policy, watch or Watch()).run()


class _Replay:
    def __init__(self, scenario: Scenario, policy: Policy, watch: Watch) -> None:
        manner = policy.manner
        self._scenario = scenario
        self._policy = policy
        self._watch = watch
        self._events: list[tuple[float, int, int, Worker | Request | None]] = []
        self._sequence = 0
        self._looking = False
        self._now_s = 0.0
        self._books = Books(scenario.slo_s, scenario.profile.overhead_s)
        self._router = Router(scenario, manner, self._books, later=self._later_request)
        self._fleet = Fleet(
            scenario,
            waits_for_loading=manner.waits_for_loading,
            later=self._later_worker,
            ended=self._router.ended,
            hopeless=self._router.hopeless,
            homeless=self._router.homeless,
            on_batch=watch.on_batch,
        )
        self._router.fleet = self._fleet

    def run(self) -> Replayed:
        trace = self._scenario.trace
        self._policy.start(trace.count(0.0, FIRST_S) / FIRST_S)
        self._ask(at_start=True)
        self._push(self._scenario.interval_s, _TICK, None)
        events, arrive = self._events, self._router.arrive
        for arrivals, prompts in trace.chunks():
            for at_s, prompt in zip(arrivals, prompts, strict=True):
                while events[0][0] <= at_s:
                    self._happen()
                arrive(at_s, prompt)
            if self._watch.on_progress is not None:
                self._watch.on_progress(len(arrivals))
        self._now_s = max(self._now_s, trace.duration_s)
        while self._router.in_flight:
            self._happen()
        workers = self._fleet.workers
        return Replayed(
            books=self._books,
            swaps=self._fleet.swaps,
            busy_s=sum(worker.busy_s for worker in workers),
            loading_s=sum(worker.loading_s for worker in workers),
            end_s=max([self._now_s, *(w.until_s for w in workers if not w.is_idle)]),
        )

    def _happen(self) -> None:
        """Let the next event happen. There always is one: the next tick."""
        now_s, _, kind, subject = heapq.heappop(self._events)
        self._now_s = now_s
        if kind == _WORKER:
            assert isinstance(subject, Worker)
            changed = self._fleet.advance(subject, now_s)
            if changed and self._policy.manner.follows_swaps and not self._looking:
                self._looking = True
                self._push(now_s + LOOK_S, _LOOK, None)
        elif kind == _REQUEST:
            assert isinstance(subject, Request)
            self._router.rescue(subject, now_s)
        elif kind == _LOOK:
            self._looking = False
            self._ask()
        else:
            self._ask()
            self._push(now_s + self._scenario.interval_s, _TICK, None)

    def _ask(self, *, at_start: bool = False) -> None:
        """Show the policy what a controller sees, and do what it says."""
        now_s, manner, books = self._now_s, self._policy.manner, self._books
        snapshot = self._fleet.snapshot(
            now_s,
            books.counts.observed("router", 0),
            all_able=at_start or not manner.sees_loading,
        )
        directive = self._policy.plan(snapshot)
        self._fleet.assign(directive.assignments, now_s, at_once=at_start)
        self._router.follow(directive.lanes)
        window = books.windows[-1]
        window.workers = self._fleet.by_model()
        window.loading = sum(1 for worker in self._fleet.workers if worker.loading >= 0)
        window.status = directive.status
        if self._watch.on_directive is not None:
            self._watch.on_directive(now_s, directive)

    def _push(self, at_s: float, kind: int, subject: Worker | Request | None) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (at_s, self._sequence, kind, subject))

    def _later_worker(self, at_s: float, worker: Worker) -> None:
        self._push(at_s, _WORKER, worker)

    def _later_request(self, at_s: float, request: Request) -> None:
        self._push(at_s, _REQUEST, request)

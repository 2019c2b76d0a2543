"""What a figure needs to have run: replays of a load under a policy, and clairvoyant bounds.

Tasks are values: two figures that need the same one share it, and equal tasks have equal results.
They run in processes of their own.
"""

import math
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.paper import measurements
from benchmarks.paper.measurements import SLO_S, WORKERS, Measurements

from hadis.planning.snapshots import Snapshot
from hadis.simulation import bounds, policies, quality, replaying, summaries
from hadis.simulation.books import (
    DEGRADED,
    ESCALATED,
    EXPIRED,
    HEAVY,
    LATE,
    LIGHT,
    REJECTED,
    Window,
)
from hadis.simulation.directing import Directive, Policy
from hadis.simulation.scenarios import Scenario
from hadis.terms.ids import ModelName
from hadis.terms.profiles import ProfileRow

Numbers = dict[str, Any]
Counts = dict[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """A replay of a load under a policy."""

    load: str
    policy: str
    seed: int = 0
    slo_s: float = SLO_S
    swap: str = "none"
    pair: tuple[ModelName, ModelName] | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """The clairvoyant bound of a load over some of the rows; `seed` is that of the arrivals."""

    load: str
    rows: str = "hybrid"
    seed: int = 0
    slo_s: float = SLO_S


Task = Run | Bound
Results = Mapping[Task, Numbers]


def is_routed(row: ProfileRow) -> bool:
    """Whether a row needs the router's stage."""
    return math.isfinite(row.hardness_threshold)


def is_judged(row: ProfileRow) -> bool:
    """Whether a row needs the discriminator."""
    return math.isfinite(row.quality_threshold)


DIFFSERVE_PAIR = (measurements.TURBO, measurements.LARGE)
ROWS: Mapping[str, Callable[[ProfileRow], bool]] = {
    "hybrid": lambda row: True,  # noqa: ARG005
    "router-only": lambda row: not is_judged(row),
    "discriminator-only": lambda row: not is_routed(row),
    "diffserve": lambda row: not is_routed(row) and (row.light, row.heavy) == DIFFSERVE_PAIR,
}
"""The rows that a kind of planner may choose from."""


class Watched:
    """A policy whose view of the queues is written down, by the second of its plans."""

    def __init__(self, policy: Policy) -> None:
        self.name, self.manner, self.solve_s = policy.name, policy.manner, policy.solve_s
        self.waiting: list[tuple[float, Counts]] = []
        self._policy = policy

    def start(self, demand_per_s: float) -> None:
        """Hand on."""
        self._policy.start(demand_per_s)

    def plan(self, snapshot: Snapshot) -> Directive:
        """Write the queues down and hand on."""
        counts: Counts = {}
        for worker in snapshot.workers:
            for model, count in worker.waiting.items():
                counts[model] = counts.get(model, 0.0) + count
        self.waiting.append((snapshot.now_s, counts))
        return self._policy.plan(snapshot)


def scenario(data: Measurements, task: Task) -> Scenario:
    """Return what a task replays."""
    is_run = isinstance(task, Run)
    return Scenario(
        profile=data.profile,
        trace=measurements.trace(data, task.load, task.seed),
        workload=data.workload,
        workers=WORKERS,
        slo_s=task.slo_s,
        swap_s=measurements.swap_s(task.swap) if is_run else {},
        seed=task.seed,
        pair=task.pair if is_run else None,
    )


def perform(data: Measurements, task: Task) -> Numbers:
    """Return what a task comes to; nothing in it depends on the machine's speed."""
    if isinstance(task, Bound):
        rows = tuple(row for row in data.profile.rows if ROWS[task.rows](row))
        given = replace(scenario(data, task), profile=replace(data.profile, rows=rows))
        bound = bounds.clairvoyant(given)
        return {"fid": bound.quality, "overloaded": bound.overloaded}
    given = scenario(data, task)
    policy = Watched(policies.make(task.policy, given))
    done = replaying.replay(given, policy)
    told: Any = summaries.summarise(given, policy, done, wall_s=0.0).figures
    grid = quality.grids(given.profile)[0]
    return {
        "requests": told["requests"],
        "fid": told["fid"],
        "violations": told["slo_violation_ratio"],
        "late": told["violations"]["late"],
        "dropped": told["violations"]["dropped"],
        "direct": told["direct_ratio"],
        "escalated": told["escalation_ratio"],
        "degraded": told["degraded_ratio"],
        "swaps": told["swaps"],
        "mean_latency_s": told["mean_latency_s"],
        "p99_latency_s": told["p99_latency_s"],
        "windows": [_window(grid, window, policy.waiting) for window in done.books.windows],
    }


def run_all(
    folder: Path, tasks: Iterable[Task], jobs: int, on_done: Callable[[Task], None]
) -> dict[Task, Numbers]:
    """Run each task once, `jobs` at a time, and tell of each that is done."""
    wanted = list(dict.fromkeys(tasks))
    results: dict[Task, Numbers] = {}
    context = multiprocessing.get_context("spawn")  # a progress bar has threads
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {pool.submit(_in_process, folder, task): task for task in wanted}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                on_done(futures[future])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {task: results[task] for task in wanted}


def averaged(results: Sequence[Numbers]) -> Numbers:
    """Return the mean of runs that differ in their seed, without their windows."""
    names = [name for name in results[0] if name != "windows"]
    told: Numbers = {name: _mean([result[name] for result in results]) for name in names}
    if "violations" in told:
        told["worst_30s"] = _mean([worst(result["windows"]) for result in results])
    return told


def averaged_windows(results: Sequence[Numbers]) -> list[Numbers]:
    """Return the mean of each window over runs that differ in their seed."""
    starts = sorted({w["start_s"] for result in results for w in result["windows"]})
    found: dict[float, list[Numbers]] = {start: [] for start in starts}
    for result in results:
        for window in result["windows"]:
            found[window["start_s"]].append(window)
    return [_merged(windows) for windows in found.values()]


def worst(windows: Sequence[Numbers], length: int = 3) -> float:
    """Return the highest share of violations in `length` windows in a row."""
    shares = [0.0]
    for first in range(max(len(windows) - length + 1, 1)):
        part = windows[first : first + length]
        requests = sum(window["requests"] for window in part)
        if requests:
            missed = sum(window["violations"] * window["requests"] for window in part)
            shares.append(missed / requests)
    return max(shares)


def _in_process(folder: Path, task: Task) -> Numbers:
    return perform(measurements.read(folder), task)


def _window(grid: quality.Grid, window: Window, seen: Sequence[tuple[float, Counts]]) -> Numbers:
    """Return a window: its requests and what became of them, by model where that is asked."""
    tally = window.total
    requests = sum(tally[:LATE])
    delivered: Counts = {}
    intake: Counts = {}
    light, heavy = set(), set()
    for (lane, _), counts in window.lanes.items():
        accepted = counts[LIGHT] + counts[DEGRADED]
        sent = counts[HEAVY] + counts[ESCALATED]
        for model, made, taken in (
            (lane.light, accepted, accepted + counts[ESCALATED]),
            (lane.heavy, sent, sent),
        ):
            delivered[model] = delivered.get(model, 0) + made
            intake[model] = intake.get(model, 0) + taken
        if sum(counts[:LATE]):
            light.add(lane.light)
            heavy.add(lane.heavy)
    fid, _ = summaries.window_quality(grid, window)
    missed = tally[LATE] + tally[REJECTED] + tally[EXPIRED]
    end_s = window.start_s + 10.0
    queues = [counts for at_s, counts in seen if window.start_s <= at_s < end_s]
    return {
        "start_s": window.start_s,
        "requests": requests,
        "fid": fid,
        "violations": missed / requests if requests else 0.0,
        "direct": tally[HEAVY],
        "escalated": tally[ESCALATED],
        "delivered": {model: count for model, count in delivered.items() if count},
        "intake": {model: count for model, count in intake.items() if count},
        "workers": dict(window.workers),
        "heavy_workers": sum(window.workers.get(model, 0) for model in heavy - light),
        "waiting": _merged_counts(queues),
        "heavy_waiting": _mean([sum(q.get(m, 0.0) for m in heavy - light) for q in queues]) or 0.0,
    }


def _merged(windows: Sequence[Numbers]) -> Numbers:
    """Return the mean of equal windows of several runs; violations weighted by requests."""
    requests = sum(window["requests"] for window in windows)
    missed = sum(window["violations"] * window["requests"] for window in windows)
    told: Numbers = {}
    for name, value in windows[0].items():
        values = [window[name] for window in windows]
        told[name] = _merged_counts(values) if isinstance(value, dict) else _mean(values)
    told["violations"] = missed / requests if requests else 0.0
    return told


def _merged_counts(counts: Sequence[Mapping[str, float]]) -> Counts:
    names = sorted({name for each in counts for name in each})
    return {name: sum(each.get(name, 0) for each in counts) / len(counts) for name in names}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

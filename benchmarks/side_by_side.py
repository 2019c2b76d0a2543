"""Does the replay tell the truth? One trace on the local fleet and in the replay, side by side.

    PYTHONPATH=tests python benchmarks/side_by_side.py [--out F] [--phases LIST] [--workers N]

Measures the latencies of the scenes cascade on this machine, as `hadis profile` does, starts
`hadis up` with them, sends a trace with `hadis bench`, and replays the same trace over the same
profile. The replay's workers are as fast as the fleet's said they were: the profile's seconds times
the scale by which the fleet planned, in the mean over the requests. Which share of the prompts a
threshold sends on is the profile's; no score is taken over from the fleet.

The trace is replayed twice. With the plans that the fleet made, at the moments when it made them,
the two have to agree: that is what the replay makes of a plan. With plans of its own, made by the
same code from what it sees, it may differ further: on a machine that is a tenth slower for a while
the best plan is another one. Prints one JSON object; exits with 1 when the first is further apart
than allowed, with 2 when the run does not count. Nothing else should run meanwhile.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hadis.planning.snapshots import Snapshot
from hadis.planning.summaries import lane_line
from hadis.profiling import traces, workloads
from hadis.profiling.traces import Trace
from hadis.simulation import books, policies, replaying, summaries
from hadis.simulation.directing import Directive, Manner, Policy
from hadis.simulation.replaying import Watch
from hadis.simulation.scenarios import Scenario
from hadis.terms.assignments import Assignment, Role
from hadis.terms.ids import ModelName
from hadis.terms.profiles import ModelLatency, Profile
from hadis.wire import manifests
from hadis.wire.assignments import LaneBody
from hadis_profiler import latencies
from support.scenes_fleet import ScenesFleet, held_out_prompts

Figures = dict[str, Any]
SLO_S = 10.0
INTERVAL_S = 5.0
PHASES = "90x1,90x4,90x8,90x4,90x1"
RATIO_APART = 0.03
LATENCY_APART = 0.15


class Plans(threading.Thread):
    """Notes twice a second what the fleet plans, and its factor on the profile's seconds."""

    def __init__(self, fleet: ScenesFleet) -> None:
        super().__init__(daemon=True)
        self._fleet = fleet
        self._ended = threading.Event()
        self._began_s = time.monotonic()
        self.times_s: list[float] = []
        self.scales: list[float] = []
        self.plans: list[Figures] = []

    def run(self) -> None:
        while not self._ended.wait(0.5):
            plan = self._fleet.status()["plan"]
            self.scales.append(plan["latency_scale"])
            self.times_s.append(time.monotonic() - self._began_s)
            now = {name: plan[name] for name in ("lanes", "workers", "batch")}
            if not self.plans or {**self.plans[-1], **now} != self.plans[-1]:
                at_s = round(self.times_s[-1], 1)
                self.plans.append(
                    {"at_s": at_s, "demand": plan["demand"], "scale": self.scales[-1], **now}
                )

    def stop(self) -> None:
        """Note no more."""
        self._ended.set()
        self.join()

    def scale(self, arrivals_s: Sequence[float]) -> float:
        """Return the mean scale that requests met which arrived at these times."""
        return float(np.mean(np.interp(arrivals_s, self.times_s, self.scales)))


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a trace: the summary, and by its phases; `plans` is for whoever looks why."""

    figures: Figures
    by_phase: list[Figures]
    plans: list[Figures]


def measure(fleet: ScenesFleet, workers: int) -> Profile:
    """Put this machine's latencies into the fleet's cascade file; return the profile.

    Those that ship are another machine's: the ratios of models and batch sizes to each other are
    different, and no one scale sets them right.
    """
    given = manifests.read_manifests(fleet.cascade_file.read_text(), source=str(fleet.cascade_file))
    assert given.profile is not None
    print("measuring latencies", file=sys.stderr)
    took = latencies.measure(given.cascade, processes=workers)
    profile = replace(
        given.profile,
        models=tuple(ModelLatency(m.name, took.models[m.name]) for m in given.profile.models),
        scoring_latency_s=took.scoring,
    )
    told = manifests.dump_objects(given.cascade, profile)
    spec = fleet.documents[1]["spec"]
    for field in ("models", "scoringLatencies"):
        spec[field] = told["profile"]["spec"][field]
    fleet.write()
    return profile


def on_the_fleet(trace: Trace, phases: str, workers: int) -> tuple[Run, Profile, float]:
    """Return what `hadis bench` reports, and the fleet's profile and scale."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fleet = ScenesFleet(folder, workers=workers)
        profile = measure(fleet, workers)
        fleet.start()
        try:
            trace_file, prompts_file = folder / "trace.txt", folder / "prompts.txt"
            lines = zip(trace.at_s.tolist(), trace.prompt.tolist(), strict=True)
            trace_file.write_text("".join(f"{1000 * at:.3f},{index + 1}\n" for at, index in lines))
            prompts_file.write_text("\n".join(held_out_prompts()))
            watch, records = Plans(fleet), folder / "records.jsonl"
            watch.start()
            command = [sys.executable, "-m", "hadis_cli.main", "bench", "--url", fleet.url]
            command += ["--trace", str(trace_file), "--prompts", str(prompts_file)]
            command += ["--slo", str(SLO_S), "--json", "--records", str(records)]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            watch.stop()
            told = records.read_text().splitlines() if records.exists() else []
        finally:
            fleet.stop()
    if not run.stdout:
        raise RuntimeError(run.stderr)
    entries = [json.loads(line) for line in told]
    by_phase = [
        shares_of([e["path"] for e in entries if start_s <= e["scheduled_s"] < end_s])
        for start_s, end_s in spans(phases)
    ]
    return (
        Run(json.loads(run.stdout), by_phase, watch.plans),
        profile,
        watch.scale(trace.at_s.tolist()),
    )


def spans(phases: str) -> list[tuple[float, float]]:
    """Return the start and the end of each phase."""
    ends_s = list(itertools.accumulate(one.duration_s for one in traces.read_phases(phases)))
    return list(zip([0.0, *ends_s], ends_s, strict=False))


def shares_of(paths: Sequence[str | None]) -> Figures:
    """Return how many requests took which way."""
    total = max(len(paths), 1)
    escalated = sum(path in ("light>heavy", "kept") for path in paths)
    return {
        "requests": len(paths),
        "escalation_ratio": round(escalated / total, 4),
        "direct_ratio": round(sum(path == "heavy" for path in paths) / total, 4),
    }


class Followed:
    """A policy that does what a fleet has done, when it did it."""

    name = "followed"

    def __init__(self, plans: Sequence[Figures]) -> None:
        self.manner = Manner(degrades=True, sees_loading=True)
        self.solve_s: list[float] = []
        self._plans = plans

    def start(self, demand_per_s: float) -> None:
        """Nothing depends on it."""

    def plan(self, snapshot: Snapshot) -> Directive:
        """Return the last plan that was in force by now."""
        past = [plan for plan in self._plans if plan["at_s"] <= snapshot.now_s]
        told = past[-1] if past else self._plans[0]
        models = [
            ModelName(n) for n, count in sorted(told["workers"].items()) for _ in range(count)
        ]
        return Directive(
            tuple(LaneBody.model_validate(line).to_terms() for line in told["lanes"]),
            {
                worker.name: Assignment(1, model, Role.LIGHT, told["batch"][model])
                for worker, model in zip(snapshot.workers, models, strict=False)
            },
            "followed",
        )


def in_the_replay(
    trace: Trace, phases: str, workers: int, profile: Profile, plans_of: Sequence[Figures] = ()
) -> Run:
    """Return the replay of the same trace, with its own plans or those of a fleet."""
    models = [model.name for model in profile.models]
    scenario = Scenario(
        profile=profile,
        trace=trace,
        workload=workloads.uniform(len(held_out_prompts()), models, seed=1),
        workers=workers,
        slo_s=SLO_S,
        seed=1,
        interval_s=0.5 if plans_of else INTERVAL_S,
    )
    policy: Policy = policies.make("hadis", scenario, clock=time.perf_counter)
    if plans_of:
        policy = Followed(plans_of)
    plans: list[Figures] = []

    def note(now_s: float, directive: Directive) -> None:
        lanes = [lane_line(lane) for lane in directive.lanes]
        models = Counter(str(one.model) for one in directive.assignments.values())
        now = {"lanes": lanes, "workers": dict(models)}
        if not plans or {**plans[-1], **now} != plans[-1]:
            plans.append({"at_s": round(now_s, 1), **now})

    started_s = time.perf_counter()
    done = replaying.replay(scenario, policy, Watch(on_directive=note))
    wall_s = time.perf_counter() - started_s
    figures = dict(summaries.summarise(scenario, policy, done, wall_s=wall_s).figures)
    by_phase = []
    for start_s, end_s in spans(phases):
        windows = [w.total for w in done.books.windows if start_s <= w.start_s < end_s]
        tally = [sum(column) for column in zip(*windows, strict=True)]
        total = max(sum(tally[: books.LATE]), 1)
        by_phase.append(
            {
                "requests": total,
                "escalation_ratio": round(tally[books.ESCALATED] / total, 4),
                "direct_ratio": round(tally[books.HEAVY] / total, 4),
            }
        )
    return Run(figures, by_phase, plans)


def scaled(profile: Profile, scale: float) -> Profile:
    """Return the profile of workers that take `scale` times as long."""
    models = (
        replace(model, latency_s={size: scale * s for size, s in model.latency_s.items()})
        for model in profile.models
    )
    scoring = {size: scale * seconds for size, seconds in profile.scoring_latency_s.items()}
    return replace(profile, models=tuple(models), scoring_latency_s=scoring)


def compared(fleet: Figures, replay: Mapping[str, Any]) -> Figures:
    """Return each figure of both, how far they are apart, and what is allowed."""
    paths, requests = fleet["by_path"], fleet["requests"]
    escalated = (paths.get("light>heavy", 0) + paths.get("kept", 0)) / requests
    direct = paths.get("heavy", 0) / requests
    pairs = {
        "slo_violation_ratio": (fleet["slo_violation_ratio"], RATIO_APART),
        "escalation_ratio": (escalated, RATIO_APART),
        "mean_latency_s": (fleet["mean_latency_s"], LATENCY_APART * fleet["mean_latency_s"]),
        "direct_ratio": (direct, None),
    }
    rows: Figures = {}
    for name, (measured, allowed) in pairs.items():
        apart = abs(replay[name] - measured)
        rows[name] = {
            "fleet": round(measured, 4),
            "replay": round(replay[name], 4),
            "apart": round(apart, 4),
            "allowed": None if allowed is None else round(allowed, 4),
            "passed": allowed is None or apart <= allowed,
        }
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Set the local fleet and its replay side by side.")
    parser.add_argument("--out", type=Path, help="write the result here too")
    parser.add_argument("--phases", default=PHASES, help=f"SECONDSxRATE,... (default: {PHASES})")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    prompts = workloads.uniform(len(held_out_prompts()), [ModelName("any")], seed=1)
    trace = traces.from_phases(traces.read_phases(options.phases), prompts.hardness, seed=1)
    fleet, profile, scale = on_the_fleet(trace, options.phases, options.workers)
    given = trace, options.phases, options.workers, scaled(profile, scale)
    same, own = in_the_replay(*given, fleet.plans), in_the_replay(*given)
    measured = fleet.figures
    rows = compared(measured, same.figures)
    report = {
        "phases": options.phases,
        "requests": measured["requests"],
        "latency_s": {model.name: dict(model.latency_s) for model in profile.models},
        "latency_scale": scale,
        "valid": measured["valid"],
        "invalid_because": measured["invalid_because"],
        "the fleet's plans": rows,
        "its own plans": compared(measured, own.figures),
        "by_path": measured["by_path"],
        "fleet by phase": fleet.by_phase,
        "replay by phase": same.by_phase,
        "replay by phase with its own plans": own.by_phase,
        "fleet plans": fleet.plans,
        "replay plans": own.plans,
        "passed": measured["valid"] and all(row["passed"] for row in rows.values()),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")
    if not measured["valid"]:
        return 2
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""Measure the local fleet as its users meet it: start, steps of load, honesty, overload.

    PYTHONPATH=tests python benchmarks/fleet.py [--out DIR] [--high R] [--honest R] [STAGE ...]

Starts `hadis up` with the scenes cascade on this machine, loads it with `hadis bench`, and prints
one JSON object a stage. Nothing else should run meanwhile.

  start      seconds until the URL is printed, and the first image after that
  controller a low, a high and a low rate: plan changes, violations once settled; the high rate
             again on a fleet fixed to the heaviest model
  honesty    a settled minute at a load that leaves headroom: the plan's mean latency and route
             ratios against the measured ones, how busy the plan says its workers are, and the
             router's own time
  overload   ten times more than the fleet can draw, for a minute
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.scenes_fleet import ScenesFleet, held_out_prompts

Figures = dict[str, Any]
SLO_S = 10.0
LOW_PER_S = 1.0
SETTLE_S = 20.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a second that this machine can carry in its lightest and in a middling plan."""

    high: float
    honest: float


def bench(fleet: ScenesFleet, rate: float, duration_s: float, seed: int = 1) -> Figures:
    """Run `hadis bench` and return its summary."""
    prompts = fleet.folder / "prompts.txt"
    prompts.write_text("\n".join(held_out_prompts()))
    command = [sys.executable, "-m", "hadis_cli.main", "bench", "--url", fleet.url, "--json"]
    command += ["--prompts", str(prompts), "--rate", str(rate), "--duration", str(duration_s)]
    command += ["--slo", str(SLO_S), "--seed", str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if not run.stdout:
        raise RuntimeError(run.stderr)
    summary: Figures = json.loads(run.stdout)
    return summary


class Recorder(threading.Thread):
    """Notes the plan in force twice a second."""

    def __init__(self, fleet: ScenesFleet) -> None:
        super().__init__(daemon=True)
        self._fleet = fleet
        self._ended = threading.Event()
        self.seen: list[tuple[float, Figures]] = []

    def run(self) -> None:
        began_s = time.monotonic()
        while not self._ended.wait(0.5):
            self.seen.append((time.monotonic() - began_s, self._fleet.status()["plan"]))

    def stop(self) -> list[tuple[float, Figures]]:
        """Return the plans that differ from the one before, each with its time."""
        self._ended.set()
        self.join()
        changes = []
        last: list[object] = []
        for at_s, plan in self.seen:
            # A lane's share moves on its own while a change is carried out.
            keys = ("light", "heavy", "hardness_threshold", "quality_threshold", "workers")
            decided = [plan.get(key) for key in keys]
            if decided != last:
                changes.append((round(at_s, 1), {**dict(zip(keys, decided, strict=True))}))
                last = decided
        return changes


def measure_start(fleet: ScenesFleet, _: Rates) -> Figures:
    """Time one image right after the start."""
    began_s = time.monotonic()
    _generate(fleet)
    return {
        "ready_s": round(fleet.started_in_s, 2),
        "first_image_s": round(time.monotonic() - began_s, 3),
    }


def measure_controller(fleet: ScenesFleet, rates: Rates) -> Figures:
    """Step the load up and down; then the high load on the heaviest model alone."""
    phases = []
    for rate in (LOW_PER_S, rates.high, LOW_PER_S):
        recorder = Recorder(fleet)
        recorder.start()
        rising = bench(fleet, rate, SETTLE_S)
        settled = bench(fleet, rate, 60.0, seed=2)
        changes = recorder.stop()
        phases.append(
            {
                "rate_per_s": rate,
                "plan_changes": len(changes) - 1,
                "plans": changes,
                "violations_while_settling": rising["slo_violation_ratio"],
                "violations_settled": settled["slo_violation_ratio"],
                "mean_latency_s": settled["mean_latency_s"],
                "paths": settled["by_path"],
            }
        )
    fleet.pin("scenes-l", "scenes-l", hardness=-1.0, quality=0.0)
    fixed = bench(fleet, rates.high, 60.0)
    fleet.unpin()
    return {
        "phases": phases,
        "fixed_to_heavy": {
            "rate_per_s": rates.high,
            "violations": fixed["slo_violation_ratio"],
            "outcomes": fixed["outcomes"],
        },
    }


def measure_honesty(fleet: ScenesFleet, rates: Rates) -> Figures:
    """Compare what the plan predicts with what `hadis bench` measures, at a load it can carry."""
    rate = rates.honest
    bench(fleet, rate, 40.0)
    before = fleet.metrics()
    plan = fleet.status()["plan"]
    measured = bench(fleet, rate, 60.0, seed=3)
    return {
        "rate_per_s": rate,
        "plan_utilisation": plan["reasons"]["utilisation"],
        "same_plan": fleet.status()["plan"]["lanes"] == plan["lanes"],
        "mean_latency_s": {
            "plan": plan["mean_latency_s"],
            "measured": measured["mean_latency_s"],
        },
        "route_ratio": {"plan": plan["route_ratio"], "measured": measured["route_ratio"]},
        "router_overhead_p95_s": _p95(before, fleet.metrics(), "hadis_router_overhead_seconds"),
        "hardness_p95_s": _p95(before, fleet.metrics(), "hadis_hardness_seconds"),
        "violations": measured["slo_violation_ratio"],
    }


def measure_overload(fleet: ScenesFleet, _: Rates) -> Figures:
    """Send far more than can be drawn; the router must stay small and keep its word."""
    router = fleet.router()
    before_mb = router.memory_info().rss / 2**20
    summary = bench(fleet, 200.0, 60.0)
    after_mb = router.memory_info().rss / 2**20
    refused = summary["outcomes"].get("rejected", 0)
    admitted = summary["requests"] - refused
    return {
        "offered_per_s": summary["offered_per_s"],
        "by_status": summary["by_status"],
        "outcomes": summary["outcomes"],
        "admitted": admitted,
        "admitted_on_time": round(summary["on_time"] / max(1, admitted), 4),
        "router_grew_mb": round(after_mb - before_mb, 1),
        "valid": summary["valid"],
        "invalid_because": summary["invalid_because"],
    }


STAGES: dict[str, Callable[[ScenesFleet, Rates], Figures]] = {
    "start": measure_start,
    "controller": measure_controller,
    "honesty": measure_honesty,
    "overload": measure_overload,
}


def _generate(fleet: ScenesFleet) -> None:
    body = json.dumps({"prompt": "a red circle"}).encode()
    request = urllib.request.Request(
        f"{fleet.url}/v1/images/generations", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        reply.read()


def _p95(before: dict[str, float], after: dict[str, float], name: str) -> float | None:
    """Return the upper bound of the histogram bucket that holds the 95th percentile."""
    buckets: dict[float, float] = {}
    for series, value in after.items():
        if series.startswith(f"{name}_bucket"):
            bound = float(series.split('le="')[1].split('"')[0])
            buckets[bound] = buckets.get(bound, 0.0) + value - before.get(series, 0.0)
    total = buckets.get(float("inf"), 0.0)
    return next((b for b in sorted(buckets) if total and buckets[b] >= 0.95 * total), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("stages", nargs="*", default=list(STAGES), metavar="STAGE")
    parser.add_argument("--out", type=Path, help="write the figures here as fleet.json")
    parser.add_argument("--high", type=float, default=14.0, help="the high rate (default: 14)")
    parser.add_argument("--honest", type=float, default=5.0, help="the settled rate (default: 5)")
    options = parser.parse_args()
    rates = Rates(options.high, options.honest)
    unknown = set(options.stages) - set(STAGES)
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        fleet = ScenesFleet(Path(folder))
        fleet.start()
        try:
            for stage in options.stages:
                figures[stage] = STAGES[stage](fleet, rates)
                print(json.dumps({stage: figures[stage]}), flush=True)
        finally:
            fleet.stop()
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "fleet.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

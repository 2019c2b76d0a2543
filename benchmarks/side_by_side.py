"""Does the replay tell the truth? One trace on the local fleet and in the replay, side by side.

    PYTHONPATH=tests python benchmarks/side_by_side.py [--out F] [--phases LIST] [--workers N]

Starts `hadis up` with the scenes cascade on this machine, sends a trace with `hadis bench`, and
replays the same trace over the same profile. The replay's workers are as fast as the fleet's said
they were: the profile's seconds times the scale by which the fleet planned under the trace. Which
share of the prompts a threshold sends on is the profile's; neither scores nor plans are taken over
from the fleet. Prints one JSON object; exits with 1 when the two are further apart than allowed,
with 2 when the run does not count. Nothing else should run meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import hadis_scenes
from hadis.profiling import files, traces, workloads
from hadis.profiling.traces import Trace
from hadis.simulation import policies, replaying, summaries
from hadis.simulation.scenarios import Scenario
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile
from support.scenes_fleet import ScenesFleet, held_out_prompts

Figures = dict[str, Any]
SLO_S = 10.0
PHASES = "90x1,90x4,90x8,90x4,90x1"
RATIO_APART = 0.03
LATENCY_APART = 0.15


class Scales(threading.Thread):
    """Notes twice a second by how much the fleet takes the profile's seconds times."""

    def __init__(self, fleet: ScenesFleet) -> None:
        super().__init__(daemon=True)
        self._fleet = fleet
        self._ended = threading.Event()
        self._seen: list[float] = []

    def run(self) -> None:
        while not self._ended.wait(0.5):
            self._seen.append(self._fleet.status()["plan"]["latency_scale"])

    def stop(self) -> float:
        """Return the median."""
        self._ended.set()
        self.join()
        return statistics.median(self._seen)


def on_the_fleet(trace: Trace, workers: int) -> tuple[Figures, float]:
    """Return the report of `hadis bench`, and the fleet's scale."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fleet = ScenesFleet(folder, workers=workers)
        fleet.start()
        try:
            trace_file, prompts_file = folder / "trace.txt", folder / "prompts.txt"
            lines = zip(trace.at_s.tolist(), trace.prompt.tolist(), strict=True)
            trace_file.write_text("".join(f"{1000 * at:.3f},{index + 1}\n" for at, index in lines))
            prompts_file.write_text("\n".join(held_out_prompts()))
            scales = Scales(fleet)
            scales.start()
            command = [sys.executable, "-m", "hadis_cli.main", "bench", "--url", fleet.url]
            command += ["--trace", str(trace_file), "--prompts", str(prompts_file)]
            command += ["--slo", str(SLO_S), "--json"]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            scale = scales.stop()
        finally:
            fleet.stop()
    if not run.stdout:
        raise RuntimeError(run.stderr)
    report: Figures = json.loads(run.stdout)
    return report, scale


def in_the_replay(trace: Trace, workers: int, scale: float) -> Mapping[str, Any]:
    """Return the summary of the replay."""
    source = Path(hadis_scenes.__file__).parent / "profile.json"
    profile = scaled(files.read_profile(source.read_text(encoding="utf-8"), str(source)), scale)
    models = [model.name for model in profile.models]
    scenario = Scenario(
        profile=profile,
        trace=trace,
        workload=workloads.uniform(len(held_out_prompts()), models, seed=1),
        workers=workers,
        slo_s=SLO_S,
        seed=1,
    )
    policy = policies.make("hadis", scenario, clock=time.perf_counter)
    started_s = time.perf_counter()
    done = replaying.replay(scenario, policy)
    wall_s = time.perf_counter() - started_s
    return summaries.summarise(scenario, policy, done, wall_s=wall_s).figures


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
    measured, scale = on_the_fleet(trace, options.workers)
    replay = in_the_replay(trace, options.workers, scale)
    rows = compared(measured, replay)
    report = {
        "phases": options.phases,
        "requests": measured["requests"],
        "latency_scale": scale,
        "valid": measured["valid"],
        "invalid_because": measured["invalid_because"],
        **rows,
        "by_path": measured["by_path"],
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

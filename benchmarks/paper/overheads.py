"""Section 5.8: what planning and scoring a prompt's hardness take on this machine.

CPU time of this process, so that others on the machine count little; unlike the figures' numbers
these differ from run to run all the same.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from benchmarks.paper import claims, measurements
from benchmarks.paper.claims import Claim, Story, Verdict
from benchmarks.paper.measurements import SLO_S, WORKERS, Measurements
from benchmarks.paper.running import Numbers

from hadis.hardness import scoring
from hadis.planning import solving
from hadis.planning.problems import Problem

PROMPTS = 300
DEMANDS = tuple(0.5 * n for n in range(1, 67))
REFERENCE_MS = {"planner": 30.0, "hardness": 5.0, "discriminator": 7.0}
"""Section 5.8's: the planner with Gurobi, the discriminator on an L40S."""


def measure(data: Measurements) -> Numbers:
    """Time the planner at the paper's size and the scoring of published captions."""
    rows = [r for r in data.profile.grid if r.direct_ratio < 0.95 and r.rejected_ratio < 0.95]
    table = replace(data.profile, rows=tuple(rows), grid=())
    problems = [Problem(table, demand, WORKERS, SLO_S) for demand in DEMANDS]
    scoring.load()
    scorer = scoring.Scorer()
    prompts = data.workload.prompts[:PROMPTS]
    return {
        "paper_ms": REFERENCE_MS,
        "configurations": len(rows),
        "workers": measurements.WORKERS,
        "planner_ms": _timed(solving.solve, problems),
        "planner_two_lanes_ms": _timed(solving.solve, [replace(p, max_lanes=2) for p in problems]),
        "hardness_ms": _timed(scorer.score, prompts),
    }


def _timed(call: Callable[[Any], object], inputs: Iterable[Any]) -> Numbers:
    """Return median and 95th percentile in milliseconds."""
    took_ms = []
    for given in inputs:
        started_s = time.process_time()
        call(given)
        took_ms.append(1000.0 * (time.process_time() - started_s))
    return {
        "median": round(statistics.median(took_ms), 2),
        "p95": round(statistics.quantiles(took_ms, n=20)[-1], 2),
    }


def story(told: Numbers) -> Story:
    """Return what the overheads say of section 5.8."""
    paper = told["paper_ms"]
    planner, lanes = told["planner_ms"]["median"], told["planner_two_lanes_ms"]["median"]
    hardness = told["hardness_ms"]["median"]
    return Story(
        [
            Claim(
                f"The planner takes about {paper['planner']:g} ms a cycle (Gurobi, 600 "
                "configurations, 16 workers).",
                f"{planner:.1f} ms for one row, {lanes:.0f} ms for the best two "
                f"({told['configurations']} configurations, CP-SAT; medians of CPU time).",
                claims.judged(full=planner <= paper["planner"], partly=planner <= 100),
            ),
            Claim(
                f"The router takes {paper['hardness']:g} ms a query.",
                f"{hardness:.1f} ms of CPU time to score a caption's hardness (median; 95 % within "
                f"{told['hardness_ms']['p95']:.1f} ms).",
                claims.judged(full=hardness <= paper["hardness"], partly=hardness <= 20),
            ),
            Claim(
                f"The discriminator takes {paper['discriminator']:g} ms on an L40S.",
                "Nothing of it was published but its scores.",
                Verdict.NOT_MEASURED,
            ),
        ]
    )

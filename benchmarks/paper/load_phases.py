"""Figure 8: how the planner follows a demand that rises and falls in steps."""

import itertools
from collections.abc import Sequence
from statistics import mean

from benchmarks.paper import claims, drawing, running
from benchmarks.paper.claims import Claim, Story
from benchmarks.paper.measurements import LARGE, LIGHTEST, MEDIUM, TURBO, Measurements
from benchmarks.paper.running import Numbers, Results, Run, Task
from matplotlib.figure import Figure

PHASE_S = 120
RATES = {"P1": 1, "P2": 4, "P3": 12, "P4": 24}
ORDER = ("P1", "P2", "P3", "P4", "P3", "P2", "P1")
"""The paper gives neither rates nor lengths; P1 leaves room for the two slow models."""
LOAD = "phases:" + ",".join(f"{PHASE_S}x{RATES[name]}" for name in ORDER)
POLICIES = ("hadis-paper", "hadis")


def tasks(seeds: int) -> list[Task]:
    """Return both planners, a seed."""
    return [Run(LOAD, policy, seed) for policy in POLICIES for seed in range(seeds)]


def numbers(data: Measurements, results: Results, seeds: int) -> Numbers:
    """Return windows and means a phase."""
    del data
    found: Numbers = {}
    for policy in POLICIES:
        runs = [results[Run(LOAD, policy, seed)] for seed in range(seeds)]
        windows = running.averaged_windows(runs)
        names = ("start_s", "requests", "fid", "violations", "delivered", "intake", "workers")
        found[policy] = {
            "average": {
                key: value
                for key, value in running.averaged(runs).items()
                if key in ("fid", "violations", "worst_30s", "swaps", "degraded")
            },
            "phases": [
                {"phase": name, **_phase(windows[n * PHASE_S // 10 : (n + 1) * PHASE_S // 10])}
                for n, name in enumerate(ORDER)
            ],
            "windows": [
                {
                    **{name: w[name] for name in names},
                    "heavy_ratio": (w["direct"] + w["escalated"]) / (w["requests"] or 1),
                }
                for w in windows
            ],
        }
    return {"load": LOAD, "rates": RATES, "order": ORDER, "phase_s": PHASE_S, "policies": found}


def pictures(told: Numbers) -> dict[str, Figure]:
    """Draw demand, FID, violations, shares and workers of both planners."""
    figure, axes = drawing.sheet(
        5, 2, (11, 10), sharex=True, sharey="row", height_ratios=(1, 1.4, 1.2, 1.6, 1.6)
    )
    for column, (policy, found) in enumerate(told["policies"].items()):
        windows = found["windows"]
        at = [window["start_s"] for window in windows]
        demand, quality, violations, shares, workers = axes[:, column]
        drawing.demand(demand, windows)
        demand.set_title(drawing.POLICIES[policy][1])
        for n, name in enumerate(told["order"]):
            middle = (n + 0.5) * told["phase_s"]
            demand.annotate(name, (middle, told["rates"][name]), xytext=(0, 3), ha="center",
                            textcoords="offset points")  # fmt: skip
        demand.set_ylim(0, 33)
        drawing.line(quality, policy, at, [window["fid"] for window in windows])
        drawing.line(violations, policy, at, drawing.smoothed(windows))
        drawing.stack(shares, windows, "delivered", percent=True)
        drawing.stack(workers, windows, "workers")
        heavy = [100 * window["heavy_ratio"] for window in windows]
        shares.step(at, heavy, "k--", where="post", linewidth=1.2, label="made by the heavy stage")
        workers.set(xlabel="seconds", ylim=(0, 16.5))
        if column:
            demand.set(ylabel="")
        else:
            quality.set(ylabel="FID (lower is better)")
            violations.set(ylabel="violations, %,\n30 s mean", ylim=(0, None))
            shares.set(ylabel="images by model, %")
            workers.set(ylabel="workers by model")
    figure.legend(*axes[3, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return {"": figure}


def _phase(windows: Sequence[Numbers]) -> Numbers:
    requests = sum(window["requests"] for window in windows)
    made = sum(sum(window["delivered"].values()) for window in windows)
    by_model = {
        model: round(sum(w["delivered"].get(model, 0) for w in windows) / made, 4)
        for model in (LIGHTEST, TURBO, MEDIUM, LARGE)
    }
    return {
        "fid": mean(w["fid"] for w in windows if w["fid"] is not None),
        "violations": sum(w["violations"] * w["requests"] for w in windows) / requests,
        "by_model": by_model,
    }


def story(told: Numbers) -> Story:
    """Return what phases of load say of section 5.3."""
    paper, ours = told["policies"]["hadis-paper"], told["policies"]["hadis"]
    phases = paper["phases"]
    missed = [phase["violations"] for phase in phases]
    rising, falling = phases[:4], phases[3:]
    climbs = all(a["fid"] < b["fid"] for a, b in itertools.pairwise(rising))
    recovers = all(a["fid"] > b["fid"] for a, b in itertools.pairwise(falling))
    slow = [phase["by_model"][MEDIUM] + phase["by_model"][LARGE] for phase in phases]
    quiet = mean([missed[n] for n, name in enumerate(told["order"]) if name in ("P1", "P2")])
    busy = mean([missed[n] for n, name in enumerate(told["order"]) if name in ("P3", "P4")])
    return Story(
        [
            Claim(
                "Violations stay at 1 to 5 % in all phases.",
                f"The paper's planner {_each(told, phases, 'violations')}; HADIS "
                f"{_each(told, ours['phases'], 'violations')}.",
                claims.judged(full=max(missed) <= 0.05, partly=max(missed) <= 0.1),
            ),
            Claim(
                "FID rises with the load and recovers as it falls.",
                ", ".join(
                    f"{name} {phase['fid']:.1f}"
                    for name, phase in zip(told["order"], phases, strict=True)
                )
                + ".",
                claims.judged(full=climbs and recovers, partly=climbs or recovers),
            ),
            Claim(
                "The mix shifts to the fast models (Lightning, Turbo) under load and back to "
                "Medium and Large.",
                "Share of the images made by Medium and Large: "
                + ", ".join(
                    f"{name} {claims.percent(share)}"
                    for name, share in zip(told["order"], slow, strict=True)
                )
                + ".",
                claims.judged(
                    full=slow[0] > slow[1] > slow[2] >= slow[3] <= slow[4] < slow[5] < slow[6],
                    partly=slow[0] > slow[3] < slow[6],
                ),
            ),
            Claim(
                "Violations are higher in P1 and P2, whose models are slow, than in P3 and P4.",
                f"Mean of the phases {claims.percent(quiet)} against {claims.percent(busy)}.",
                claims.judged(full=quiet > busy, partly=False),
            ),
        ],
        [
            f"The paper gives neither rates nor lengths; here they are "
            f"{', '.join(f'{name} {rate}' for name, rate in told['rates'].items())} requests a "
            f"second for {told['phase_s']} s each. Over the whole trace the paper's planner has an "
            f"FID of {paper['average']['fid']:.2f} with "
            f"{claims.percent(paper['average']['violations'])} violations, HADIS "
            f"{ours['average']['fid']:.2f} with {claims.percent(ours['average']['violations'])}."
        ],
    )


def _each(told: Numbers, phases: Sequence[Numbers], name: str) -> str:
    return ", ".join(
        f"{phase} {claims.percent(each[name])}"
        for phase, each in zip(told["order"], phases, strict=True)
    )

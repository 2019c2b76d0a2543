"""Figure 3: fixed pairs under DiffServe's allocation, at a low and at a high load."""

import itertools
from dataclasses import replace

from benchmarks.paper import claims, drawing, running
from benchmarks.paper.claims import Claim, Story
from benchmarks.paper.measurements import (
    LARGE,
    LIGHTEST,
    MEDIUM,
    SLO_S,
    TURBO,
    WORKERS,
    Measurements,
)
from benchmarks.paper.running import Numbers, Results, Run, Task
from matplotlib.figure import Figure

from hadis.planning import solving
from hadis.planning.problems import PlanStatus, Problem
from hadis.profiling import importing

PAIRS = tuple(itertools.combinations(importing.IMAGENET_MODELS, 2))
LOADS = {"low": "phases:300x1", "high": "phases:300x24"}
"""The paper names neither load. Medium alone carries 1.4 a second on 16 workers, Turbo 13.7."""
MARKERS = "osD^vP"
DEMANDS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32)


def tasks(seeds: int) -> list[Task]:
    """Return a replay of each pair on both loads, a seed."""
    return [
        Run(load, "diffserve", seed, pair=pair)
        for load in LOADS.values()
        for pair in PAIRS
        for seed in range(seeds)
    ]


def numbers(data: Measurements, results: Results, seeds: int) -> Numbers:
    """Return FID and violations of each pair, and what a plan of each could reach."""
    points: Numbers = {}
    for name, load in LOADS.items():
        points[name] = {
            f"{pair[0]} > {pair[1]}": _point(
                [results[Run(load, "diffserve", seed, pair=pair)] for seed in range(seeds)]
            )
            for pair in PAIRS
        }
    return {"loads": LOADS, "points": points, "plans": {"demands": DEMANDS, **_plans(data)}}


def pictures(told: Numbers) -> dict[str, Figure]:
    """Draw a point a pair and load, and the best plan of each pair over the demand."""
    figure, (panels,) = drawing.sheet(1, 3, (12.5, 4.2), width_ratios=(1, 1, 1.3))
    for axes, (name, points) in zip(panels[:2], told["points"].items(), strict=True):
        for pair, point in points.items():
            axes.plot(
                100 * point["violations"],
                point["fid"],
                MARKERS[list(told["points"]["low"]).index(pair)],
                color=drawing.PAIRS[pair],
                markersize=9,
                fillstyle="none",
                markeredgewidth=2,
                label=drawing.pair_label(pair),
            )
        rate = told["loads"][name].partition("x")[2]
        axes.set(
            title=f"{name} load: {rate} a second",
            xlabel="SLO violations, % of the requests",
            ylabel="FID (lower is better)",
        )
        axes.margins(0.12)
        if axes.get_xlim()[1] < 10:
            axes.set_xlim(-0.5, 10)
    plans = told["plans"]
    for pair, fids in plans["fid"].items():
        shown = [float("nan") if fid is None else fid for fid in fids]
        panels[2].plot(
            plans["demands"],
            shown,
            f"{MARKERS[list(plans['fid']).index(pair)]}-",
            color=drawing.PAIRS[pair],
            linewidth=1.2,
            markersize=4,
            fillstyle="none",
            label=drawing.pair_label(pair),
        )
    panels[2].set(
        title="best plan of each pair, router and discriminator",
        xlabel="requests/s on 16 workers",
        ylabel="FID of the plan",
        xscale="log",
    )
    panels[2].set_xticks(
        [0.25, 0.5, 1, 2, 4, 8, 16, 32], ["¼", "½", "1", "2", "4", "8", "16", "32"]
    )
    panels[2].minorticks_off()
    panels[0].legend(fontsize=7)
    return {"": figure}


def _point(runs: list[Numbers]) -> Numbers:
    mean = running.averaged(runs)
    return {name: mean[name] for name in ("fid", "violations", "late", "dropped", "requests")}


def _plans(data: Measurements) -> Numbers:
    """Return the FID of the best plan of each pair at each demand, None where it cannot carry it.

    Plans are those of an empty fleet, with all rows of the pair.
    """
    fids: Numbers = {}
    for light, heavy in PAIRS:
        rows = tuple(r for r in data.profile.rows if (r.light, r.heavy) == (light, heavy))
        profile = replace(data.profile, rows=rows)
        plans = [solving.solve(Problem(profile, demand, WORKERS, SLO_S)) for demand in DEMANDS]
        fids[f"{light} > {heavy}"] = [
            None if plan.status is PlanStatus.OVERLOAD else round(plan.quality, 4) for plan in plans
        ]
    best = [
        min(((f[n], pair) for pair, f in fids.items() if f[n] is not None), default=(None, None))[1]
        for n in range(len(DEMANDS))
    ]
    return {"fid": fids, "best_pair": best}


def story(told: Numbers) -> Story:
    """Return what fixed pairs say of section 2."""
    low, high = told["points"]["low"], told["points"]["high"]
    turbo_medium, medium_large = f"{TURBO} > {MEDIUM}", f"{MEDIUM} > {LARGE}"
    lightest = f"{LIGHTEST} > {TURBO}"
    worst_low = max(low, key=lambda pair: low[pair]["violations"])
    least_low = min(low, key=lambda pair: (round(low[pair]["violations"], 4), low[pair]["fid"]))
    best_low = min(low, key=lambda pair: low[pair]["fid"])
    in_time = [pair for pair, point in high.items() if point["violations"] <= 0.05]
    best_high = min(in_time, key=lambda pair: high[pair]["fid"], default=None)
    slow = [pair for pair in high if LIGHTEST not in pair]
    return Story(
        [
            Claim(
                "At low load every pair keeps violations small.",
                f"At one request a second {claims.percent(low[worst_low]['violations'])} at most "
                f"({drawing.pair_label(worst_low)}).",
                claims.judged(
                    full=low[worst_low]["violations"] <= 0.05,
                    partly=low[worst_low]["violations"] <= 0.2,
                ),
            ),
            Claim(
                "There Turbo → Medium has the fewest violations with a competitive FID.",
                f"{_point_told(low, turbo_medium)}; the fewest: {_point_told(low, least_low)}.",
                claims.judged(
                    full=low[turbo_medium]["violations"] <= low[least_low]["violations"] + 5e-4,
                    partly=low[turbo_medium]["violations"] <= 0.01,
                ),
            ),
            Claim(
                "There Medium → Large has the best FID.",
                f"{_point_told(low, medium_large)}; the best: {_point_told(low, best_low)}.",
                claims.judged(
                    full=best_low == medium_large,
                    partly=low[medium_large]["fid"] <= 1.01 * low[best_low]["fid"],
                ),
            ),
            Claim(
                "At high load pairs with slower models cannot keep up and violate a lot.",
                "At 24 requests a second "
                + claims.listed(_point_told(high, pair) for pair in slow)
                + ".",
                claims.judged(
                    full=min(high[pair]["violations"] for pair in slow) > 0.1,
                    partly=max(high[pair]["violations"] for pair in slow) > 0.1,
                ),
            ),
            Claim(
                "There Lightning → Turbo stays within the SLO and balances best.",
                f"{_point_told(high, lightest)}"
                + (
                    ", the best FID of those with at most 5 % violations."
                    if best_high == lightest
                    else "; best FID within 5 %: "
                    + ("none." if best_high is None else f"{_point_told(high, best_high)}.")
                ),
                claims.judged(full=best_high == lightest, partly=lightest in in_time),
            ),
            Claim(
                "No pair is the best at all loads.",
                _changes(told["plans"]),
                claims.judged(full=len(set(told["plans"]["best_pair"]) - {None}) > 1, partly=False),
            ),
        ],
        [
            "The right panel asks the planner for the best single row of each pair in an empty "
            "fleet: the lines cross, so that a fixed pair is a choice for one load."
        ],
    )


def _point_told(points: Numbers, pair: str) -> str:
    point = points[pair]
    return (
        f"{drawing.pair_label(pair)} FID {point['fid']:.2f}, "
        f"{claims.percent(point['violations'])} violations"
    )


def _changes(plans: Numbers) -> str:
    """Return which pair is best from which demand on."""
    told, last = [], None
    for demand, pair in zip(plans["demands"], plans["best_pair"], strict=True):
        if pair is not None and pair != last:
            told.append(f"{drawing.pair_label(pair)} from {demand:g}")
            last = pair
    return f"Best plans by requests a second: {claims.listed(told)}."

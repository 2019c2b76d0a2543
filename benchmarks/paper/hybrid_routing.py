"""Figure 9: the hybrid against a router, a discriminator and chance, under the same planner."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.paper import claims, drawing
from benchmarks.paper.claims import Claim, Story, Verdict
from benchmarks.paper.measurements import SLO_S, WORKERS, Measurements
from benchmarks.paper.real_traces import REFERENCE, kept
from benchmarks.paper.running import ROWS, Bound, Numbers, Results, Run, Task
from matplotlib.figure import Figure

from hadis.planning import solving
from hadis.planning.problems import PlanStatus, Problem

LEVELS = {REFERENCE: "0.5 to 5", "1to20": "1 to 20", "1to32": "1 to 32"}
POLICIES = ("hadis-paper", "router-only", "discriminator-only", "random")
KINDS = ("hybrid", "router-only", "discriminator-only")
DEMANDS = tuple(0.5 * n for n in range(1, 67))


def tasks(seeds: int) -> list[Task]:
    """Return each kind of routing on each level, and the bounds over each kind's rows."""
    return [
        *(
            Run(level, policy, seed)
            for level in LEVELS
            for policy in POLICIES
            for seed in range(seeds)
        ),
        *(Bound(level, rows) for level in LEVELS for rows in KINDS),
    ]


def numbers(data: Measurements, results: Results, seeds: int) -> Numbers:
    """Return averages, bounds and the FID of plans over the demand."""
    levels = {
        level: {
            "rates": name,
            "policies": {
                policy: kept([results[Run(level, policy, seed)] for seed in range(seeds)])
                for policy in POLICIES
            },
            "bounds": {rows: results[Bound(level, rows)] for rows in KINDS},
        }
        for level, name in LEVELS.items()
    }
    return {"levels": levels, "plans": {"demands": DEMANDS, "fid": _plans(data)}}


def pictures(told: Numbers) -> dict[str, Figure]:
    """Draw averages a level, and by how much plans of one stage are worse over the demand."""
    figure, ((quality, violations, plans),) = drawing.sheet(1, 3, (13, 4.3))
    names = [level["rates"] for level in told["levels"].values()]
    width = 0.8 / len(POLICIES)
    for n, policy in enumerate(POLICIES):
        colour, label = drawing.POLICIES[policy]
        at = [place + (n - (len(POLICIES) - 1) / 2) * width for place in range(len(names))]
        found = [level["policies"][policy] for level in told["levels"].values()]
        quality.bar(at, [each["fid"] for each in found], 0.9 * width, color=colour, label=label)
        violations.bar(at, [100 * each["violations"] for each in found], 0.9 * width, color=colour)
    lowest = min(p["fid"] for level in told["levels"].values() for p in level["policies"].values())
    quality.set(
        ylabel="FID (lower is better; from " + f"{int(lowest) - 1})", ylim=(int(lowest) - 1, None)
    )
    violations.set(ylabel="SLO violations, % of the requests")
    for axes in (quality, violations):
        axes.set_xticks(range(len(names)), names)
        axes.set(xlabel="requests/s of the trace")
    quality.legend(loc="upper left", fontsize=7)
    fids = told["plans"]["fid"]
    for kind, colour in (("router-only", "#56b4e9"), ("discriminator-only", "#d55e00")):
        worse = [
            float("nan") if other is None or best is None else 100 * (other / best - 1)
            for other, best in zip(fids[kind], fids["hybrid"], strict=True)
        ]
        plans.plot(told["plans"]["demands"], worse, color=colour, label=drawing.POLICIES[kind][1])
    plans.set(
        title="best plan of each kind of rows",
        xlabel="requests/s on 16 workers",
        ylabel="FID above the hybrid's, %",
    )
    plans.legend()
    return {"": figure}


def _plans(data: Measurements) -> Numbers:
    """Return the FID of the best plan of each kind of rows at each demand, in an empty fleet."""
    fids: Numbers = {}
    for kind in KINDS:
        rows = tuple(row for row in data.profile.rows if ROWS[kind](row))
        profile = replace(data.profile, rows=rows)
        plans = [solving.solve(Problem(profile, demand, WORKERS, SLO_S)) for demand in DEMANDS]
        fids[kind] = [
            None if plan.status is PlanStatus.OVERLOAD else round(plan.quality, 4) for plan in plans
        ]
    return fids


def story(told: Numbers) -> Story:
    """Return what the ablation says of section 5.4."""
    levels = list(told["levels"].values())
    return Story(
        [
            _compared(
                levels, "random", quality=True, says="Random has a worse FID than the hybrid."
            ),
            _compared(
                levels, "router-only", quality=True, says="Router-only has a worse FID, too."
            ),
            _compared(
                levels,
                "discriminator-only",
                quality=False,
                says="Discriminator-only violates more than the hybrid, since every query runs the "
                "light model.",
            ),
            _compared(
                levels,
                "discriminator-only",
                quality=True,
                says="The hybrid has the lowest FID of all: discriminator-only.",
            ),
            Claim(
                "The hybrid has the fewest violations of all.",
                _told_by_level(levels, "violations"),
                _fewest(levels),
            ),
        ],
        [
            "What rows allow, apart from any control loop: the clairvoyant bound over all rows is "
            + claims.listed(
                f"{level['bounds']['hybrid']['fid']:.2f} at {level['rates']}" for level in levels
            )
            + ", over router-only rows "
            + claims.listed(_above(level, "router-only") for level in levels)
            + ", over discriminator-only rows "
            + claims.listed(_above(level, "discriminator-only") for level in levels)
            + ". On the authors' own table a discriminator adds something to a router at low loads "
            "only, and a router adds a lot to a discriminator at high ones, where a first picture "
            "for every query costs what a share of better pictures would. The bounds leave little "
            "room above the measured runs: FID hardly rewards choosing the right prompts, so that "
            "even chance comes close. What counts is how many pictures the heavy model makes.",
        ],
    )


def _compared(levels: Sequence[Numbers], other: str, *, quality: bool, says: str) -> Claim:
    name = "fid" if quality else "violations"
    pairs = [
        (level["policies"]["hadis-paper"][name], level["policies"][other][name]) for level in levels
    ]
    worse = [b / a - 1.0 if quality else b - a for a, b in pairs]
    shown = [
        f"{a:.2f} and {b:.2f}" if quality else f"{claims.percent(a, 2)} and {claims.percent(b, 2)}"
        for a, b in pairs
    ]
    told = claims.listed(
        f"{both} at {level['rates']}" for both, level in zip(shown, levels, strict=True)
    )
    least = 0.005 if quality else 0.001
    return Claim(
        says,
        f"Hybrid and {drawing.POLICIES[other][1].lower()}: {told}.",
        claims.judged(full=min(worse) > least, partly=sum(worse) / len(worse) > least),
    )


def _fewest(levels: Sequence[Numbers]) -> Verdict:
    best = [
        all(
            level["policies"]["hadis-paper"]["violations"] <= found["violations"] + 1e-4
            for found in level["policies"].values()
        )
        for level in levels
    ]
    return claims.judged(full=all(best), partly=any(best))


def _told_by_level(levels: Sequence[Numbers], name: str) -> str:
    told = []
    for level in levels:
        words = ", ".join(
            f"{drawing.POLICIES[policy][1]} {claims.percent(found[name], 2)}"
            for policy, found in level["policies"].items()
        )
        told.append(f"{level['rates']}: {words}")
    return "; ".join(told) + "."


def _above(level: Numbers, rows: str) -> str:
    bounds = level["bounds"]
    return claims.percent(bounds[rows]["fid"] / bounds["hybrid"]["fid"] - 1.0) + " above"

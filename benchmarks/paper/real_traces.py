"""Figure 7: every system on the real trace, over time and on average.

The paper does not give the rates of its trace. Sixteen workers make 0.66 images a second on
SD3.5-Large, so that Clipper-Heavy's violations (77 % on average, 90 % at the peak) tell them: about
three requests a second on average. `REFERENCE` is the Azure curve between such rates. The recorded
traces of the authors' repository reach higher; all of them are levels of the same comparison.
"""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.paper import claims, drawing, running
from benchmarks.paper.claims import Claim, Story
from benchmarks.paper.measurements import Measurements
from benchmarks.paper.running import Bound, Numbers, Results, Run, Task
from matplotlib.figure import Figure

REFERENCE = "azure:0.5:5"
LEVELS = {
    REFERENCE: "0.5 to 5",
    "1to8": "1 to 8",
    "2to16": "2 to 16",
    "1to20": "1 to 20",
    "1to32": "1 to 32",
    "1to40": "1 to 40",
}
DRAWN = (REFERENCE, "1to20")
POLICIES = ("hadis", "hadis-paper", "diffserve", "proteus", "clipper-light", "clipper-heavy")
MOST_DROPPED = 0.1
LEAST_VIOLATIONS = 1e-4
"""What a share of violations is taken for at least when another one is divided by it."""
FEWER = {"diffserve": 2.7, "proteus": 4.2, "clipper-heavy": 45.0}
"""How many times fewer violations than theirs the paper reports."""
BETTER = {"diffserve": 0.07, "proteus": 0.07, "clipper-light": 0.23}
"""By which share of theirs the paper reports its FID to be lower."""
SWAPPED = ("2to16", "1to20", "1to32")
SWAPS = ("pinned memory", "pod restart")
SWAPPERS = ("hadis", "hadis-paper", "diffserve", "proteus")
KEPT = (
    "requests",
    "fid",
    "violations",
    "worst_30s",
    "late",
    "dropped",
    "degraded",
    "swaps",
    "mean_latency_s",
    "p99_latency_s",
)


def tasks(seeds: int) -> list[Task]:
    """Return every policy on every level, the swap costs, and the bounds."""
    return [
        *(bound(level, rows) for level in LEVELS for rows in ("hybrid", "diffserve")),
        *(
            Run(level, policy, seed)
            for level in LEVELS
            for policy in POLICIES
            for seed in range(seeds)
        ),
        *(
            Run(level, policy, seed, swap=swap)
            for level in SWAPPED
            for swap in SWAPS
            for policy in SWAPPERS
            for seed in range(seeds)
        ),
    ]


def bound(level: str, rows: str) -> Bound:
    """Return the task of a bound, on the arrivals of the first seed."""
    return Bound(level, rows)


def numbers(data: Measurements, results: Results, seeds: int) -> Numbers:
    """Return averages a level and policy, and the windows of the drawn levels."""
    del data
    levels, series, swaps = {}, {}, {}
    for level, name in LEVELS.items():
        levels[level] = {
            "rates": name,
            "bound": results[bound(level, "hybrid")],
            "bound_of_diffserve": results[bound(level, "diffserve")],
            "policies": {
                policy: kept([results[Run(level, policy, seed)] for seed in range(seeds)])
                for policy in POLICIES
            },
        }
    for level in DRAWN:
        series[level] = {
            policy: timeline([results[Run(level, policy, seed)] for seed in range(seeds)])
            for policy in POLICIES
        }
    for swap in SWAPS:
        swaps[swap] = {
            level: {
                policy: kept(
                    [results[Run(level, policy, seed, swap=swap)] for seed in range(seeds)]
                )
                for policy in SWAPPERS
            }
            for level in SWAPPED
        }
    return {"reference": REFERENCE, "levels": levels, "swaps": swaps, "series": series}


def kept(runs: Sequence[Numbers]) -> Numbers:
    """Return the mean of the figures that a comparison shows."""
    mean = running.averaged(runs)
    return {name: mean[name] for name in KEPT}


def timeline(runs: Sequence[Numbers]) -> list[Numbers]:
    """Return the windows' figures that a picture over time shows."""
    names = ("start_s", "requests", "fid", "violations")
    return [{name: w[name] for name in names} for w in running.averaged_windows(runs)]


def pictures(told: Numbers) -> dict[str, Figure]:
    """Draw two levels over time, and all levels on average."""
    return {"": _over_time(told), "-levels": _averages(told)}


def over_time(
    series: Mapping[str, Mapping[str, Sequence[Numbers]]], titles: Mapping[str, str]
) -> Figure:
    """Draw demand, FID and violations of some policies, a column a load."""
    figure, axes = drawing.sheet(
        3, len(series), (5.6 * len(series), 6.6), height_ratios=(1, 2, 2), sharex="col"
    )
    for column, (load, lines) in enumerate(series.items()):
        demand, quality, violations = axes[:, column]
        drawing.demand(demand, next(iter(lines.values())))
        demand.set_title(titles[load])
        for policy, windows in lines.items():
            at = [window["start_s"] for window in windows]
            drawing.line(quality, policy, at, [window["fid"] for window in windows])
            drawing.line(violations, policy, at, drawing.smoothed(windows))
        quality.set(ylabel="FID (lower is better)")
        violations.set(ylabel="SLO violations, %, 30 s mean", xlabel="seconds")
        violations.set_yscale("symlog", linthresh=1.0)
        violations.set_ylim(0, 100)
        violations.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def _over_time(told: Numbers) -> Figure:
    titles = {
        load: f"{LEVELS[load]} requests/s" + (", as in the paper" if load == REFERENCE else "")
        for load in told["series"]
    }
    return over_time(told["series"], titles)


def _averages(told: Numbers) -> Figure:
    figure, ((quality, violations),) = drawing.sheet(1, 2, (11, 4.6))
    names = [level["rates"] for level in told["levels"].values()]
    for policy in POLICIES:
        found = [level["policies"][policy] for level in told["levels"].values()]
        colour, label = drawing.POLICIES[policy]
        style = {"color": colour, "label": label, "linewidth": 1.4, "zorder": drawing.above(policy)}
        quality.plot(names, [each["fid"] for each in found], "o-", **style)
        violations.plot(names, [100 * each["violations"] for each in found], "o-", **style)
    bounds = [level["bound"]["fid"] for level in told["levels"].values()]
    quality.plot(names, bounds, "k:", label="clairvoyant bound, one row")
    for axes in (quality, violations):
        axes.set(xlabel="requests/s of the trace")
    quality.set(ylabel="FID (lower is better)")
    violations.set(ylabel="SLO violations, % of the requests")
    violations.set_yscale("symlog", linthresh=0.1)
    violations.set_ylim(-0.01, 100)
    violations.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    figure.legend(*quality.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def story(told: Numbers) -> Story:
    """Return what the real traces say of section 5.2 and the abstract."""
    reference = told["levels"][told["reference"]]["policies"]
    heavy, light = reference["clipper-heavy"], reference["clipper-light"]
    proteus = reference["proteus"]
    return Story(
        [
            Claim(
                "Clipper-Heavy violates 77 % on average and 90 % at the peak.",
                f"At {LEVELS[told['reference']]} requests a second "
                f"{claims.percent(heavy['violations'])} and {claims.percent(heavy['worst_30s'])} "
                "(worst 30 s): this is how the load was found.",
                claims.judged(
                    full=abs(heavy["violations"] - 0.77) < 0.03, partly=heavy["violations"] > 0.5
                ),
            ),
            Claim(
                "Clipper-Light never violates.",
                f"{claims.percent(max(_of(told, 'clipper-light', 'violations')[:-1]))} up to 1 to "
                "32 requests a second.",
                claims.judged(full=light["violations"] == 0.0, partly=light["violations"] < 0.01),
            ),
            Claim(
                "Proteus violates 7 % on average and 12 % at the peak.",
                f"{claims.percent(proteus['violations'])} and "
                f"{claims.percent(proteus['worst_30s'])}.",
                claims.judged(
                    full=0.04 <= proteus["violations"] <= 0.1, partly=proteus["violations"] > 0.01
                ),
            ),
            *(
                _quality(told, policy, BETTER[policy])
                for policy in ("clipper-light", "diffserve", "proteus")
            ),
            _diffserve_over_proteus(told),
            *(_violations(told, policy, times) for policy, times in FEWER.items()),
            _over_the_trace(told),
        ],
        [
            _levels_table(told),
            "The bound knows the demand of each 10 s, pays nothing for swaps and never waits, but "
            "uses one row at a time; two lanes, or dropping requests, may go below it. No planner "
            "of single rows that serves everything can be better than DiffServe by more than "
            + claims.listed(
                f"{claims.percent(_possible(level, 'diffserve'))} at {level['rates']}"
                for level in _carried(told)
            )
            + ", nor better than Proteus by more than "
            + claims.listed(
                f"{claims.percent(_possible(level, 'proteus'))} at {level['rates']}"
                for level in _carried(told)
            )
            + ". Beyond those loads DiffServe's fixed pair cannot carry the demand: it drops what "
            "it cannot serve, and its FID is that of the rest.",
            "Proteus comes this close because FID hardly rewards choosing prompts: a random choice "
            "between two models is as good as a router's within 0.1 on these data, and Proteus "
            "chooses its shares freely where a row has its measured ones. Nor does DiffServe "
            "violate anything that its pair can carry, so that there is nothing to be reduced.",
            _ahead_table(told),
            _swaps_table(told),
        ],
    )


def _of(told: Numbers, policy: str, name: str) -> list[float]:
    return [level["policies"][policy][name] for level in told["levels"].values()]


def _gain(level: Numbers, policy: str, other: str) -> float:
    """Return by which share the FID of `policy` is below that of `other`."""
    found = level["policies"]
    return float(1.0 - found[policy]["fid"] / found[other]["fid"])


def _possible(level: Numbers, other: str) -> float:
    return float(1.0 - level["bound"]["fid"] / level["policies"][other]["fid"])


def _carried(told: Numbers) -> list[Numbers]:
    """Return the levels whose demand DiffServe's pair can carry."""
    return [
        level
        for level in told["levels"].values()
        if level["policies"]["diffserve"]["violations"] <= MOST_DROPPED
    ]


def _by_level(told: Numbers, form: Callable[[Numbers], str]) -> str:
    return claims.listed(f"{form(level)} at {level['rates']}" for level in told["levels"].values())


def _quality(told: Numbers, other: str, wanted: float) -> Claim:
    """Judge by the paper's load; a system that drops a tenth is no measure for quality."""
    label = drawing.POLICIES[other][1]
    fair = [
        level
        for level in told["levels"].values()
        if level["policies"][other]["violations"] <= MOST_DROPPED
    ]
    gain = _gain(told["levels"][told["reference"]], "hadis-paper", other)
    shown = "; ".join(
        f"{level['rates']} {claims.percent(_gain(level, 'hadis-paper', other))} and "
        f"{claims.percent(_gain(level, 'hadis', other))}"
        for level in fair
    )
    lost = [level["rates"] for level in told["levels"].values() if level not in fair]
    return Claim(
        f"HADIS has 7 to 23 % less FID than Clipper-Light, Proteus and DiffServe: {label}.",
        f"The paper's planner and HADIS: {shown}"
        + (f" ({label} drops more than a tenth at {claims.listed(lost)})" if lost else "")
        + ".",
        claims.judged(full=gain >= wanted, partly=gain >= wanted / 4.0),
    )


def _diffserve_over_proteus(told: Numbers) -> Claim:
    gain = _gain(told["levels"][told["reference"]], "diffserve", "proteus")
    return Claim(
        "DiffServe has 4 % less FID than Proteus on average.",
        f"{claims.percent(gain)} less; "
        + _by_level(told, lambda level: claims.percent(_gain(level, "diffserve", "proteus")))
        + ".",
        claims.judged(full=gain >= 0.04, partly=gain > 0),
    )


def _violations(told: Numbers, other: str, wanted: float) -> Claim:
    label = drawing.POLICIES[other][1]

    def ahead(level: Numbers) -> float:
        found = level["policies"]
        ours = float(found["hadis-paper"]["violations"])
        return float(found[other]["violations"]) / max(ours, LEAST_VIOLATIONS)

    shown = "; ".join(
        level["rates"]
        + " "
        + ", ".join(
            claims.percent(level["policies"][policy]["violations"], 2)
            for policy in (other, "hadis-paper", "hadis")
        )
        for level in told["levels"].values()
    )
    return Claim(
        f"HADIS has {wanted:g}× fewer violations than {label}.",
        f"{label}, the paper's planner, HADIS: {shown}.",
        claims.judged(
            full=ahead(told["levels"][told["reference"]]) >= wanted,
            partly=any(ahead(level) >= wanted for level in told["levels"].values()),
        ),
    )


def _over_the_trace(told: Numbers) -> Claim:
    found = []
    for load, lines in told["series"].items():
        most = 0.0
        for policy in ("clipper-light", "proteus", "diffserve"):
            for mine, other in zip(lines["hadis"], lines[policy], strict=True):
                if mine["fid"] is not None and other["fid"] is not None:
                    most = max(most, 1.0 - mine["fid"] / other["fid"])
        found.append((most, LEVELS[load]))
    return Claim(
        "Over the trace quality is up to 10 to 35 % better than the baselines'.",
        claims.listed(f"up to {claims.percent(most)} at {name}" for most, name in found) + ".",
        claims.judged(full=max(found)[0] >= 0.35, partly=max(found)[0] >= 0.1),
    )


def _levels_table(told: Numbers) -> str:
    head = ["requests/s", "bound", *(drawing.POLICIES[policy][1] for policy in POLICIES)]
    rows = []
    for level in told["levels"].values():
        cells = [level["rates"], f"{level['bound']['fid']:.2f}"]
        for policy in POLICIES:
            found = level["policies"][policy]
            cells.append(f"{found['fid']:.2f}, {claims.percent(found['violations'], 2)}")
        rows.append(cells)
    return "FID and violations a level:\n\n" + claims.table(head, rows)


def _ahead_table(told: Numbers) -> str:
    """Tell for each level whether `hadis` is as far ahead as the paper, and if not, if it could."""
    head = ["requests/s"]
    head += [f"violations, {drawing.POLICIES[other][1]} ({n:g}×)" for other, n in FEWER.items()]
    head += [f"FID, {drawing.POLICIES[other][1]} ({n:.0%})" for other, n in BETTER.items()]
    rows = [
        [
            level["rates"],
            *(_fewer(level, other, wanted) for other, wanted in FEWER.items()),
            *(_better(level, other, wanted) for other, wanted in BETTER.items()),
        ]
        for level in told["levels"].values()
    ]
    return (
        "HADIS with two lanes is as far ahead as the paper says where it says **yes**. Elsewhere "
        "it may be impossible: nobody can violate less than a system that violates nothing, and no "
        "planner of single rows that serves everything has more than the bound's gain in FID.\n\n"
        + claims.table(head, rows)
    )


def _fewer(level: Numbers, other: str, wanted: float) -> str:
    ours, theirs = (float(level["policies"][name]["violations"]) for name in ("hadis", other))
    if theirs >= wanted * max(ours, LEAST_VIOLATIONS):
        return "**yes**"
    if theirs < wanted * LEAST_VIOLATIONS:
        return f"impossible: {claims.percent(theirs, 2)}, here {claims.percent(ours, 2)}"
    return f"no: {claims.percent(theirs, 2)}, here {claims.percent(ours, 2)}"


def _better(level: Numbers, other: str, wanted: float) -> str:
    if level["policies"][other]["violations"] > MOST_DROPPED:
        return "drops more than a tenth"
    gain, possible = _gain(level, "hadis", other), _possible(level, other)
    if gain >= wanted:
        return "**yes**"
    if possible < wanted:
        return f"impossible: at most {claims.percent(possible)}, here {claims.percent(gain)}"
    return f"no: {claims.percent(gain)} of {claims.percent(possible)}"


def _swaps_table(told: Numbers) -> str:
    head = ["swap", "requests/s", *(drawing.POLICIES[policy][1] for policy in SWAPPERS)]
    rows = []
    for swap, levels in {"none": told["levels"], **told["swaps"]}.items():
        for level in SWAPPED:
            found = levels[level]["policies"] if swap == "none" else levels[level]
            cells = [swap, LEVELS[level]]
            for policy in SWAPPERS:
                figures = found[policy]
                cells.append(f"{figures['fid']:.2f}, {claims.percent(figures['violations'], 2)}")
            rows.append(cells)
    return (
        "The prototype of the paper swaps models at no cost, and so do the runs above. With models "
        "in pinned memory a worker is out for 0.5 to 3 s, with a restarted pod for a minute:\n\n"
        + claims.table(head, rows)
    )

"""Figure 11: every system under SLOs from a quarter to one and three quarters of 60 s."""

from collections.abc import Iterable, Sequence

from benchmarks.paper import claims, drawing
from benchmarks.paper.claims import Claim, Story
from benchmarks.paper.measurements import SLO_S, Measurements
from benchmarks.paper.real_traces import POLICIES, REFERENCE, kept
from benchmarks.paper.running import Numbers, Results, Run, Task
from matplotlib.figure import Figure

MULTIPLIERS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
LEVELS = {REFERENCE: "0.5 to 5", "1to20": "1 to 20"}


def tasks(seeds: int) -> list[Task]:
    """Return each policy under each SLO on each level."""
    return [
        Run(level, policy, seed, slo_s=multiplier * SLO_S)
        for level in LEVELS
        for multiplier in MULTIPLIERS
        for policy in POLICIES
        for seed in range(seeds)
    ]


def numbers(data: Measurements, results: Results, seeds: int) -> Numbers:
    """Return averages a level, multiplier and policy."""
    del data
    levels = {
        level: {
            "rates": name,
            "policies": {
                policy: [
                    kept(
                        [
                            results[Run(level, policy, seed, slo_s=multiplier * SLO_S)]
                            for seed in range(seeds)
                        ]
                    )
                    for multiplier in MULTIPLIERS
                ]
                for policy in POLICIES
            },
        }
        for level, name in LEVELS.items()
    }
    return {"multipliers": MULTIPLIERS, "slo_s": SLO_S, "levels": levels}


def pictures(told: Numbers) -> dict[str, Figure]:
    """Draw FID and violations over the multiplier, a column a level."""
    figure, axes = drawing.sheet(2, len(told["levels"]), (11, 6.6), sharex=True)
    for column, level in enumerate(told["levels"].values()):
        quality, violations = axes[:, column]
        quality.set_title(f"{level['rates']} requests/s")
        for policy, found in level["policies"].items():
            colour, label = drawing.POLICIES[policy]
            style = {"color": colour, "label": label, "linewidth": 1.4, "markersize": 4}
            quality.plot(told["multipliers"], [each["fid"] for each in found], "o-", **style)
            missed = [100 * each["violations"] for each in found]
            violations.plot(told["multipliers"], missed, "o-", **style)
        quality.set(ylabel="FID (lower is better)")
        violations.set(
            xlabel=f"SLO in units of {told['slo_s']:g} s",
            ylabel="SLO violations, % of the requests",
        )
        violations.set_yscale("symlog", linthresh=0.1)
        violations.set_ylim(-0.01, 100)
        violations.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return {"": figure}


def story(told: Numbers) -> Story:
    """Return what other SLOs say of section 5.6."""
    multipliers = told["multipliers"]
    tight = [n for n, multiplier in enumerate(multipliers) if multiplier <= 0.75]
    loose = [n for n, multiplier in enumerate(multipliers) if multiplier >= 1.0]
    levels = told["levels"]
    reference = levels[REFERENCE]["policies"]
    return Story(
        [
            Claim(
                "Every system improves in both measures as the SLO relaxes.",
                "; ".join(_ends(level) for level in levels.values()) + ".",
                claims.judged(
                    full=all(
                        _relaxes(level, policy) for level in levels.values() for policy in POLICIES
                    ),
                    partly=all(_relaxes(level, "hadis-paper") for level in levels.values()),
                ),
            ),
            *(
                _tight(told, tight, other, wanted)
                for other, wanted in (("proteus", 0.11), ("diffserve", 0.07))
            ),
            Claim(
                "Under tight SLOs HADIS keeps violations low.",
                "At a quarter, a half and three quarters: "
                + "; ".join(
                    f"{level['rates']} requests/s the paper's planner "
                    + _few(level, "hadis-paper", tight)
                    + ", HADIS "
                    + _few(level, "hadis", tight)
                    for level in levels.values()
                )
                + ".",
                claims.judged(
                    full=all(_most(level, "hadis", tight) <= 0.05 for level in levels.values()),
                    partly=all(
                        _most(level, "hadis", tight[1:]) <= 0.05 for level in levels.values()
                    ),
                ),
            ),
            Claim(
                "DiffServe hardly violates at a quarter: 15 s are less than its heavy model takes.",
                "; ".join(
                    f"{level['rates']} requests/s "
                    f"{claims.percent(level['policies']['diffserve'][0]['violations'])}, FID "
                    f"{level['policies']['diffserve'][0]['fid']:.2f}"
                    for level in levels.values()
                )
                + ".",
                claims.judged(
                    full=all(
                        level["policies"]["diffserve"][0]["violations"] < 0.005
                        for level in levels.values()
                    ),
                    partly=reference["diffserve"][0]["violations"] < 0.02,
                ),
            ),
            Claim(
                "Clipper-Light never violates and has the worst FID; Clipper-Heavy has the best "
                "FID, and many violations even under loose SLOs.",
                "Violations at a quarter and at 1.75×: "
                + "; ".join(
                    f"{level['rates']} requests/s "
                    f"{_few(level, 'clipper-light', [0, -1])} and "
                    f"{_few(level, 'clipper-heavy', [0, -1])}"
                    for level in levels.values()
                )
                + ".",
                claims.judged(
                    full=all(
                        _most(level, "clipper-light", range(len(multipliers))) < 0.001
                        and level["policies"]["clipper-heavy"][-1]["violations"] > 0.5
                        for level in levels.values()
                    ),
                    partly=True,
                ),
            ),
            Claim(
                "Above 60 s demand decides and not the deadline: little changes.",
                "; ".join(
                    f"{level['rates']} requests/s the paper's planner "
                    f"{level['policies']['hadis-paper'][loose[0]]['fid']:.2f} at 1×, "
                    f"{level['policies']['hadis-paper'][loose[-1]]['fid']:.2f} at 1.75×"
                    for level in levels.values()
                )
                + ".",
                claims.judged(
                    full=all(_change(level, loose) < 0.02 for level in levels.values()),
                    partly=all(_change(level, loose) < 0.05 for level in levels.values()),
                ),
            ),
        ]
    )


def _most(level: Numbers, policy: str, places: Iterable[int]) -> float:
    return max(float(level["policies"][policy][n]["violations"]) for n in places)


def _few(level: Numbers, policy: str, places: Iterable[int]) -> str:
    found = level["policies"][policy]
    return ", ".join(claims.percent(found[n]["violations"]) for n in places)


def _change(level: Numbers, places: Sequence[int]) -> float:
    found = level["policies"]["hadis-paper"]
    return abs(float(found[places[-1]]["fid"]) / float(found[places[0]]["fid"]) - 1.0)


def _relaxes(level: Numbers, policy: str) -> bool:
    """Whether a system is no worse in both measures at the loosest SLO than at the tightest."""
    first, last = level["policies"][policy][0], level["policies"][policy][-1]
    better = first["fid"] is None or last["fid"] <= first["fid"] + 0.02
    return bool(better and last["violations"] <= first["violations"] + 0.002)


def _ends(level: Numbers) -> str:
    words = []
    for policy in POLICIES:
        first, last = level["policies"][policy][0], level["policies"][policy][-1]
        words.append(
            f"{drawing.POLICIES[policy][1]} {claims.fid(first['fid'])} and "
            f"{claims.percent(first['violations'])} to {claims.fid(last['fid'])} and "
            f"{claims.percent(last['violations'])}"
        )
    return f"{level['rates']} requests/s, from a quarter to 1.75×: {', '.join(words)}"


def _tight(told: Numbers, tight: Sequence[int], other: str, wanted: float) -> Claim:
    gains = {
        policy: [
            (1.0 - found[policy][n]["fid"] / found[other][n]["fid"], level["rates"])
            for level in told["levels"].values()
            for found in (level["policies"],)
            for n in tight
        ]
        for policy in ("hadis-paper", "hadis")
    }
    best = {policy: max(each) for policy, each in gains.items()}
    return Claim(
        f"Under tight SLOs (0.25 to 0.75×) HADIS has up to {claims.percent(wanted, 0)} less FID "
        f"than {drawing.POLICIES[other][1]}.",
        f"The paper's planner up to {claims.percent(best['hadis-paper'][0])} (at "
        f"{best['hadis-paper'][1]}), HADIS up to {claims.percent(best['hadis'][0])}.",
        claims.judged(full=best["hadis-paper"][0] >= wanted, partly=best["hadis-paper"][0] > 0.0),
    )

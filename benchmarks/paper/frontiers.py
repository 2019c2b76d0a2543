"""Figure 2: what models alone, pairs and triples of models allow at a mean latency.

Nobody published measurements of three models together, so the right panel compares both kinds of
cascade on one model of the measured pairs: the FID of a mixture is taken for a quadratic function
of the models' shares, fitted on every cell of each pair. Most of FID is one (the means' distance
and the trace of the covariance of a mixture are); how well it fits is told with the numbers.
A mixture's mean latency is that of a router, which makes no picture in vain.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from benchmarks.paper import claims, drawing
from benchmarks.paper.claims import Claim, Story
from benchmarks.paper.measurements import LARGE, MEDIUM, Measurements
from benchmarks.paper.running import Numbers, Results, Task
from matplotlib.figure import Figure

from hadis.profiling import pruning
from hadis.profiling.pruning import Candidate
from hadis.simulation.quality import Grid
from hadis.terms.profiles import ProfileRow

STEPS = {1: 1, 2: 2000, 3: 200}
"""Parts of the shares of a mixture of so many models."""
PAPER_CANDIDATES, PAPER_KEPT = 8, 4
CELLS_A_PAIR = 100
LATENCIES_S = tuple(round(float(x), 4) for x in np.geomspace(0.5, 27.0, 80))


def tasks(seeds: int) -> list[Task]:
    """Return nothing: everything is in the table."""
    del seeds
    return []


def numbers(data: Measurements, results: Results, seeds: int) -> Numbers:
    """Return points and frontiers."""
    del results, seeds
    profile = data.profile
    names = [model.name for model in profile.models]
    seconds = np.array([model.latency_s[1] for model in profile.models])
    grid = Grid(profile, "fid")
    alone = np.array([grid.alone(name) for name in names])
    cells = [
        (_pair(row), _latency_s(row, dict(zip(names, seconds, strict=True))), row.measured["fid"])
        for row in profile.grid
    ]
    frontier = _frontier(cells)
    bends, rmse = _fitted(profile.grid, names, alone)
    kinds = {f"{size} models": _mixture_frontier(size, seconds, alone, bends) for size in (1, 2, 3)}
    two, three = np.array(kinds["2 models"]), np.array(kinds["3 models"])
    kept, _ = pruning.prune_candidates(
        [
            Candidate(name, float(each), float(fid))
            for name, each, fid in zip(names, seconds, alone, strict=True)
        ],
        profile.quality.direction,
    )
    return {
        "models": [
            {"model": name, "latency_s": float(each), "fid": float(fid)}
            for name, each, fid in zip(names, seconds, alone, strict=True)
        ],
        "kept_by_the_pruning_rules": [candidate.name for candidate in kept],
        "configurations": _configurations(profile.grid, profile.rows),
        "cells": {
            pair: [[round(s, 4), fid] for other, s, fid in cells if other == pair]
            for pair in dict.fromkeys(pair for pair, _, _ in cells)
        },
        "frontier": [[pair, round(s, 4), fid] for pair, s, fid in frontier],
        "regimes": _regimes(cells),
        "mixtures": {
            "latency_s": LATENCIES_S,
            "fid": {kind: [round(fid, 4) for fid in fids] for kind, fids in kinds.items()},
            "rmse_of_the_fit": {pair: round(error, 4) for pair, error in rmse.items()},
            "three_below_two_at_most": round(float((two - three).max()), 4),
            "three_below_two_on_average": round(float((two - three).mean()), 4),
            "three_below_two_at_most_ratio": round(float((1 - three / two).max()), 5),
        },
    }


def pictures(told: Numbers) -> dict[str, Figure]:
    """Draw models alone, and every measured cell with both frontiers."""
    figure, ((left, right),) = drawing.sheet(1, 2, (11, 4.4), width_ratios=(1, 1.6))
    for model in told["models"]:
        colour, label = drawing.MODELS[model["model"]]
        left.plot(model["latency_s"], model["fid"], "*", color=colour, markersize=15)
        left.annotate(
            label, (model["latency_s"], model["fid"]), xytext=(9, 4), textcoords="offset points"
        )
    left.set(title="models alone", xlim=(0.3, 90))
    for pair, points in told["cells"].items():
        right.plot(
            *zip(*points, strict=True),
            ".",
            color=drawing.PAIRS[pair],
            markersize=3,
            alpha=0.5,
            label=drawing.pair_label(pair),
        )
    best = [(s, fid) for _, s, fid in told["frontier"]]
    right.step(*zip(*best, strict=True), "r-", where="post", label="frontier of the measured cells")
    mixtures = told["mixtures"]
    for kind, style in (("2 models", "k-"), ("3 models", "b--")):
        right.plot(
            mixtures["latency_s"],
            mixtures["fid"][kind],
            style,
            linewidth=1.1,
            label=f"frontier of {kind}, modelled",
        )
    right.set(title="pairs of models under every measured pair of thresholds")
    right.legend(fontsize=7, markerscale=3)
    for axes in (left, right):
        axes.set(xscale="log", xlabel="mean seconds an image", ylabel="FID (lower is better)")
        axes.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
        axes.minorticks_off()
    return {"": figure}


def _pair(row: ProfileRow) -> str:
    return f"{row.light} > {row.heavy}"


def _latency_s(row: ProfileRow, seconds: dict[str, float]) -> float:
    return row.light_ratio * seconds[row.light] + row.heavy_ratio * seconds[row.heavy]


def _frontier(cells: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Return the cells that no other one beats in latency and FID, by latency."""
    kept: list[tuple[str, float, float]] = []
    for cell in sorted(cells, key=lambda cell: (cell[1], cell[2])):
        if not kept or cell[2] < kept[-1][2]:
            kept.append(cell)
    return kept


def _regimes(cells: Sequence[tuple[str, float, float]]) -> list[Numbers]:
    """Return how often each pair has the best cell within a latency, by thirds of the models'."""
    found = []
    for low, high in ((0.5, 1.3), (1.3, 13.0), (13.0, 27.0)):
        best: dict[str, int] = {}
        budgets = np.linspace(low, high, 201)[1:-1]
        for budget in budgets:
            pair = min((fid, pair) for pair, s, fid in cells if s <= budget)[1]
            best[pair] = best.get(pair, 0) + 1
        shares = sorted(((n / len(budgets), pair) for pair, n in best.items()), reverse=True)
        found.append(
            {
                "from_s": low,
                "to_s": high,
                "best": [[pair, round(share, 3)] for share, pair in shares],
            }
        )
    return found


def _fitted(
    grid: Sequence[ProfileRow], names: Sequence[str], alone: np.ndarray
) -> tuple[np.ndarray, dict[str, float]]:
    """Return the bend of each pair of models, and the fit's error a pair."""
    bends, rmse = np.zeros((len(names), len(names))), {}
    for i, j in itertools.combinations(range(len(names)), 2):
        rows = [row for row in grid if (row.light, row.heavy) == (names[i], names[j])]
        share = np.array([row.heavy_ratio for row in rows])
        over = np.array([row.measured["fid"] for row in rows])
        over = over - (1 - share) * alone[i] - share * alone[j]
        basis = share * (1 - share)
        bends[i, j] = basis @ over / (basis @ basis)
        error = over - bends[i, j] * basis
        rmse[f"{names[i]} > {names[j]}"] = float(np.sqrt((error**2).mean()))
    return bends, rmse


def _mixture_frontier(
    size: int, seconds: np.ndarray, alone: np.ndarray, bends: np.ndarray
) -> list[float]:
    """Return the best FID of mixtures of at most `size` models within each latency."""
    # Fewer models are mixed in finer steps, so that they are tried for themselves.
    shares = np.concatenate(
        [np.array(list(_mixtures(len(seconds), used))) for used in range(1, size + 1)]
    )
    latency_s = shares @ seconds
    fid = shares @ alone + np.einsum("ki,ij,kj->k", shares, bends, shares)
    return [float(fid[latency_s <= limit + 1e-9].min()) for limit in LATENCIES_S]


def _mixtures(count: int, size: int) -> Iterator[list[float]]:
    """Yield all shares of `count` models, at most `size` of them used, in steps."""
    steps = STEPS[size]
    for used in itertools.combinations(range(count), size):
        for cuts in itertools.combinations_with_replacement(range(steps + 1), size - 1):
            bounds = (0, *cuts, steps)
            shares = [0.0] * count
            for model, (low, high) in zip(used, itertools.pairwise(bounds), strict=True):
                shares[model] = (high - low) / steps
            yield shares


def _configurations(grid: Sequence[ProfileRow], rows: Sequence[ProfileRow]) -> Numbers:
    """Return how many pairs and configurations pruning of candidates and of rows leaves."""
    before = PAPER_CANDIDATES * (PAPER_CANDIDATES - 1) // 2
    after = PAPER_KEPT * (PAPER_KEPT - 1) // 2
    return {
        "pairs_before": before,
        "pairs_after": after,
        "configurations_before": before * CELLS_A_PAIR,
        "configurations_after": after * CELLS_A_PAIR,
        "saved": round(1 - after / before, 4),
        "measured_rows": len(grid),
        "rows_kept": len(rows),
    }


def story(told: Numbers) -> Story:
    """Return what the frontiers say of section 2 and of the pruning in section 4.2."""
    mixtures, counts = told["mixtures"], told["configurations"]
    most = mixtures["three_below_two_at_most_ratio"]
    wanted = ("sdxl-lightning > sd3.5-large-turbo", "sd3.5-large-turbo > sd3.5-medium",
              "sd3.5-medium > sd3.5-large")  # fmt: skip
    regimes = told["regimes"]
    right = [each["best"][0][0] == pair for each, pair in zip(regimes, wanted, strict=True)]
    shares = [
        dict(map(tuple, each["best"])).get(p, 0.0) for each, p in zip(regimes, wanted, strict=True)
    ]
    seconds = {each["model"]: each["latency_s"] for each in told["models"]}
    extra = seconds[MEDIUM] / (seconds[MEDIUM] + seconds[LARGE])
    return Story(
        [
            Claim(
                "Two models are enough: the frontier of three-model cascades coincides with that "
                "of two-model ones.",
                f"In a model fitted to the measured pairs three models are at most "
                f"{claims.percent(most)} of FID below two "
                f"({mixtures['three_below_two_at_most']:.2f}), "
                f"{mixtures['three_below_two_on_average']:.2f} on average.",
                claims.judged(full=most <= 0.01, partly=most <= 0.03),
            ),
            Claim(
                "The best pair changes with the latency: Lightning → Turbo when it is low, Turbo → "
                "Medium in the middle, Medium → Large when it is high.",
                claims.listed(
                    f"{drawing.pair_label(each['best'][0][0])} is best at "
                    f"{claims.percent(each['best'][0][1], 0)} of the latencies from "
                    f"{each['from_s']:g} to {each['to_s']:g} s"
                    for each in regimes
                )
                + ".",
                claims.judged(full=all(right) and min(shares) > 0.5, partly=right.count(True) >= 2),
            ),
            Claim(
                "A first pass on Medium before Large costs 33 % of the execution time.",
                f"{claims.percent(extra)}, from the four models' seconds.",
                claims.judged(full=abs(extra - 0.33) < 0.01, partly=extra > 0.2),
            ),
            Claim(
                "Eight candidates pruned to four: 28 pairs become 6, 2,800 configurations 600, "
                "79 % less to profile.",
                f"{counts['pairs_before']} become {counts['pairs_after']}, "
                f"{counts['configurations_before']:,} become {counts['configurations_after']}, "
                f"{claims.percent(counts['saved'], 0)} less. The three rules keep all "
                f"{len(told['kept_by_the_pruning_rules'])} measured models; nothing was published "
                "of the other four.",
                claims.judged(full=round(counts["saved"], 2) == 0.79, partly=True),
            ),
        ],
        [
            "Nobody published measurements of three models together. The black and blue lines take "
            "the FID of a mixture for a quadratic function of the models' shares, fitted to the "
            "measured cells of each pair (root mean square errors of "
            f"{min(mixtures['rmse_of_the_fit'].values()):.2f} to "
            f"{max(mixtures['rmse_of_the_fit'].values()):.2f} FID), and for its time that of a "
            "router, which draws nothing in vain. So the three-model line is an estimate, and a "
            "kind one.",
            f"Of the {counts['measured_rows']} measured rows {counts['rows_kept']} stay in the "
            "planner's table: one goes only when another of its pair is no worse in both ratios "
            "and in FID. What is dominated in latency and FID alone may still be the best plan "
            "for some fleet.",
        ],
    )

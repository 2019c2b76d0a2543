"""Figures 4 and 5: where a hybrid beats a router or a discriminator alone at equal cost.

The paper draws them for half of the queries easy and alpha of 0.1 and 0.2, without naming the ROC
curve of the other stage that it goes through. Here it is tp = fp ** ((1 - auc) / auc).
"""

from benchmarks.paper import claims, drawing
from benchmarks.paper.claims import Claim, Story
from benchmarks.paper.running import Numbers, Results, Task
from matplotlib.figure import Figure

from hadis import theory
from hadis.theory import Boundary, Curve, Setting

EASY = 0.5
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)
DRAWN = (0.1, 0.2)
ROUTER = Curve(0.7)
DISCRIMINATOR = Curve(0.85)
COSTS = 41
LEAST_GAIN = 0.001
"""Share of the queries below which a hybrid is no better."""


def tasks(seeds: int) -> list[Task]:
    """Return nothing: the regions follow from formulas."""
    del seeds
    return []


def discriminator_numbers(data: object, results: Results, seeds: int) -> Numbers:
    """Return the regions of figure 4: discriminators for a given router."""
    del data, results, seeds
    boundaries = [theory.discriminator_boundary(Setting(EASY, alpha), ROUTER) for alpha in ALPHAS]
    return {"router_auc": ROUTER.auc, **_told(boundaries), "gain": _gains("router_only")}


def router_numbers(data: object, results: Results, seeds: int) -> Numbers:
    """Return the regions of figure 5: routers for a given discriminator."""
    del data, results, seeds
    boundaries = [theory.router_boundary(Setting(EASY, alpha), DISCRIMINATOR) for alpha in ALPHAS]
    return {
        "discriminator_auc": DISCRIMINATOR.auc,
        **_told(boundaries),
        "gain": _gains("discriminator_only"),
    }


def discriminator_pictures(told: Numbers) -> dict[str, Figure]:
    """Draw figure 4."""
    title = f"discriminators that make a router of AUC {told['router_auc']:g} better"
    return {"": _drawn(told, title, "discriminator", "router only", "upper right")}


def router_pictures(told: Numbers) -> dict[str, Figure]:
    """Draw figure 5."""
    title = f"routers that make a discriminator of AUC {told['discriminator_auc']:g} better"
    return {"": _drawn(told, title, "router", "discriminator only", "upper left")}


def _told(boundaries: list[Boundary]) -> Numbers:
    return {
        "easy": EASY,
        "regions": [
            {
                "alpha": alpha,
                "area": round(boundary.area, 5),
                "fp": [fp for fp, _ in boundary.points],
                "least_tp": [round(tp, 5) for _, tp in boundary.points],
            }
            for alpha, boundary in zip(ALPHAS, boundaries, strict=True)
        ],
    }


def _gains(other: str) -> list[Numbers]:
    """Return by how much the best hybrid is better than one stage alone at equal cost."""
    found = []
    for alpha in ALPHAS:
        costs = [alpha + (1.0 - alpha) * n / (COSTS - 1) for n in range(COSTS)]
        compared = theory.compare(Setting(EASY, alpha), ROUTER, DISCRIMINATOR, costs)
        gains = [
            each.hybrid - alone
            for each in compared
            if each.hybrid is not None and (alone := getattr(each, other)) is not None
        ]
        found.append(
            {
                "alpha": alpha,
                "least": round(min(gains), 5),
                "most": round(max(gains), 5),
                "mean": round(sum(gains) / len(gains), 5),
            }
        )
    return found


def _drawn(told: Numbers, title: str, stage: str, other: str, legend: str) -> Figure:
    figure, ((left, right),) = drawing.sheet(1, 2, (10, 4.2))
    shown = [region for region in told["regions"] if region["alpha"] in DRAWN]
    colours = ("#0072b2", "#d55e00")
    for region, colour in zip(shown, colours, strict=True):
        label = f"α = {region['alpha']:g}: {region['area']:.1%} of the plane"
        left.fill_between(
            region["fp"], region["least_tp"], 1.0, color=colour, alpha=0.25, label=label
        )
        left.plot(region["fp"], region["least_tp"], color=colour, linewidth=1.3)
    left.plot([0, 1], [0, 1], ":", color="grey", linewidth=1, label="chance")
    left.set(
        title=f"{title}\n(q = {told['easy']:g})",
        xlabel=f"false positives of the {stage}",
        ylabel=f"true positives of the {stage}",
        xlim=(0, 1),
        ylim=(0, 1.01),
    )
    left.legend(loc="lower right")
    alphas = [region["alpha"] for region in told["regions"]]
    areas = [100 * region["area"] for region in told["regions"]]
    right.plot(alphas, areas, "ko-", label="region's area")
    right.set(
        title="area of the region, and what a hybrid gains",
        xlabel="α: light time over heavy time",
        ylabel="% of the ROC plane",
        ylim=(0, None),
    )
    gain = right.twinx()
    most = [100 * each["most"] for each in told["gain"]]
    gain.plot(alphas, most, "s--", color="#009e73", label=f"most quality over {other}")
    gain.set(ylabel="percentage points of quality", ylim=(0, None))
    gain.grid(visible=False)
    gain.spines["right"].set_visible(True)
    lines = [*right.get_lines(), *gain.get_lines()]
    gain.legend(lines, [each.get_label() for each in lines], loc=legend)
    return figure


def discriminator_story(told: Numbers) -> Story:
    """Return what figure 4 says of equation 1."""
    small, large = _areas(told)
    return Story(
        [
            Claim(
                "The region of discriminators that make the hybrid better than a router alone "
                "shrinks as α grows from 0.1 to 0.2.",
                f"From {claims.percent(small)} to {claims.percent(large)} of the plane.",
                claims.judged(full=large < small, partly=False),
            ),
            _never_worse(told, "a router alone"),
        ],
        [_assumed("router", told["router_auc"])],
    )


def router_story(told: Numbers) -> Story:
    """Return what figure 5 says of equation 2."""
    small, large = _areas(told)
    return Story(
        [
            Claim(
                "The region of routers that make the hybrid better than a discriminator alone "
                "grows with α.",
                f"From {claims.percent(small)} to {claims.percent(large)} of the plane.",
                claims.judged(full=large > small, partly=False),
            ),
            _never_worse(told, "a discriminator alone"),
        ],
        [_assumed("discriminator", told["discriminator_auc"])],
    )


def _areas(told: Numbers) -> tuple[float, float]:
    areas = {region["alpha"]: region["area"] for region in told["regions"]}
    return areas[DRAWN[0]], areas[DRAWN[1]]


def _never_worse(told: Numbers, other: str) -> Claim:
    gains = [each for each in told["gain"] if each["alpha"] in DRAWN]
    enough = [each["most"] > LEAST_GAIN for each in gains]
    return Claim(
        f"At equal cost a hybrid with such a stage is better than {other}.",
        f"With both thresholds free it is never worse at any of {COSTS} costs; at most it gains "
        + claims.listed(
            f"{100 * each['most']:.1f} points of quality at α = {each['alpha']:g}" for each in gains
        )
        + ".",
        claims.judged(full=all(enough), partly=any(enough)),
    )


def _assumed(stage: str, auc: float) -> str:
    return (
        f"The paper does not give the ROC curve of the {stage} that it draws for; here its area is "
        f"{auc:g}. The equations' bounds are necessary, not sufficient: every better point *at "
        "equal cost* is inside, but a point inside may cost more."
    )

"""Section 3 of the paper: when a hybrid of router and discriminator beats either alone.

The model: a share `q` of the queries is easy. The light model takes `alpha` of the heavy model's
time and does well on easy queries only; the heavy one always does well. A router with the ROC point
(fp, tp) sends a share tp of the easy and fp of the hard queries to the light model. A discriminator
with (fp, tp) accepts the light model's image of a share tp of the easy and fp of the hard queries
that it sees; the rest goes on to the heavy model.

Quality is the share of queries that are answered well, cost the mean time of a query in units of
the heavy model's. Everything here is a pure function of numbers; nothing is measured.

A hybrid whose discriminator accepts everything is a router alone, and one whose router sends all
queries to the light model is a discriminator alone. So with both thresholds free a hybrid is never
worse, and `compare` tells by how much it is better. Equations 1 and 2 tell the same of one point of
operation: the regions hold every point that is at least as good *at equal cost*. They are
necessary; `equal_cost_acceptance` and `equal_cost_routing` are the lines on which costs are equal,
and on those lines the regions' two bounds are one and the same.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

STEPS = 200
"""Parts of the router's range that are tried for the hybrid."""
BISECTIONS = 40
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Roc:
    """A point of a ROC curve: false and true positives, both shares in [0, 1]."""

    fp: float
    tp: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A ROC curve with the area `auc` under it: tp = fp ** ((1 - auc) / auc).

    It is concave, and goes from (0, 0) to (1, 1), for any area from 0.5 (chance) to below 1.
    """

    auc: float

    def at(self, fp: float) -> Roc:
        """Return the curve's point with `fp` false positives."""
        return Roc(fp, fp ** ((1.0 - self.auc) / self.auc) if fp > 0.0 else 0.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """The share of easy queries, and the light model's time in units of the heavy one's."""

    q: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Performance:
    """What an architecture makes of its queries.

    `light_ratio` and `heavy_ratio` are the shares of all queries that each model processes.
    """

    quality: float
    cost: float
    light_ratio: float
    heavy_ratio: float


@dataclass(frozen=True, slots=True)
class DiscriminatorRegion:
    """Equation 1: the discriminators with which a hybrid beats a router alone at equal cost."""

    least_tp: float
    most_fp: float

    @property
    def is_empty(self) -> bool:
        """Whether no discriminator does."""
        return self.least_tp > 1.0

    def holds(self, point: Roc) -> bool:
        """Whether a discriminator at `point` is inside."""
        return point.tp >= self.least_tp and point.fp <= self.most_fp


@dataclass(frozen=True, slots=True)
class RouterRegion:
    """Equation 2: the routers with which a hybrid beats a discriminator alone at equal cost.

    The least tp rises with fp: `base + slope * fp`.
    """

    base: float
    slope: float
    most_fp: float

    def least_tp(self, fp: float) -> float:
        """Return the true positives that a router with `fp` false ones needs."""
        return self.base + self.slope * fp

    def holds(self, point: Roc) -> bool:
        """Whether a router at `point` is inside."""
        return point.fp <= self.most_fp and point.tp >= self.least_tp(point.fp)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The best quality of each architecture at a cost; None where it always costs more.

    `router` and `discriminator` are where the hybrid has its best quality.
    """

    cost: float
    router_only: float | None
    discriminator_only: float | None
    hybrid: float | None
    router: Roc | None
    discriminator: Roc | None


@dataclass(frozen=True, slots=True)
class Boundary:
    """The lower edge of a feasibility region in a ROC plane, as (fp, least tp) from left to right.

    `area` is the region's share of the plane.
    """

    points: tuple[tuple[float, float], ...]

    @property
    def area(self) -> float:
        """The share of the plane that lies above the edge."""
        total = 0.0
        for (left, low), (right, high) in itertools.pairwise(self.points):
            total += (right - left) * (1.0 - (low + high) / 2.0)
        return total


def router_only(setting: Setting, router: Roc) -> Performance:
    """Return quality and cost of a router alone."""
    return hybrid(setting, router, Roc(1.0, 1.0))


def discriminator_only(setting: Setting, discriminator: Roc) -> Performance:
    """Return quality and cost of a discriminator alone: every query runs the light model first."""
    return hybrid(setting, Roc(1.0, 1.0), discriminator)


def hybrid(setting: Setting, router: Roc, discriminator: Roc) -> Performance:
    """Return quality and cost of both together."""
    easy, hard = setting.q, 1.0 - setting.q
    light = easy * router.tp + hard * router.fp
    escalated = easy * router.tp * (1.0 - discriminator.tp)
    escalated += hard * router.fp * (1.0 - discriminator.fp)
    heavy = 1.0 - light + escalated
    quality = 1.0 - hard * router.fp * discriminator.fp
    return Performance(quality, setting.alpha * light + heavy, light, heavy)


def discriminator_region(setting: Setting, alone: Roc, together: Roc) -> DiscriminatorRegion:
    """Return equation 1's bounds on the discriminator.

    `alone` is the router by itself, `together` the one in the hybrid; that one sends more queries
    to the light model, or costs could not be equal.
    """
    easy, hard = setting.q, 1.0 - setting.q
    if easy * together.tp <= 0.0:
        return DiscriminatorRegion(math.inf, 0.0)
    more = easy * (together.tp - alone.tp) + hard * (together.fp - alone.fp)
    least_tp = (setting.alpha * more + easy * alone.tp) / (easy * together.tp)
    most_fp = min(alone.fp / together.fp, 1.0) if together.fp > 0.0 else 1.0
    return DiscriminatorRegion(least_tp, most_fp)


def router_region(setting: Setting, alone: Roc, together: Roc) -> RouterRegion | None:
    """Return equation 2's bounds on the router; None unless `together.tp` exceeds alpha.

    `alone` is the discriminator by itself, `together` the one in the hybrid.
    """
    easy, alpha = setting.q, setting.alpha
    if together.tp <= alpha or easy <= 0.0:
        return None
    scale = easy * (together.tp - alpha)
    most_fp = min(alone.fp / together.fp, 1.0) if together.fp > 0.0 else 1.0
    return RouterRegion(
        base=(easy * alone.tp - alpha) / scale,
        slope=alpha * (1.0 - easy) / scale,
        most_fp=most_fp,
    )


def discriminator_boundary(setting: Setting, router: Curve) -> Boundary:
    """Return the edge of all discriminators for which some two thresholds of `router` let a hybrid
    beat the router alone: the union of equation 1's regions, figure 4 of the paper.
    """

    def least_tps(fp: float) -> Iterator[float]:
        for alone, together in _lax_enough(fp):
            if alone <= together:
                yield discriminator_region(setting, router.at(alone), router.at(together)).least_tp

    return _edge(least_tps)


def router_boundary(setting: Setting, discriminator: Curve) -> Boundary:
    """Return the edge of all routers for which some two thresholds of `discriminator` let a hybrid
    beat the discriminator alone: the union of equation 2's regions, figure 5 of the paper.
    """

    def least_tps(fp: float) -> Iterator[float]:
        for alone, together in _lax_enough(fp):
            region = router_region(setting, discriminator.at(alone), discriminator.at(together))
            if region is not None:
                yield region.least_tp(fp)

    return _edge(least_tps)


def equal_cost_acceptance(setting: Setting, alone: Roc, together: Roc, fp: float) -> float:
    """Return the tp at which a discriminator with `fp` makes a hybrid cost what `alone` does.

    May lie outside [0, 1]: then no discriminator does.
    """
    easy, hard = setting.q, 1.0 - setting.q
    before = easy * alone.tp + hard * alone.fp
    more = easy * together.tp + hard * together.fp - before
    return (setting.alpha * more + before - hard * together.fp * fp) / (easy * together.tp)


def equal_cost_routing(setting: Setting, alone: Roc, together: Roc, fp: float) -> float:
    """Return the tp at which a router with `fp` makes a hybrid cost what `alone` does.

    May lie outside [0, 1]: then no router does. Needs `together.tp` above alpha.
    """
    easy, hard, alpha = setting.q, 1.0 - setting.q, setting.alpha
    accepted = easy * alone.tp + hard * alone.fp - alpha
    return (accepted - hard * fp * (together.fp - alpha)) / (easy * (together.tp - alpha))


def compare(
    setting: Setting, router: Curve, discriminator: Curve, costs: Sequence[float]
) -> list[Comparison]:
    """Return the best quality of each architecture at each cost, with both thresholds free."""
    return [_compared(setting, router, discriminator, cost) for cost in costs]


def _compared(setting: Setting, router: Curve, discriminator: Curve, cost: float) -> Comparison:
    everything = Roc(1.0, 1.0)
    alone = _first_within(lambda fp: hybrid(setting, router.at(fp), everything).cost, cost)
    judged = _accepting(setting, everything, discriminator, cost)
    # A router alone is the hybrid at the first of these, a discriminator alone at the last.
    tried = [] if alone is None else [alone]
    best: tuple[float, Roc, Roc] | None = None
    for routing in (router.at(fp) for fp in [*tried, *_grid(STEPS)]):
        accepting = _accepting(setting, routing, discriminator, cost)
        if accepting is not None:
            quality = hybrid(setting, routing, accepting).quality
            if best is None or quality > best[0]:
                best = quality, routing, accepting
    return Comparison(
        cost=cost,
        router_only=None if alone is None else router_only(setting, router.at(alone)).quality,
        discriminator_only=None if judged is None else discriminator_only(setting, judged).quality,
        hybrid=None if best is None else best[0],
        router=None if best is None else best[1],
        discriminator=None if best is None else best[2],
    )


def _accepting(setting: Setting, routing: Roc, discriminator: Curve, cost: float) -> Roc | None:
    """Return the strictest threshold of the discriminator that stays within `cost`."""
    fp = _first_within(lambda fp: hybrid(setting, routing, discriminator.at(fp)).cost, cost)
    return None if fp is None else discriminator.at(fp)


def _first_within(cost_at: Callable[[float], float], most: float) -> float | None:
    """Return the smallest share of false positives that costs at most `most`; None without any.

    The more hard queries a stage lets through, the less it costs and the worse it does.
    """
    if cost_at(0.0) <= most:
        return 0.0
    low, high = 0.0, 1.0
    if cost_at(high) > most + ROUNDING:
        return None
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if cost_at(middle) <= most else (middle, high)
    return high


def _grid(steps: int = 50) -> list[float]:
    return [step / steps for step in range(steps + 1)]


def _lax_enough(fp: float) -> Iterator[tuple[float, float]]:
    """Yield the false positives of two thresholds, alone and together, whose regions reach `fp`.

    They do where the first is at least `fp` times the second; just so much is the tightest.
    """
    for together in _grid()[1:]:
        tightest = fp * together
        yield tightest, together
        for alone in _grid():
            if alone > tightest:
                yield alone, together


def _edge(least_tps: Callable[[float], Iterable[float]]) -> Boundary:
    """Return the lowest of the bounds at each fp, within the plane."""
    points = []
    for fp in _grid():
        least = min(least_tps(fp), default=1.0)
        points.append((fp, min(max(least, 0.0), 1.0)))
    return Boundary(tuple(points))

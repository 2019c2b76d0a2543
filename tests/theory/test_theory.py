"""Section 3 as functions: the equations against the definitions they were derived from."""

import itertools
import math

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hadis import theory
from hadis.theory import Curve, Roc, Setting

shares = st.floats(0.01, 0.99)
settings_ = st.builds(Setting, st.floats(0.05, 0.95), st.floats(0.02, 0.9))
parts = st.floats(0.01, 1.0)
rocs = st.builds(Roc, parts, parts)
# Most points have no partner at equal cost within the plane, and a busy machine is slow.
PATIENT = settings(
    deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


def test_a_case_worked_by_hand() -> None:
    # Half the queries are easy, the light model takes a tenth. The router sends 80 % of the easy
    # and 40 % of the hard ones to it: 60 % of all. The discriminator accepts 90 % and 30 %: of all
    # queries, 0.5 * 0.8 * 0.1 + 0.5 * 0.4 * 0.7 = 18 % go on. Wrong are 0.5 * 0.4 * 0.3 = 6 %.
    setting = Setting(0.5, 0.1)
    both = theory.hybrid(setting, Roc(0.4, 0.8), Roc(0.3, 0.9))
    assert both.light_ratio == pytest.approx(0.6)
    assert both.heavy_ratio == pytest.approx(0.4 + 0.18)
    assert both.quality == pytest.approx(0.94)
    assert both.cost == pytest.approx(0.06 + 0.58)
    alone = theory.router_only(setting, Roc(0.4, 0.8))
    assert (alone.quality, alone.cost) == (pytest.approx(0.8), pytest.approx(0.06 + 0.4))
    judged = theory.discriminator_only(setting, Roc(0.3, 0.9))
    assert judged.quality == pytest.approx(0.85)
    assert judged.cost == pytest.approx(0.1 + 0.5 * 0.1 + 0.5 * 0.7)


@PATIENT
@given(settings_, rocs, rocs, parts, parts)
def test_at_equal_cost_equation_1_says_which_hybrid_is_at_least_as_good(
    setting: Setting, together: Roc, judge: Roc, fewer_fp: float, fewer_tp: float
) -> None:
    alone = Roc(together.fp * fewer_fp, together.tp * fewer_tp)
    tp = theory.equal_cost_acceptance(setting, alone, together, judge.fp)
    assume(0.0 <= tp <= 1.0)
    judge = Roc(judge.fp, tp)
    before = theory.router_only(setting, alone)
    both = theory.hybrid(setting, together, judge)
    assert both.cost == pytest.approx(before.cost, abs=1e-9)
    region = theory.discriminator_region(setting, alone, together)
    assume(abs(judge.fp - region.most_fp) > 1e-6)
    assert region.holds(judge) == (both.quality > before.quality)


@PATIENT
@given(settings_, rocs, rocs, rocs)
def test_at_equal_cost_equation_2_says_which_hybrid_is_at_least_as_good(
    setting: Setting, alone: Roc, together: Roc, router: Roc
) -> None:
    assume(together.tp > setting.alpha + 0.01)
    tp = theory.equal_cost_routing(setting, alone, together, router.fp)
    assume(0.0 <= tp <= 1.0)
    router = Roc(router.fp, tp)
    before = theory.discriminator_only(setting, alone)
    both = theory.hybrid(setting, router, together)
    assert both.cost == pytest.approx(before.cost, abs=1e-9)
    region = theory.router_region(setting, alone, together)
    assert region is not None
    assume(abs(router.fp * together.fp - alone.fp) > 1e-6)
    assert region.holds(router) == (both.quality > before.quality)


def test_equation_2_needs_a_discriminator_that_accepts_more_than_alpha() -> None:
    assert theory.router_region(Setting(0.5, 0.2), Roc(0.1, 0.5), Roc(0.05, 0.2)) is None


def test_a_router_that_sends_nothing_easy_to_light_has_no_region() -> None:
    assert theory.discriminator_region(Setting(0.5, 0.2), Roc(0.0, 0.0), Roc(0.5, 0.0)).is_empty


@PATIENT
@given(shares, st.floats(0.02, 0.9), st.floats(0.5, 0.95), st.floats(0.5, 0.95))
def test_with_both_thresholds_free_a_hybrid_is_never_worse(
    q: float, alpha: float, router: float, discriminator: float
) -> None:
    setting = Setting(q, alpha)
    costs = [alpha + (1.0 - alpha) * part for part in (0.1, 0.5, 0.9)]
    for found in theory.compare(setting, Curve(router), Curve(discriminator), costs):
        assert found.hybrid is not None
        for other in (found.router_only, found.discriminator_only):
            assert other is None or found.hybrid >= other - 1e-6
        assert found.router is not None
        assert found.discriminator is not None
        both = theory.hybrid(setting, found.router, found.discriminator)
        assert both.cost <= found.cost + 1e-6
        assert both.quality == pytest.approx(found.hybrid)


def test_more_money_never_buys_less_quality() -> None:
    costs = [0.1 + 0.05 * n for n in range(19)]
    found = theory.compare(Setting(0.5, 0.1), Curve(0.7), Curve(0.85), costs)
    for before, after in itertools.pairwise(found):
        assert before.hybrid is not None
        assert after.hybrid is not None
        assert after.hybrid >= before.hybrid - 1e-9
    assert found[-1].router_only == pytest.approx(1.0)


def test_what_costs_too_little_is_out_of_reach() -> None:
    (found,) = theory.compare(Setting(0.5, 0.3), Curve(0.7), Curve(0.85), [0.2])
    assert (found.router_only, found.discriminator_only, found.hybrid) == (None, None, None)


def test_a_costlier_light_model_narrows_equation_1_and_widens_equation_2() -> None:
    cheap, dear = Setting(0.5, 0.1), Setting(0.5, 0.2)
    router, discriminator = Curve(0.7), Curve(0.85)
    assert (
        theory.discriminator_boundary(cheap, router).area
        > theory.discriminator_boundary(dear, router).area
    )
    assert (
        theory.router_boundary(cheap, discriminator).area
        < theory.router_boundary(dear, discriminator).area
    )


@PATIENT
@given(st.floats(0.5, 0.99))
def test_the_area_under_a_curve_is_what_it_is_called_by(auc: float) -> None:
    steps = 20_000
    area = sum(Curve(auc).at((n + 0.5) / steps).tp for n in range(steps)) / steps
    assert math.isclose(area, auc, abs_tol=2e-3)

"""Route ratios as measured against the table's."""

import pytest

from hadis.planning import corrections
from hadis.planning.corrections import RatioState, RouteCounts
from hadis.planning.problems import RowShare
from support.profiles import a_row

ROW = a_row(direct=0.2, rejected=0.3)
MIX = (RowShare(1.0, ROW),)


def after(counts: RouteCounts, *, trusted: bool = True) -> corrections.Correction:
    state = corrections.observe(RatioState(), 0.0, {"r": RouteCounts()}, MIX, trusted=True)
    state = corrections.observe(state, 5.0, {"r": counts}, MIX, trusted=trusted)
    return corrections.correction(state)


def test_what_the_table_expected_needs_no_correction() -> None:
    found = after(RouteCounts(planned=1000, direct=200, judged=800, escalated=240))
    assert (found.direct, found.rejected) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_many_prompts_move_the_row_to_what_they_showed() -> None:
    found = after(RouteCounts(planned=10_000, direct=4_000, judged=6_000, escalated=600))
    row = found.apply(ROW)
    assert row.direct_ratio == pytest.approx(0.4, abs=0.01)
    assert row.rejected_ratio == pytest.approx(0.1, abs=0.01)
    assert row.light_ratio + row.direct_ratio == 1.0


def test_a_few_prompts_hardly_move_it() -> None:
    row = after(RouteCounts(planned=10, direct=6, judged=4, escalated=0)).apply(ROW)
    assert abs(row.direct_ratio - ROW.direct_ratio) < 0.06


def test_a_stage_that_a_row_never_uses_stays_unused() -> None:
    found = after(RouteCounts(planned=10_000, direct=9_000, judged=1_000, escalated=900))
    plain = found.apply(a_row(direct=0.0, rejected=0.0))
    assert (plain.direct_ratio, plain.heavy_ratio) == (0.0, 0.0)


def test_counts_of_an_overload_are_not_believed() -> None:
    counts = RouteCounts(planned=10_000, direct=2_000, judged=8_000, escalated=0)
    assert after(counts, trusted=False) == corrections.Correction()


def test_evidence_fades() -> None:
    state = corrections.observe(RatioState(), 0.0, {"r": RouteCounts()}, MIX, trusted=True)
    counts = {"r": RouteCounts(planned=400, direct=160, judged=240, escalated=72)}
    state = corrections.observe(state, 5.0, counts, MIX, trusted=True)
    fresh = corrections.correction(state).direct
    state = corrections.observe(state, 605.0, counts, MIX, trusted=True)
    assert 0.0 < corrections.correction(state).direct < fresh / 5

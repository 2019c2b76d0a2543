"""Verdicts, and how figures are worded."""

import pytest
from benchmarks.paper import claims
from benchmarks.paper.claims import Verdict


@pytest.mark.parametrize(
    ("full", "partly", "want"),
    [
        (True, True, Verdict.CONFIRMED),
        (True, False, Verdict.CONFIRMED),
        (False, True, Verdict.WEAKER),
        (False, False, Verdict.NOT_REPRODUCED),
    ],
)
def test_a_verdict_follows_from_how_far_a_claim_holds(
    *, full: bool, partly: bool, want: Verdict
) -> None:
    assert claims.judged(full=full, partly=partly) is want


def test_what_is_not_zero_never_reads_as_zero() -> None:
    assert claims.percent(0.0) == "0.0 %"
    assert claims.percent(0.0001) == "< 0.1 %"
    assert claims.percent(0.0004, 2) == "0.04 %"
    assert claims.percent(0.7712) == "77.1 %"


def test_nothing_is_not_divided_by() -> None:
    assert claims.times(0.05, 0.02) == "2.5×"
    assert claims.times(0.9, 0.02) == "45×"
    assert claims.times(0.05, 0.0) == "none against 5.0 %"
    assert claims.times(0.0, 0.0) == "none on either side"


def test_a_table_has_as_many_cells_in_every_line() -> None:
    lines = claims.table(("a", "b"), [("1", "2"), ("3", "4")]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| 1 | 2 |", "| 3 | 4 |"]

"""The arithmetic behind figure 2: mixtures, the fitted quadratic, frontiers."""

from itertools import pairwise

import numpy as np
import pytest
from benchmarks.paper import frontiers

from hadis.terms.ids import ModelName
from hadis.terms.profiles import ProfileRow


def a_row(light: str, heavy: str, share: float, fid: float) -> ProfileRow:
    return ProfileRow(
        ModelName(light), ModelName(heavy), 0.0, -np.inf, share, 1.0 - share, share, {"fid": fid}
    )


def test_mixtures_use_at_most_so_many_models_and_add_up_to_one() -> None:
    for size in (1, 2, 3):
        shares = np.array(list(frontiers._mixtures(4, size)))
        assert np.allclose(shares.sum(axis=1), 1.0)
        assert ((shares > 0).sum(axis=1) <= size).all()
        assert (shares >= 0.0).all()


def test_the_fit_finds_the_quadratic_that_the_cells_came_from() -> None:
    alone = np.array([30.0, 20.0])
    rows = [
        a_row("a", "b", share, 30.0 - 10.0 * share - 6.0 * share * (1.0 - share))
        for share in np.linspace(0.0, 1.0, 11)
    ]
    bends, rmse = frontiers._fitted(rows, ["a", "b"], alone)
    assert bends[0, 1] == pytest.approx(-6.0)
    assert rmse["a > b"] == pytest.approx(0.0, abs=1e-9)


def test_more_models_never_allow_less_within_a_latency() -> None:
    seconds, alone = np.array([0.5, 1.3, 13.0, 27.0]), np.array([29.7, 25.2, 20.6, 19.9])
    bends = np.triu(np.full((4, 4), -4.0), 1)
    one, two, three = (
        np.array(frontiers._mixture_frontier(size, seconds, alone, bends)) for size in (1, 2, 3)
    )
    assert (two <= one + 1e-9).all()
    assert (three <= two + 1e-9).all()
    assert (np.diff(two) <= 1e-9).all()


def test_the_frontier_holds_what_no_cell_beats() -> None:
    cells = [("a", 1.0, 30.0), ("b", 2.0, 28.0), ("c", 2.0, 27.0), ("d", 3.0, 29.0), ("e", 4, 20.0)]
    found = frontiers._frontier(cells)
    assert [name for name, _, _ in found] == ["a", "c", "e"]
    assert all(first[2] > second[2] for first, second in pairwise(found))


def test_pruning_counts_are_those_of_the_running_example() -> None:
    counts = frontiers._configurations([], [])
    assert (counts["pairs_before"], counts["pairs_after"]) == (28, 6)
    assert (counts["configurations_before"], counts["configurations_after"]) == (2800, 600)

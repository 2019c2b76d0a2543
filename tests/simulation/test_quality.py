"""What was served is read from the grid: cells, interpolation, mixtures at random, windows."""

import pytest

from hadis.errors import InvalidProfile
from hadis.simulation import summaries
from hadis.simulation.books import DEGRADED, ESCALATED, EXPIRED, HEAVY, LIGHT, Window, empty_tally
from hadis.simulation.quality import Grid, Served
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile
from support import measured_data
from support.profiles import a_profile, a_row
from support.replays import LATENCIES, a_gridded_profile, a_lane

TURBO_LARGE = (ModelName("sd3.5-large-turbo"), ModelName("sd3.5-large"))


def a_square() -> Profile:
    """One pair, cells at shares of 0, 0.5 and 1."""
    values = {
        (0.0, 0.0): 30.0, (0.0, 0.5): 24.0, (0.0, 1.0): 20.0,
        (0.5, 0.0): 25.0, (0.5, 0.5): 23.0, (0.5, 1.0): 20.0,
        (1.0, 0.0): 20.0,
    }  # fmt: skip
    rows = [a_row(direct=d, rejected=r, quality=value) for (d, r), value in values.items()]
    return a_profile({"small": {1: 1.0}, "large": {1: 5.0}}, rows)


def read(served: Served, *, at_random: bool = False) -> float:
    pair = ModelName("small"), ModelName("large")
    return Grid(a_square(), "fid").read(pair, served, at_random=at_random)


def test_a_cell_is_read_as_it_was_measured() -> None:
    assert read(Served(light=10, heavy=0, escalated=0)) == 30.0
    assert read(Served(light=0, heavy=7, escalated=0)) == 20.0
    assert read(Served(light=0, heavy=0, escalated=3)) == 20.0
    assert read(Served(light=25, heavy=50, escalated=25)) == 23.0


def test_between_cells_both_shares_are_interpolated() -> None:
    # A quarter direct, and of the 60 light images 15 (a quarter) rejected: the mean of the columns
    # at 0 (30 and 24 give 27) and at 0.5 (25 and 23 give 24).
    assert read(Served(light=45, heavy=20, escalated=15)) == pytest.approx((27.0 + 24.0) / 2)


def test_a_mixture_at_random_is_read_from_the_routers_cells() -> None:
    # Half made by the heavy model, whichever way: the cell (0.5, 0).
    assert read(Served(light=50, heavy=20, escalated=30), at_random=True) == 25.0
    assert read(Served(light=75, heavy=25, escalated=0), at_random=True) == 27.5


def test_a_pair_without_a_router_has_only_the_discriminators_mixtures() -> None:
    rows = [a_row(rejected=r, quality=q) for r, q in ((0.0, 30.0), (1.0, 20.0))]
    grid = Grid(a_profile({"small": {1: 1.0}, "large": {1: 5.0}}, rows), "fid")
    pair = ModelName("small"), ModelName("large")
    assert grid.read(pair, Served(50, 50, 0), at_random=True) == 25.0
    assert grid.alone(ModelName("large")) == 20.0


def test_a_model_alone_is_read_from_any_of_its_pairs() -> None:
    grid = Grid(a_gridded_profile(), "fid")
    for name, want in (("small", 30.0), ("middle", 25.0), ("large", 20.0)):
        model = ModelName(name)
        assert grid.alone(model) == pytest.approx(want)
        assert grid.read((model, model), Served(9, 0, 0)) == pytest.approx(want)
    with pytest.raises(InvalidProfile, match="no row of the profile has huge"):
        grid.alone(ModelName("huge"))


def test_the_grid_counts_where_rows_are_pruned() -> None:
    profile = a_gridded_profile()
    assert len(profile.rows) < len(profile.grid)
    grid = Grid(profile, "fid")
    for row in profile.grid:
        direct, rejected = row.direct_ratio, row.heavy_ratio - row.direct_ratio
        served = Served(round(1000 * (1 - direct - rejected)), round(1000 * direct), 0)
        served = Served(served.light, served.heavy, 1000 - served.light - served.heavy)
        assert grid.read((row.light, row.heavy), served) == pytest.approx(
            row.measured["fid"], abs=1e-6
        )


def test_measured_mixtures_are_read_to_the_last_digit() -> None:
    grid = Grid(measured_data.imagenet().profile, "fid")
    # Published: 50 % of (1, 3) by rules 21.25; with 30 % of the light images rejected 20.58.
    assert grid.read(TURBO_LARGE, Served(500, 500, 0)) == pytest.approx(21.25)
    assert grid.read(TURBO_LARGE, Served(350, 500, 150)) == pytest.approx(20.58)
    assert grid.read(TURBO_LARGE, Served(500, 250, 250), at_random=True) == pytest.approx(21.25)


def test_a_window_is_the_mean_of_its_lanes_by_requests() -> None:
    grid = Grid(a_square(), "fid")
    window = Window(0.0)
    whole, half = empty_tally(), empty_tally()
    # 60 requests of one lane all by light, one of them degraded: 30. 20 of another half direct: 25.
    whole[LIGHT], whole[DEGRADED], whole[EXPIRED] = 59, 1, 7
    half[LIGHT], half[HEAVY] = 10, 10
    window.lanes[a_lane(), False] = whole
    window.lanes[a_lane(theta=0.5), False] = half
    assert summaries.window_quality(grid, window) == (pytest.approx((60 * 30 + 20 * 25) / 80), 80)


def test_a_run_is_the_mean_of_its_windows_by_requests() -> None:
    grid = Grid(a_square(), "fid")
    first, empty, last = Window(0.0), Window(10.0), Window(20.0)
    tallies = [empty_tally(), empty_tally()]
    tallies[0][LIGHT], tallies[1][ESCALATED] = 30, 10
    first.lanes[a_lane(), False], last.lanes[a_lane(), False] = tallies
    # Mixed over the whole run the same pictures would be worth more: (0, 0.25) is 27.
    assert summaries.mean_quality(grid, [first, empty, last]) == pytest.approx(27.5)
    assert summaries.mean_quality(grid, [empty]) is None


def test_profiles_without_a_grid_are_read_from_their_rows() -> None:
    profile = a_profile(LATENCIES, [a_row(quality=30.0), a_row(direct=0.5, quality=25.0)])
    grid = Grid(profile, "fid")
    assert grid.read((ModelName("small"), ModelName("large")), Served(3, 1, 0)) == 27.5

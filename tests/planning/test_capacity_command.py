"""`hadis capacity`: a curve, the fewest workers for a quality, one line for wrong input."""

import json
from pathlib import Path

import pytest

from hadis.profiling import files
from hadis_cli.main import main
from support import figures
from support.profiles import a_scenes_profile


@pytest.fixture
def profile_file(tmp_path: Path) -> str:
    path = tmp_path / "profile.json"
    path.write_text(files.write_profile(a_scenes_profile()))
    return str(path)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_curve_rises_from_the_smallest_fleet_that_is_in_time(
    profile_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--demand", "20", "--slo", "10", "--most", "12", "--json"]
    assert main(["capacity", "--profile", profile_file, *given]) == 0
    points = lines(capsys)
    values = [point["quality"]["value"] for point in points]  # type: ignore[index]
    assert values == sorted(values)
    assert points[0]["workers"] == 1
    assert all(point["plan"]["status"] == "optimal" for point in points)  # type: ignore[index]


def test_each_demand_gets_its_fewest_workers(
    profile_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--demand", "2,8,1000", "--slo", "10", "--quality", "0.6", "--json"]
    assert main(["capacity", "--profile", profile_file, *given]) == 0
    points = lines(capsys)
    assert [point["demand"] for point in points] == [2.0, 8.0, 1000.0]
    assert points[0]["workers"] < points[1]["workers"]  # type: ignore[operator]
    assert points[2]["workers"] is None


def test_people_get_a_table(profile_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--demand", "4,4000", "--slo", "10", "--most", "4"]
    assert main(["capacity", "--profile", profile_file, *given]) == 0
    shown = capsys.readouterr().out
    assert "what binds" in shown
    assert "> 4" in shown


@pytest.mark.parametrize(
    ("given", "name"),
    [(["--most", "12"], "capacity-curve"), (["--quality", "0.6"], "capacity-workers")],
)
def test_the_curve_is_written_with_its_figure(
    profile_file: str,
    given: list[str],
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    asked = ["--demand", "2,20", "--slo", "10", *given, "--out", str(out), "--json"]
    assert main(["capacity", "--profile", profile_file, *asked]) == 0
    document = json.loads((out / "capacity.json").read_text())
    assert document["points"] == lines(capsys)
    assert {point["demand"] for point in document["points"]} == {2.0, 20.0}
    figures.assert_golden(out / "capacity.png", name)


@pytest.mark.parametrize(
    ("given", "want"),
    [
        (["--demand", "x", "--slo", "10"], "--demand x: write numbers"),
        (["--demand", "1", "--slo", "0.01"], "fastest model xs"),
        (["--demand", "1", "--slo", "10", "--most", "0"], "workers is 0"),
        (["--demand", "1", "--slo", "10", "--step", "0"], "--step is 0"),
        (["--demand", "1", "--slo", "10", "--quality", "nan"], "--quality is nan"),
        (["--demand", "1", "--slo", "10", "--utilisation", "0"], "utilisation_limit is 0"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_two(
    profile_file: str, given: list[str], want: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacity", "--profile", profile_file, *given]) == 2
    captured = capsys.readouterr()
    assert want in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""

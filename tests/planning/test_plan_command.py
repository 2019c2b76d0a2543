"""`hadis plan`: lines of JSON, a table for people, one clear line for wrong input."""

import json
from pathlib import Path

import pytest

from hadis.profiling import files
from hadis_cli.main import main
from support.profiles import a_profile, a_row, a_scenes_profile

KEYS = {
    "status",
    "pair",
    "hardness_threshold",
    "quality_threshold",
    "quality",
    "workers",
    "batch",
    "route_ratio",
    "lanes",
    "latency_s",
    "mean_latency_s",
    "solve_s",
    "reasons",
}


@pytest.fixture
def profile_file(tmp_path: Path) -> str:
    path = tmp_path / "profile.json"
    path.write_text(files.write_profile(a_scenes_profile()))
    return str(path)


def test_one_problem_is_one_object(profile_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--demand", "2", "--workers", "2", "--slo", "10", "--queue", "l=1", "--json"]
    assert main(["plan", "--profile", profile_file, *given]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert set(plan) >= KEYS
    assert plan["status"] == "optimal"
    assert plan["quality"]["metric"] == "fulfilment"
    assert "fid" not in plan
    assert plan["solve_s"] > 0
    assert sum(plan["workers"].values()) == 2


def test_problems_are_solved_line_by_line(
    tmp_path: Path, profile_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = tmp_path / "problems.jsonl"
    lines = [{"demand": d, "workers": 3, "slo_s": 10, "current": {"l": 3}} for d in (0.5, 4, 500)]
    problems.write_text("\n\n".join(json.dumps(line) for line in lines))
    given = ["--problems", str(problems), "--lanes", "2", "--json"]
    assert main(["plan", "--profile", profile_file, *given]) == 0
    plans = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [plan["status"] for plan in plans] == ["optimal", "optimal", "overload"]
    assert plans[0]["quality"]["value"] > plans[1]["quality"]["value"]
    for plan in plans:
        assert sum(lane["share"] for lane in plan["lanes"]) == pytest.approx(1.0)


def test_a_problem_tells_what_the_fleet_holds_and_what_a_swap_takes(
    tmp_path: Path, profile_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = {"workers": 3, "slo_s": 10, "current": {"xs": 3}, "residual_s": {"xs": 0.1}}
    lines = [{"demand": 1.0, **fleet}, {"demand": 1.0, **fleet, "swap_s": {"l": 600, "m": 600}}]
    problems = tmp_path / "problems.jsonl"
    problems.write_text("\n".join(json.dumps(line) for line in lines))
    assert main(["plan", "--profile", profile_file, "--problems", str(problems), "--json"]) == 0
    free, dear = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert free["quality"]["value"] > dear["quality"]["value"]
    assert free["reasons"]["swaps"] > 0
    assert dear["reasons"]["binding"] == "swaps"


def test_measured_fid_is_told_under_its_own_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fid.json"
    path.write_text(files.write_profile(a_profile({"small": {1: 1.0}}, [a_row("small", "small")])))
    given = ["--demand", "0.1", "--workers", "1", "--slo", "10", "--json"]
    assert main(["plan", "--profile", str(path), *given]) == 0
    assert json.loads(capsys.readouterr().out)["fid"] == 20.0


def test_people_get_a_table_and_the_reasons(
    profile_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--demand", "6", "--workers", "2", "--slo", "10"]
    assert main(["plan", "--profile", profile_file, *given]) == 0
    shown = capsys.readouterr().out
    assert "optimal" in shown
    assert "binding: workers" in shown
    assert "best out of reach" in shown


@pytest.mark.parametrize(
    ("given", "want"),
    [
        (["--demand", "1", "--workers", "0", "--slo", "10"], "workers is 0"),
        (["--demand", "-1", "--workers", "2", "--slo", "10"], "demand is -1"),
        (["--demand", "nan", "--workers", "2", "--slo", "10"], "demand is nan"),
        (["--demand", "1", "--workers", "2", "--slo", "0.01"], "fastest model xs"),
        (["--demand", "1", "--workers", "2"], "--slo is missing"),
        (["--demand", "1", "--workers", "2", "--slo", "1", "--queue", "l"], "write MODEL=N"),
        (["--demand", "1", "--workers", "2", "--slo", "1", "--queue", "z=1"], "queue names z"),
        (["--problems", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_two(
    profile_file: str, given: list[str], want: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--profile", profile_file, *given]) == 2
    captured = capsys.readouterr()
    assert want in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("{", "line 2: no JSON object"),
        ('{"demand": 1, "workers": 2}', "line 2: slo_s is missing"),
        ('{"demand": "x", "workers": 2, "slo_s": 10}', "line 2: demand is 'x'"),
        ('{"demand": 1, "workers": 2.5, "slo_s": 10}', "line 2: workers is 2.5"),
        ('{"demand": 1, "workers": 2, "slo_s": 10, "queue": [1]}', "line 2: queue is no object"),
        ('{"demand": 1, "workers": 2, "slo_s": 10, "ques": {}}', "line 2: ques is no field"),
        ('{"demand": 1, "workers": 2, "slo_s": 10, "current": {"l": 1.5}}', "current.l is 1.5"),
        ('{"demand": 1, "workers": 2, "slo_s": 10, "swap_s": {"z": 1}}', "swap_s names z"),
        ('{"demand": 1, "workers": 2, "slo_s": 10, "residual_s": {"l": -1}}', "residual_s.l is -1"),
        ('{"demand": 1, "workers": 2, "slo_s": 10, "arrival": {"l": NaN}}', "arrival.l is nan"),
        ('{"demand": 1e999, "workers": 2, "slo_s": 10}', "demand is inf"),
    ],
)
def test_a_wrong_line_is_named_before_anything_is_solved(
    tmp_path: Path,
    profile_file: str,
    line: str,
    want: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"demand": 1, "workers": 2, "slo_s": 10}\n' + line + "\n")
    assert main(["plan", "--profile", profile_file, "--problems", str(problems), "--json"]) == 2
    captured = capsys.readouterr()
    assert want in captured.err
    assert captured.out == ""


def test_a_profile_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"name": "x"')
    given = ["--demand", "1", "--workers", "2", "--slo", "10"]
    assert main(["plan", "--profile", str(path), *given]) == 2
    assert "broken.json: line 1" in capsys.readouterr().err

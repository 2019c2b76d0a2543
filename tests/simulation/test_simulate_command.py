"""`hadis simulate`: a row a policy, series and figures, one clear line for bad input."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hadis.profiling import files, workloads
from hadis.simulation.policies import POLICIES
from hadis_cli.main import main
from support import figures
from support.replays import LATENCIES, a_gridded_profile, a_steady_trace, a_workload

KEYS = {
    "policy", "requests", "fid", "slo_violation_ratio", "violations", "escalation_ratio", "swaps",
    "mean_latency_s", "p99_latency_s", "solve_s", "wall_s", "quality", "outcomes",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.json").write_text(files.write_profile(a_gridded_profile()))
    (tmp_path / "w.csv").write_text(workloads.write_csv(a_workload()))
    trace = a_steady_trace(2.0, 60.0)
    requests = zip(trace.at_s, trace.prompt, strict=True)
    lines = [f"{1000 * at_s},{index + 1}" for at_s, index in requests]
    lines[3], lines[4] = lines[4], lines[3]
    (tmp_path / "t.txt").write_text("\n".join(lines))
    (tmp_path / "curve.csv").write_text(",hour,invocations\n0,0,5\n1,1,9\n2,2,6\n")
    return tmp_path


def simulate(folder: Path, *more: str, without: Sequence[str] = ()) -> int:
    given = {
        "--profile": "p.json",
        "--workload": "w.csv",
        "--trace": "t.txt",
        "--workers": "6",
        "--slo": "30",
        "--out": "out",
    }
    options = []
    for name, value in given.items():
        if name not in without and name not in more:
            is_file = name not in ("--workers", "--slo")
            options += [name, str(folder / value) if is_file else value]
    return main(["simulate", *options, *more])


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_policy_gets_a_row_a_series_and_a_place_in_the_figures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(folder, "--policy", "all", "--json") == 0
    rows = printed(capsys)
    assert [row["policy"] for row in rows] == list(POLICIES)
    requests = len((folder / "t.txt").read_text().splitlines())
    for row in rows:
        assert set(row) >= KEYS
        assert row["requests"] == requests == sum(row["outcomes"].values())
        missed = row["violations"]["late"] + row["violations"]["dropped"]
        assert row["slo_violation_ratio"] == pytest.approx(missed / requests, abs=1e-6)
        assert 20.0 <= row["fid"] <= 30.0
        assert row["fid"] == pytest.approx(row["quality"]["value"], abs=1e-3)
    assert json.loads((folder / "out" / "summary.json").read_text()) == rows
    for name in POLICIES:
        with (folder / "out" / f"{name}.csv").open(newline="") as file:
            series = list(csv.DictReader(file))
        assert sum(int(window["requests"]) for window in series) == requests
        workers = [key for key in series[0] if key.startswith("workers:")]
        assert all(sum(int(w[key]) for key in workers) == 6 for w in series)


def test_the_figures_look_as_they_did(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(folder, "--policy", "hadis-paper,clipper-light,clipper-heavy") == 0
    capsys.readouterr()
    for name in ("timeline", "policies"):
        figures.assert_golden(folder / "out" / f"{name}.png", f"simulate-{name}")


def test_equal_seeds_repeat_and_unsorted_arrivals_are_told_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for _ in range(2):
        assert simulate(folder, "--policy", "hadis,random", "--seed", "3", "--json") == 0
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert "t.txt: arrivals went back 1 times" in captured.err
        rows.append([json.loads(line) for line in captured.out.splitlines()])
    for first, second in zip(*rows, strict=True):
        for timing in ("wall_s", "solve_s"):
            del first[timing], second[timing]
        assert first == second


def test_without_a_workload_hardness_and_scores_are_drawn(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(folder, "--policy", "hadis-paper", "--json", without=["--workload"]) == 0
    (row,) = printed(capsys)
    assert 20.0 < row["fid"] < 30.0
    assert row["direct_ratio"] + row["escalation_ratio"] > 0.0


@pytest.mark.parametrize(
    ("more", "without"),
    [
        (["--phases", "20x1,20x3,20x2hard"], ["--trace"]),
        (["--trace", "curve.csv", "--between", "1:4", "--duration", "60"], []),
    ],
)
def test_traces_are_made_from_phases_and_from_a_curve(
    folder: Path,
    more: list[str],
    without: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    assert simulate(folder, *more, "--policy", "clipper-light", "--json", without=without) == 0
    (row,) = printed(capsys)
    assert 80 < row["requests"] < 220
    assert row["slo_violation_ratio"] == 0.0


def test_swaps_cost_the_time_that_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phases = ["--phases", "60x0.3,60x4", "--policy", "hadis-paper", "--json"]
    missed = []
    for swap in ("0", "25"):
        assert simulate(folder, *phases, "--swap", swap, without=["--trace"]) == 0
        (row,) = printed(capsys)
        assert row["swaps"] > 0
        missed.append(row["slo_violation_ratio"])
    assert missed[0] < missed[1]


def test_people_get_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(folder, "--policy", "clipper-light,clipper-heavy") == 0
    shown = capsys.readouterr().out
    assert "clipper-heavy" in shown
    assert "missed" in shown


def test_a_shipped_profile_goes_by_its_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(
        folder, "--profile", "imagenet-l40s", "--slo", "60", "--json", without=["--workload"]
    ) == 0  # fmt: skip
    (row,) = printed(capsys)
    assert 19.9 < row["fid"] < 29.8


@pytest.mark.parametrize(
    ("file", "more", "want"),
    [
        (("t.txt", ""), [], "t.txt: the trace is empty"),
        (("t.txt", "5,1\n-3,1\n"), [], "t.txt:2: arrival_ms is '-3'"),
        (("t.txt", "5,1\nfive,1\n"), [], "t.txt:2: arrival_ms is 'five'"),
        (("t.txt", "nan,1\n"), [], "t.txt:1: arrival_ms is 'nan'"),
        (("t.txt", "5,1\n6,101\n"), [], "t.txt:2: prompt_index is 101"),
        (("w.csv", "prompt,hardness,score:small\na,1,1\n"), [], "w.csv: the column score:middle"),
        (("w.csv", "prompt,hardness\na,x\n"), [], "w.csv: row 2, column hardness: 'x'"),
        (None, ["--workers", "0"], "workers is 0"),
        (None, ["--workers", "-3"], "workers is -3"),
        (None, ["--slo", "0.5"], "below the 1 s of the fastest model small"),
        (None, ["--slo", "nan"], "slo_s is nan"),
        (None, ["--policy", "hadis,best"], "--policy best is unknown"),
        (None, ["--policy", ","], "--policy names no policy"),
        (None, ["--swap", "fast"], "--swap fast: write seconds"),
        (None, ["--swap", "huge=2"], "swap_s names huge"),
        (None, ["--swap", "-1"], "swap_s.small is -1"),
        (None, ["--interval", "0"], "interval is 0"),
        (None, ["--pair", "small,huge"], "pair names huge"),
        (None, ["--phases", "60x4"], "give either --trace F or --phases"),
        (None, ["--between", "1:2"], "t.txt:1: a load's shape begins with a header"),
        (None, ["--between", "1:2", "--duration", "nan"], "--duration is nan"),
        (None, ["--between", "4:1"], "--between 4:1: write LOW:HIGH"),
        (None, ["--trace", "nowhere.txt"], "--trace nowhere.txt: No such file"),
        (None, ["--workload", "nowhere.csv"], "--workload nowhere.csv: No such file"),
        (None, ["--profile", "nowhere.json"], "--profile nowhere.json: No such file"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_two(
    folder: Path,
    file: tuple[str, str] | None,
    more: list[str],
    want: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if file is not None:
        (folder / file[0]).write_text(file[1])
    assert simulate(folder, *more, "--json") == 2
    captured = capsys.readouterr()
    assert want in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("field", "value", "want"),
    [
        ("models", [], "models: is empty"),
        ("models", [{"name": "small", "latency_s": {"1": 2.0, "2": 1.0}}], "models[0].latency_s.2"),
        ("models", [{"name": "small", "latency_s": {"1": 2.0}}], "rows[0].heavy: large has no"),
        ("rows", [{"light": "small", "heavy": "large", "route_ratio": {"light": 1.5, "heavy": 0},
                   "fid": 1}], "rows[0].route_ratio.light: 1.5 is outside [0, 1]"),
    ],
)  # fmt: skip
def test_a_wrong_profile_is_named_by_row_and_field(
    folder: Path, field: str, value: object, want: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((folder / "p.json").read_text())
    document[field] = value
    if field == "models":
        document["rows"] = [row for row in document["rows"] if row["heavy"] == "large"][:1]
        document["rows"][0]["light"] = "small"
    document.pop("grid")
    (folder / "p.json").write_text(json.dumps(document))
    assert simulate(folder, "--json") == 2
    captured = capsys.readouterr()
    assert f"p.json: {want}" in captured.err
    assert captured.err.count("\n") == 1


def test_a_profile_without_single_images_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((folder / "p.json").read_text())
    document["models"][1]["latency_s"] = {"2": LATENCIES["middle"][2]}
    (folder / "p.json").write_text(json.dumps(document))
    assert simulate(folder, "--json") == 2
    assert "no latency of middle for a batch of 1" in capsys.readouterr().err

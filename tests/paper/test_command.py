"""`python -m benchmarks.paper`, as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def paper(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "HADIS_DATA"}
    out = ["--out", str(tmp_path / "out"), "--page", str(tmp_path / "page.md")]
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.paper", *out, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_figures_that_follow_from_formulas_need_no_data(tmp_path: Path) -> None:
    done = paper(tmp_path, "--figure", "5")
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"figure-5.json", "figure-5.png"}
    assert "page.md waits for figures 2, 3, 4, 7" in done.stderr


def test_figures_without_their_data_are_left_out_by_name(tmp_path: Path) -> None:
    done = paper(tmp_path, "--figure", "7", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "left out: figures 7" in done.stderr
    assert "fid_hybrid.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_figure_is_refused(tmp_path: Path) -> None:
    done = paper(tmp_path, "--figure", "6")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr

"""`hadis theory`: one object, a table, figures, and one clear line for wrong input."""

import json
from pathlib import Path

import pytest

from hadis_cli.main import main
from support import figures


def test_one_object_has_comparison_and_regions_for_every_alpha(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["theory", "--alpha", "0.1,0.3", "--costs", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [setting["alpha"] for setting in found["settings"]] == [0.1, 0.3]
    for setting in found["settings"]:
        assert len(setting["comparison"]) == 4
        assert setting["comparison"][-1]["cost"] == pytest.approx(1.0)
        for row in setting["comparison"][1:]:
            assert row["hybrid"] >= row["router_only"] - 1e-9
        for region in ("discriminator_region", "router_region"):
            assert len(setting[region]["fp"]) == len(setting[region]["least_tp"])
            assert 0.0 < setting[region]["area"] < 1.0


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["theory", "--costs", "3"]) == 0
    shown = capsys.readouterr().out
    assert "router only" in shown
    assert "feasibility regions" in shown


def test_figures_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures"
    assert main(["theory", "--costs", "5", "--out", str(out)]) == 0
    capsys.readouterr()
    assert json.loads((out / "theory.json").read_text())["q"] == 0.5
    figures.assert_golden(out / "theory.png", "theory")


@pytest.mark.parametrize(
    ("given", "want"),
    [
        (["--q", "0"], "--q is 0"),
        (["--q", "nan"], "--q is nan"),
        (["--alpha", "1.5"], "--alpha 1.5"),
        (["--alpha", "a"], "--alpha a: write numbers"),
        (["--router-auc", "0.4"], "--router-auc is 0.4"),
        (["--discriminator-auc", "1"], "--discriminator-auc is 1"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_two(
    given: list[str], want: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["theory", *given]) == 2
    captured = capsys.readouterr()
    assert want in captured.err
    assert captured.err.count("\n") == 1


def test_a_file_in_the_place_of_the_folder_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file")
    assert main(["theory", "--costs", "5", "--out", str(tmp_path / "taken" / "figures")]) == 2
    captured = capsys.readouterr()
    assert "--out" in captured.err
    assert captured.err.count("\n") == 1

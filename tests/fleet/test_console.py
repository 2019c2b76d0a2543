"""How `hadis up` names itself to the person who reads its hints."""

import sys
from pathlib import Path

import pytest

from hadis_cli.fleet import console


def a_program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    program = folder / "hadis"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_it_is_called_by_name_only_where_path_finds_this_very_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = a_program(tmp_path / "my venv" / "bin"), a_program(tmp_path / "other")
    monkeypatch.setattr(sys, "argv", [str(mine), "up"])
    for path, want in (
        (mine.parent, "hadis"),
        (tmp_path, f"'{mine}'"),
        (other.parent, f"'{mine}'"),
    ):
        monkeypatch.setenv("PATH", str(path))
        assert console.own_call() == want


def test_a_relative_path_is_told_as_one_that_holds_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = a_program(tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", ["bin/hadis", "up"])
    assert console.own_call() == str(mine)


def test_a_module_is_called_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/anywhere/hadis_cli/main.py", "up"])
    assert console.own_call() == f"{sys.executable} -m hadis_cli.main"

"""The commands of the README work as they are pasted, from the checkout's own folder."""

import shlex
from pathlib import Path

import click
import pytest

from hadis_cli import main as cli

ROOT = Path(__file__).parents[2]
PROGRAM = ".venv/bin/hadis "
COMMANDS = [
    line.partition("  #")[0]
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    if line.startswith(("hadis ", PROGRAM))
]


def test_the_readme_shows_every_everyday_command() -> None:
    assert {line.split()[1] for line in COMMANDS} >= {"generate", "score", "bench", "plan"}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_is_complete_and_names_files_that_are_there(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert line.startswith(PROGRAM), "nothing puts hadis on a newcomer's PATH"
    name, *arguments = shlex.split(line)[1:]
    command = cli.group.get_command(click.Context(cli.group), name)
    assert command is not None
    given = command.make_context(name, arguments).params
    for option in {"prompts", "trace", "profile_file", "problems", "cascade", "file"} & set(given):
        assert given[option] is None or Path(str(given[option])).is_file(), option

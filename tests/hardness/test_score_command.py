"""`hadis score` as a user meets it: JSON lines, a table for people, one line for an error."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hadis.errors import InvalidInput
from hadis.hardness import features, scoring
from hadis_cli import main
from hadis_cli.commands import score

CASCADE = """
apiVersion: hadis.dev/v1alpha1
kind: HadisCascade
metadata: {name: shapes}
spec:
  slo: {latency: 10s}
  models:
    - {name: small, source: {path: small}, steps: 4, guidance: 1.0, size: 64x64}
  stages: {router: Enabled, discriminator: Disabled}
  workers: {count: 1}
  hardness:
    weights: {object_count: 10, prompt_length: 0}
"""


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(
        score.command, list(arguments), input=stdin, standalone_mode=False, catch_exceptions=True
    )


def test_a_prompt_becomes_one_json_object() -> None:
    result = run("a red circle above a blue square", "--json")
    found = json.loads(result.stdout)
    want = scoring.Scorer().score("a red circle above a blue square")
    assert found["prompt"] == "a red circle above a blue square"
    assert found["features"] == want.features
    assert tuple(found["features"]) == features.NAMES
    assert found["score"] == want.score
    assert 0 < found["ms"] < 60_000
    assert found["truncated"] is False


def test_a_file_gives_a_line_a_prompt_in_its_order(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_bytes("\ufeffa dog\r\n\r\nzwei Häuser\n  two cats\n".encode())
    lines = [json.loads(line) for line in run("--file", str(prompts), "--json").stdout.splitlines()]
    assert [line["prompt"] for line in lines] == ["a dog", "zwei Häuser", "  two cats"]


@pytest.mark.parametrize("arguments", [("-",), ("--file", "-")])
def test_a_dash_reads_standard_input(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--json", stdin="a dog\na red circle left of a dog\n")
    easy, hard = (json.loads(line)["score"] for line in result.stdout.splitlines())
    assert easy < hard


def test_a_cascade_brings_its_own_weights(tmp_path: Path) -> None:
    cascade = tmp_path / "cascade.yaml"
    cascade.write_text(CASCADE)
    found = json.loads(run("three dogs", "--cascade", str(cascade), "--json").stdout)
    want = scoring.Scorer({"object_count": 10, "prompt_length": 0}).score("three dogs").score
    assert found["score"] == want != scoring.Scorer().score("three dogs").score


def test_people_see_every_feature_and_the_score() -> None:
    shown = run("two red squares").stdout
    assert all(name in shown for name in features.NAMES)
    assert f"{scoring.Scorer().score('two red squares').score:.3f}" in shown
    assert "█" in shown


def test_people_see_a_row_a_prompt_and_no_control_characters(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a dog\na \x1b[31mred dog [bold]\n")
    shown = run("--file", str(prompts)).stdout
    assert "a dog" in shown
    assert "red dog [bold]" in shown
    assert "\x1b[31m" not in shown


def test_a_cut_prompt_says_so() -> None:
    assert "only the beginning" in run("dog " * 2_000).stdout
    assert json.loads(run("dog " * 2_000, "--json").stdout)["truncated"] is True


def bad_calls(folder: Path) -> list[tuple[list[str], str]]:
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    (folder / "blank.txt").write_text("\n \n")
    (folder / "long.txt").write_text("a dog\n" + "x" * 32_001 + "\n")
    (folder / "unknown.yaml").write_text(CASCADE.replace("object_count", "objects"))
    return [
        ([], "PROMPT"),
        (["a dog", "--file", "prompts.txt"], "--file"),
        ([""], "PROMPT is empty"),
        (["  "], "PROMPT is empty"),
        (["x" * 32_001], "shorten it to 32000"),
        (["--file", str(folder / "missing.txt")], "missing.txt"),
        (["--file", str(folder)], "--file"),
        (["--file", str(folder / "latin.txt")], "UTF-8"),
        (["--file", str(folder / "blank.txt")], "no prompt"),
        (["--file", str(folder / "long.txt")], "line 2"),
        (["a dog", "--cascade", str(folder / "missing.yaml")], "missing.yaml"),
        (["a dog", "--cascade", str(folder / "unknown.yaml")], "objects"),
    ]


def test_bad_input_is_refused_before_anything_is_scored(tmp_path: Path) -> None:
    for arguments, want_words in bad_calls(tmp_path):
        result = run(*arguments)
        assert isinstance(result.exception, InvalidInput), arguments
        assert want_words in str(result.exception)
        assert result.stdout == ""


def test_bad_input_is_one_line_and_exit_status_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, want_words in bad_calls(tmp_path):
        assert main.main(["score", *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        assert want_words in printed.err


def test_the_command_runs_as_a_process_without_torch_and_agrees_with_the_router() -> None:
    """The router scores through `Scorer` with the cascade's weights; so must the command."""
    code = (
        "import sys; from hadis_cli.main import main;"
        "main(['score', '-', '--json']); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="a tiny axolotl in Paris\n",
        capture_output=True,
        text=True,
        check=True,
    )
    scored, torch_imported = done.stdout.splitlines()
    want = scoring.Scorer().score("a tiny axolotl in Paris")
    assert json.loads(scored)["score"] == want.score
    assert json.loads(scored)["features"] == want.features
    assert torch_imported == "False"

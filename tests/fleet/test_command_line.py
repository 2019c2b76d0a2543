"""Commands teach with --help and answer bad input with one clear message and an exit code."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hadis_cli import main as cli
from support import cascade_folders, scripted_endpoint
from support.commands import hadis
from support.scripted_endpoint import PIXELS, Script


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cascade whose weights look right and are not."""
    made = tmp_path_factory.mktemp("cascade")
    (made / "weights").mkdir()
    (made / "weights" / "model_index.json").write_text("{}")
    (made / "clip").mkdir()
    (made / "cascade.yaml").write_text(cascade_folders.manifest())
    return made


def test_help_lists_every_command_without_importing_any() -> None:
    probe = (
        "import sys; from hadis_cli import main; main.main(['--help']);"
        "heavy = {'torch', 'spacy', 'ortools', 'aiohttp', 'fastapi', 'rich'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in cli.COMMANDS:
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_page_of_commands_names_every_option(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition(f"## hadis {name}\n")[2].partition("\n## ")[0]
    command = cli.group.get_command(click.Context(cli.group), name)
    assert command is not None
    options = [max(parameter.opts, key=len) for parameter in command.params]
    assert [option for option in options if option.startswith("--") and option not in section] == []


@pytest.mark.parametrize("name", ["up", "generate", "bench"])
def test_each_command_explains_itself_with_an_example(name: str) -> None:
    done = hadis(name, "--help")
    assert done.returncode == 0
    assert f"hadis {name}" in done.stdout.partition("Options:")[0].partition("\n")[2]


@pytest.mark.parametrize(
    ("arguments", "want_code", "want_words"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["up", "--port", "70000"], 2, "--port"),
        (["up", "--cascade", "nowhere.yaml"], 2, "nowhere.yaml: there is no such file"),
        (["generate", "x", "--url", "ftp://x"], 2, "must start with http://"),
        (["generate", "x", "--url", "http://127.0.0.1:9"], 1, "start it with: hadis up"),
        (["generate", "x", "--out", "x.gif"], 2, "--out x.gif: the name must end in one of"),
        (["bench", "--slo", "0"], 2, "--slo"),
        (["bench", "--slo", "1"], 2, "give either --rate with --duration, or --trace"),
    ],
)
def test_bad_input_gives_one_clear_message(
    arguments: list[str], want_code: int, want_words: str
) -> None:
    done = hadis(*arguments)
    assert done.returncode == want_code
    assert want_words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_up_names_missing_weights_before_it_starts_anything(tmp_path: Path) -> None:
    (tmp_path / "cascade.yaml").write_text(cascade_folders.manifest())
    done = hadis("up", "--cascade", str(tmp_path / "cascade.yaml"), "--no-browser")
    assert done.returncode == 2
    for want_field in ("models[0].source.path", "models[1].source", "discriminator.source.path"):
        assert f"spec.{want_field}" in done.stderr


def test_up_names_a_port_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = hadis("up", "--cascade", str(folder / "cascade.yaml"), "--port", port)
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "choose another --port" in done.stderr


def test_up_serves_other_machines_only_with_keys_or_a_word(folder: Path) -> None:
    done = hadis("up", "--cascade", str(folder / "cascade.yaml"), "--host", "0.0.0.0")
    assert done.returncode == 2
    for want_way_out in ("--api-keys-file", "HADIS_API_KEYS", "--insecure"):
        assert want_way_out in done.stderr


def test_up_refuses_a_profile_that_is_not_in_the_file(folder: Path, tmp_path: Path) -> None:
    alone = cascade_folders.manifest().partition("---")[0]
    file = tmp_path / "cascade.yaml"
    file.write_text(alone.replace("path: weights", f"path: {folder / 'weights'}"))
    done = hadis("up", "--cascade", str(file))
    assert done.returncode == 2
    assert "spec.profile.name: no HadisProfile 'tiny' follows in this file" in done.stderr
    way_out = f"hadis profile --cascade {file} --prompts F --out DIR --update"
    assert way_out in done.stderr
    # That command must itself be able to read such a file: only the prompts are missing.
    tried = hadis("profile", "--cascade", str(file), "--prompts", "nowhere", "--out", str(tmp_path))
    assert tried.returncode == 2
    assert "nowhere" in tried.stderr
    assert "spec.profile" not in tried.stderr


def test_generate_saves_the_image_and_tells_its_way(tmp_path: Path) -> None:
    told = {"quality_score": 0.7512, "heavy_quality_score": 0.6251, "ignored": ["quality"]}
    script = Script(
        answer=lambda *_: scripted_endpoint.an_image("kept", unknown_words=["dog"], **told)
    )
    with scripted_endpoint.serve(script) as url:
        done = hadis("generate", "a red dog!", "--url", f"{url}/v1/", "--seed", "9", cwd=tmp_path)
        again = hadis("generate", "a red dog!", "--url", url, "--json", cwd=tmp_path)
    assert (done.returncode, again.returncode) == (0, 0)
    assert (tmp_path / "a-red-dog.png").read_bytes() == PIXELS
    for want_words in ("a-red-dog.png", "kept", "small", "dog", "0.751", "0.625"):
        assert want_words in done.stdout
    assert re.search(r"heavy image's score +0\.625", done.stdout)
    assert re.search(r"ignored +quality", done.stdout)
    told = json.loads(again.stdout)
    assert told["file"] == "a-red-dog-2.png"  # an earlier image is never overwritten
    assert told["hadis"]["path"] == "kept"
    assert [body.get("seed") for body in script.bodies] == [9, None]


def test_generate_tells_the_endpoints_own_reason() -> None:
    def refuse(*_: object) -> object:
        return scripted_endpoint.an_error(503, "no ready worker has scenes-l", "rejected")

    with scripted_endpoint.serve(Script(answer=refuse)) as url:  # type: ignore[arg-type]
        done = hadis("generate", "x", "--url", url)
    assert done.returncode == 1
    assert done.stderr == "hadis: no ready worker has scenes-l (503)\n"


def test_a_missing_part_of_the_installation_is_named(folder: Path) -> None:
    probe = (
        "import sys; sys.modules['watchfiles'] = None; from hadis_cli import main;"
        f"sys.exit(main.main(['up', '--cascade', {str(folder / 'cascade.yaml')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'hadis[local]'" in done.stderr

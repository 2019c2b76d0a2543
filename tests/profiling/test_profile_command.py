"""`hadis profile` on tiny pipelines: measured, interrupted, resumed, written into the cascade."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hadis.errors import InvalidInput, ModelUnavailable
from hadis.planning import solving
from hadis.planning.problems import Problem
from hadis.profiling import files
from hadis.terms.cascades import Cascade, ModelSource
from hadis.terms.ids import ModelName
from hadis.wire import manifests
from hadis_cli.fleet import options as fleet_options
from hadis_cli.main import main
from hadis_cli.measuring import inputs, phases
from hadis_profiler import generating, helpers, latencies, latency_files
from hadis_profiler.assembling import Assembly
from support import tiny_pipelines

CASCADE = """\
# A cascade for a test.
apiVersion: hadis.dev/v1alpha1
kind: HadisCascade
metadata: {name: tiny}
spec:
  slo: {latency: 10s}
  models:
    - {name: few, source: {path: model}, steps: 1, guidance: 1, size: 32x32}
    - {name: many, source: {path: model}, steps: 4, guidance: 1, size: 32x32}
  stages: {discriminator: Disabled}
  profile: {name: tiny}
  workers: {count: 1}
"""
PROMPTS = 20


def wait_for(ready: Callable[[], bool], *, at_most_s: float = 300.0) -> None:
    until_s = time.monotonic() + at_most_s
    while not ready():
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_pipelines.save_stable_diffusion(tmp_path / "model")
    (tmp_path / "cascade.yaml").write_text(CASCADE)
    lines = [
        {"prompt": f"a red circle and {n} blue squares", "grey": n * 12} for n in range(PROMPTS)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


@pytest.mark.filterwarnings("ignore::FutureWarning:diffusers.*")
def test_a_profile_is_measured_and_written_into_the_cascade(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        "profile",
        *("--cascade", str(folder / "cascade.yaml"), "--prompts", str(folder / "prompts.jsonl")),
        *("--out", str(folder / "out"), "--workers", "1", "--batches", "1,2"),
        *("--checker", "support.checkers:is_bright"),
    ]
    assert main([*given, "--update"]) == 0
    profile = files.read_profile((folder / "out" / "profile.json").read_text(), "profile.json")
    assert profile.quality.metric == "fulfilment"
    assert [model.name for model in profile.models] == ["few", "many"]
    assert (
        profile.latency_of(profile.models[0].name)[1]
        < profile.latency_of(profile.models[1].name)[1]
    )
    plan = solving.solve(Problem(profile, 0.1, 2, 10.0))
    assert 0.0 < plan.quality < 1.0

    text = (folder / "cascade.yaml").read_text()
    assert text.startswith("# A cascade for a test.\n")
    updated = manifests.read_manifests(text, source="cascade.yaml")
    assert updated.profile == profile

    assert "few" in capsys.readouterr().out


def the_cascade(folder: Path) -> Cascade:
    text = (folder / "cascade.yaml").read_text()
    return manifests.resolve_paths(
        manifests.read_manifests(text, source="cascade.yaml").cascade, folder
    )


def latencies_identity(cascade: Cascade) -> str:
    return latencies.identity(cascade, processes=1, device="cpu", batches=(1, 2, 4, 8))


def with_known_latencies(folder: Path) -> None:
    """Leave what a run measured before it was interrupted."""
    made_of = latencies_identity(the_cascade(folder))
    seconds = {ModelName("few"): {1: 0.1}, ModelName("many"): {1: 0.2}}
    (folder / "out").mkdir()
    latency_files.write(
        latencies.Latencies(seconds, {}, "x", 1, made_of), folder / "out" / "latencies.json"
    )


def resumed(folder: Path, *more: str) -> list[str]:
    return [
        *("profile", "--resume", "--cascade", str(folder / "cascade.yaml")),
        *("--out", str(folder / "out"), *more),
    ]


def chunks_in(folder: Path) -> list[str]:
    found = []
    for line in (folder / "out" / "images.jsonl").read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            found.append(json.loads(line)["chunk"])
    return found


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::FutureWarning:diffusers.*")
def test_ctrl_c_stops_at_once_and_resume_makes_only_what_is_missing(
    folder: Path,
) -> None:
    with_known_latencies(folder)
    hold = folder / "hold"
    lines = [
        {"prompt": f"{n} blue squares", "hold": str(hold if n >= 16 else folder / "never")}
        for n in range(PROMPTS)
    ]
    (folder / "held.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = resumed(folder, "--prompts", str(folder / "held.jsonl"))
    given += ["--checker", "support.checkers:is_drawn"]
    hold.touch()
    run = subprocess.Popen(
        [sys.executable, "-m", "hadis_cli.main", *given],
        start_new_session=True,  # Ctrl-C reaches the whole group, the helpers too
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    done = folder / "out" / "images.jsonl"
    try:
        wait_for(lambda: done.exists() and done.read_text().endswith("\n"))
        os.killpg(run.pid, signal.SIGINT)
        _, told = run.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 130
    assert told.endswith("hadis: stopped\n")
    assert "Traceback" not in told
    finished = chunks_in(folder)
    assert len(finished) < 8

    hold.unlink()
    with done.open("a") as file:
        file.write('{"chunk": "few/1')  # what an unluckier moment would have left
    assert main(given) == 0
    everything = chunks_in(folder)
    assert everything[: len(finished)] == finished
    assert len(everything) == len(set(everything)) == 8
    outcomes = (folder / "out" / "outcomes.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt"] for line in outcomes] == [line["prompt"] for line in lines]
    assert json.loads(outcomes[-1])["fulfilled"] == {"few": [1.0, 1.0], "many": [1.0, 1.0]}


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::FutureWarning:diffusers.*")
def test_a_helper_that_dies_ends_the_run_with_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_known_latencies(folder)
    prompts = str(folder / "prompts.jsonl")
    checker = "support.checkers:ends_the_process"
    assert main(resumed(folder, "--prompts", prompts, "--checker", checker)) == 1
    assert "a process that makes images died" in capsys.readouterr().err
    # The pool's own thread may be about to note the end of a process that it has reaped.
    wait_for(lambda: not multiprocessing.active_children(), at_most_s=60.0)


def test_a_checker_that_fails_is_named_with_the_prompt() -> None:
    with pytest.raises(InvalidInput, match=r"--checker a:b fails on the prompt 'x'.*KeyError"):
        generating._checked("a:b", lambda image, line: line["spec"], None, {"prompt": "x"})


def test_new_weights_settings_judges_or_prompts_are_new_work_and_a_moved_folder_is_not(
    folder: Path,
) -> None:
    cascade = the_cascade(folder)
    lines = [{"prompt": f"{n} red circles"} for n in range(PROMPTS)]

    def keys(cascade: Cascade, lines: list[dict[str, str]], checker: str = "a:b") -> set[str]:
        return {chunk.key for chunk in generating._chunks(cascade, lines, 2, checker)}

    before = keys(cascade, lines)
    assert len(before) == 8
    assert keys(cascade, lines) == before
    assert not before & keys(cascade, lines, "a:c")
    few, many = cascade.models
    more_steps = replace(cascade, models=(few, replace(many, steps=5)))
    assert len(before & keys(more_steps, lines)) == 4
    assert len(before & keys(cascade, [*lines, {"prompt": "one more"}])) == 4

    shutil.copytree(folder / "model", folder / "moved")
    moved = [replace(m, source=ModelSource(path=str(folder / "moved"))) for m in cascade.models]
    assert keys(replace(cascade, models=tuple(moved)), lines) == before
    shutil.rmtree(folder / "model")
    tiny_pipelines.save_stable_diffusion(folder / "model", seed=1)
    assert not before & keys(cascade, lines)

    lora, part = folder / "lora", folder / "part.json"
    lora.mkdir()
    places = [lora / "weights.safetensors", part]
    source = replace(few.source, overrides={"vae": str(part), "scheduler": "DDIMScheduler"})
    extended = replace(cascade, models=(replace(few, source=source, loras=(str(lora), "a/b")),))
    for place in places:
        place.write_text("old")
    for place in places:
        old = keys(extended, lines)
        assert keys(extended, lines) == old
        place.write_text("newer")
        assert not old & keys(extended, lines)
    assert latencies_identity(cascade) != latencies_identity(more_steps)


def test_weights_are_read_once_until_they_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    digest = hashlib.file_digest

    def noted(file: Any, name: str) -> Any:
        read.append(file.name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", noted)
    before = latencies_identity(the_cascade(folder))
    weights = [path for path in (folder / "model").rglob("*") if path.is_file()]
    assert sorted(read) == sorted(str(path) for path in weights)
    assert latencies_identity(the_cascade(folder)) == before
    assert len(read) == len(weights)
    os.utime(weights[0], ns=(0, 0))
    assert latencies_identity(the_cascade(folder)) == before
    assert len(read) == 2 * len(weights)


@pytest.mark.parametrize(
    ("edit", "want_code", "want"),
    [
        (("latency: 10s", "latency: 12s"), 0, ""),
        (("steps: 4", "steps: 5"), 2, "has got other models"),
        (("stages: {", "stages: {]"), 2, "and --update has changed nothing"),
    ],
)
def test_an_edit_of_the_cascade_while_it_is_measured_is_never_undone(
    folder: Path,
    edit: tuple[str, str],
    want_code: int,
    want: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with_known_latencies(folder)
    line = {"prompt": "a red circle", "fulfilled": {"few": [0, 1], "many": [1, 1]}}
    (folder / "measured.jsonl").write_text(json.dumps(line) + "\n")
    edited = CASCADE.replace(*edit)
    assemble = phases.assembly_of

    def assemble_while_edited(*given: Any) -> Assembly:
        (folder / "cascade.yaml").write_text(edited)
        return assemble(*given)

    monkeypatch.setattr(phases, "assembly_of", assemble_while_edited)
    given = resumed(folder, "--outcomes", str(folder / "measured.jsonl"), "--update")
    assert main(given) == want_code
    text = (folder / "cascade.yaml").read_text()
    if want_code:
        told = capsys.readouterr().err
        assert want in told
        assert str(folder / "out") in told
        assert text == edited
    else:
        updated = manifests.read_manifests(text, source="cascade.yaml")
        assert updated.cascade.slo_s == 12.0
        assert updated.profile is not None
    assert (folder / "out" / "profile.json").exists()


def test_outcomes_that_were_measured_before_become_a_profile_without_any_image(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_known_latencies(folder)
    lines = [
        {"prompt": f"{n} red circles", "fulfilled": {"few": [n % 2, 1], "many": [True, True]}}
        for n in range(30)
    ]
    path = folder / "measured.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    capsys.readouterr()
    assert main(resumed(folder, "--outcomes", str(path), "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metric"] == "fulfilment"
    assert found["models"]["few"] == {"latency_s": {"1": 0.1}, "quality": 0.75}
    assert found["rows"] <= found["rows_swept"]
    assert not (folder / "out" / "images.jsonl").exists()
    profile = files.read_profile(Path(found["profile"]).read_text(), "profile.json")
    assert "30 prompts, 2 seeds each" in profile.notes["prompts"]


def test_the_profile_is_printed_as_the_resource_that_kubectl_takes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_known_latencies(folder)
    line = {"prompt": "a red circle", "fulfilled": {"few": [0, 1], "many": [1, 1]}}
    (folder / "measured.jsonl").write_text(json.dumps(line) + "\n")
    given = resumed(folder, "--outcomes", str(folder / "measured.jsonl"), "--manifest")
    capsys.readouterr()
    assert main(given) == 0
    told = capsys.readouterr().out
    assert told == (folder / "out" / "profile.yaml").read_text()
    both = manifests.read_manifests(CASCADE + "---\n" + told, source="both")
    assert both.profile is not None
    assert both.profile.name == "tiny"
    assert main([*given, "--json"]) == 2
    assert "--json or --manifest" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("device", "wanted", "gpus", "want"),
    [
        ("auto", 8, 0, ("cpu", 4)),
        ("auto", 2, 0, ("cpu", 2)),
        ("auto", 8, 1, ("cuda", 1)),
        ("auto", 2, 8, ("cuda", 2)),
        ("auto", 0, 8, ("cuda", 1)),
        ("cpu", 8, 1, ("cpu", 4)),
        ("cuda", 8, 2, ("cuda", 2)),
        # There is none: the process itself says so, with the fix.
        ("cuda", 8, 0, ("cuda", 1)),
        # All processes would share this one.
        ("cuda:1", 8, 2, ("cuda:1", 1)),
    ],
)
def test_models_are_measured_on_gpus_if_there_are_any(
    device: str, wanted: int, gpus: int, want: tuple[str, int]
) -> None:
    found = inputs.place(device, wanted=wanted, gpus=gpus, cores=4)
    assert (found.device, found.processes) == want


def test_torch_itself_says_how_many_gpus_it_can_use() -> None:
    torch = pytest.importorskip("torch")
    want = torch.cuda.device_count() if torch.cuda.is_available() else 0
    assert helpers.gpus() == want


def test_a_gpu_that_torch_cannot_use_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if helpers.gpus():
        pytest.skip("torch can use this machine's")
    with_known_latencies(folder)
    line = {"prompt": "a red circle", "fulfilled": {"few": [0, 1], "many": [1, 1]}}
    (folder / "measured.jsonl").write_text(json.dumps(line) + "\n")
    given = resumed(folder, "--outcomes", str(folder / "measured.jsonl"))
    words = "a GPU that torch cannot use: the CPU is measured"
    for gpus, is_told in ((0, False), (1, True)):
        monkeypatch.setattr(fleet_options, "gpus", lambda gpus=gpus: gpus)
        assert main(given) == 0
        assert (words in " ".join(capsys.readouterr().err.split())) is is_told
    assert main([*given, "--device", "cpu"]) == 0
    assert words not in " ".join(capsys.readouterr().err.split())


def test_a_helper_that_died_is_noticed_at_once() -> None:
    spawn = helpers.context()
    results = spawn.Queue()
    process = spawn.Process(target=os._exit, args=(3,))
    process.start()
    with pytest.raises(ModelUnavailable, match="died with exit code 3"):
        latencies._next(results, [process])


def bad_calls(folder: Path) -> list[tuple[list[str], str]]:
    (folder / "outcomes.jsonl").write_text('{"prompt": "something else"}\n')
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    (folder / "blank.txt").write_text(" \n")
    prompts = ["--prompts", str(folder / "prompts.jsonl")]
    outcomes = ["--outcomes", str(folder / "outcomes.jsonl")]
    return [
        ([*prompts, *outcomes], "line 1: the prompt is not in"),
        ([], "give --prompts F, or --outcomes F"),
        (prompts, "nothing judges the images"),
        ([*prompts, "--checker", "support.checkers:nobody"], "--checker support.checkers:nobody"),
        ([*prompts, "--features", str(folder / "latin.txt")], "--features belongs to"),
        ([*prompts, "--device", "gpu"], "--device gpu is none of"),
        ([*prompts, "--batches", "2,4"], "--batches 2,4"),
        ([*prompts, "--overhead", "-1"], "-1"),
        (["--prompts", str(folder / "latin.txt")], "cannot be read as text"),
        (["--prompts", str(folder / "blank.txt")], "holds no prompt"),
    ]


def test_bad_input_is_refused_before_any_model_is_loaded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_known_latencies(folder)
    for arguments, want in bad_calls(folder):
        assert main(resumed(folder, *arguments)) == 2, arguments
        assert want in capsys.readouterr().err

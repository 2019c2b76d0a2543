"""`hadis profile` on tiny pipelines: measured, interrupted, resumed, written into the cascade."""

import json
from pathlib import Path

import pytest

from hadis.planning import solving
from hadis.planning.problems import Problem
from hadis.profiling import files
from hadis.wire import manifests
from hadis_cli.main import main
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
def test_a_profile_is_measured_resumed_and_written_into_the_cascade(
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

    # An interruption loses at most the chunk at hand: take away one and half a line.
    done = folder / "out" / "images.jsonl"
    kept = done.read_text().splitlines(keepends=True)[:-2]
    done.write_text("".join(kept) + '{"chunk": "few/1')
    before = (folder / "out" / "outcomes.jsonl").read_text()
    assert main([*given, "--resume"]) == 0
    assert (folder / "out" / "outcomes.jsonl").read_text() == before
    assert "few" in capsys.readouterr().out


def test_outcomes_of_other_prompts_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "latencies.json").write_text(
        json.dumps(
            {
                "hardware": "x",
                "processes": 1,
                "models": {"few": {"1": 0.1}, "many": {"1": 0.2}},
                "scoring": {},
            }
        )
    )
    (folder / "outcomes.jsonl").write_text('{"prompt": "something else"}\n')
    code = main(
        [
            *("profile", "--resume", "--cascade", str(folder / "cascade.yaml")),
            *("--prompts", str(folder / "prompts.jsonl"), "--out", str(folder / "out")),
            *("--outcomes", str(folder / "outcomes.jsonl")),
        ]
    )
    assert code == 2
    assert "line 1: the prompt is not in" in capsys.readouterr().err

"""From measured outcomes to a profile, and the files in between."""

import json
from pathlib import Path

import numpy as np
import pytest

from hadis.errors import InvalidInput
from hadis.profiling import files
from hadis.profiling.outcomes import Outcomes
from hadis.terms.ids import ModelName
from hadis_profiler import assembling, latency_files, measurements, tuning
from hadis_profiler.latencies import Latencies
from support.cascades import a_cascade

SMALL, LARGE = ModelName("small"), ModelName("large")
LATENCIES = Latencies(
    models={SMALL: {1: 0.1, 2: 0.15}, LARGE: {1: 0.6, 2: 1.1}},
    scoring={1: 0.01, 2: 0.015},
    hardware="a test",
    processes=2,
)
PROMPTS = ("a red circle", "a red circle left of a blue square above two green stars") * 20


def an_outcomes_file(folder: Path, *, seeds: int = 2) -> Path:
    draw = np.random.default_rng(0)
    lines = []
    for prompt in PROMPTS:
        hard = len(prompt) > 20
        light = [bool(x < (0.1 if hard else 0.9)) for x in draw.random(seeds)]
        heavy = [bool(x < 0.9) for x in draw.random(seeds)]
        lines.append(
            {
                "prompt": prompt,
                "fulfilled": {SMALL: light, LARGE: heavy},
                "matching": {
                    SMALL: [0.5 + 0.4 * ok - 0.2 * draw.random() for ok in light],
                    LARGE: [0.5 + 0.4 * ok - 0.2 * draw.random() for ok in heavy],
                },
            }
        )
    path = folder / "outcomes.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_profile_is_assembled_that_reads_back_and_prefers_long_prompts_as_hard(
    tmp_path: Path,
) -> None:
    cascade = a_cascade()
    features = assembling.features_of(PROMPTS)
    hardness = assembling.hardness_of(features, {})
    outcomes = measurements.read_outcomes(
        an_outcomes_file(tmp_path), [SMALL, LARGE], hardness, kind="matching"
    )
    made = assembling.assemble(cascade, outcomes, features, LATENCIES, overhead_s=0.02)
    text = files.write_profile(made.profile)
    assert files.read_profile(text, "p.json") == made.profile
    assert made.profile.scoring_latency_s == LATENCIES.scoring
    assert made.rows_swept >= len(made.profile.rows)
    assert set(assembling.fixed_quality(made.profile)) == {SMALL, LARGE}
    easy, hard = assembling.hardness_of(features[:2], made.hardness_weights)
    assert hard > easy


def test_tuned_weights_find_the_prompts_that_gain_from_the_heavy_model() -> None:
    draw = np.random.default_rng(0)
    telling, noise = draw.random(300), draw.random(300)
    features = [{"telling": t, "noise": n} for t, n in zip(telling, noise, strict=True)]
    scores = {SMALL: draw.random((2, 300)), LARGE: draw.random((2, 300))}
    fulfilled = {SMALL: np.tile(telling < 0.5, (2, 1)) * 1.0, LARGE: np.ones((2, 300))}
    outcomes = Outcomes(tuple("p" * 300), telling, scores, fulfilled)
    tuned = tuning.tune(features, outcomes)
    assert tuned is not None
    assert tuned.weights == {"telling": 1.0, "noise": 0.0}
    assert tuned.area > tuned.by_chance


def test_features_that_tell_nothing_get_no_weights() -> None:
    draw = np.random.default_rng(1)
    features = [{"noise": float(n)} for n in draw.random(300)]
    scores = {SMALL: draw.random((2, 300)), LARGE: draw.random((2, 300))}
    fulfilled = {name: (draw.random((2, 300)) < 0.5) * 1.0 for name in (SMALL, LARGE)}
    outcomes = Outcomes(tuple("p" * 300), draw.random(300), scores, fulfilled)
    assert tuning.tune(features, outcomes) is None


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("{", "line 1: no JSON object"),
        ('{"text": "a"}', "line 1: prompt: is missing"),
        ('{"prompt": "a", "fulfilled": {"small": [1]}}', "has no values of small"),
    ],
)
def test_a_wrong_outcome_names_file_and_line(tmp_path: Path, line: str, want: str) -> None:
    path = tmp_path / "o.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InvalidInput, match=want):
        measurements.read_outcomes(path, [SMALL], [0.0], kind="matching")


def test_latencies_are_kept_for_a_resumed_run(tmp_path: Path) -> None:
    path = tmp_path / "latencies.json"
    latency_files.write(LATENCIES, path)
    assert latency_files.read(path) == LATENCIES
    path.write_text("{}")
    with pytest.raises(InvalidInput, match="no measured latencies"):
        latency_files.read(path)

"""From measured outcomes to a profile, and the files in between."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hadis.errors import InvalidInput
from hadis.hardness import features
from hadis.profiling import files, sweeping
from hadis.profiling.outcomes import Floats, Outcomes
from hadis.terms.ids import ModelName
from hadis.terms.profiles import ProfileRow
from hadis.wire import profiles
from hadis_profiler import assembling, latency_files, measurements
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


def outcomes_read(
    tmp_path: Path, found: assembling.Features, embeddings: Path | None = None
) -> Outcomes:
    """The file's outcomes under the default hardness weights."""
    hardness = assembling.hardness_of(found, {})
    return measurements.read_outcomes(
        an_outcomes_file(tmp_path), [SMALL, LARGE], hardness, kind="matching", features=embeddings
    )


def test_a_profile_is_assembled_that_reads_back_and_prefers_long_prompts_as_hard(
    tmp_path: Path,
) -> None:
    cascade = a_cascade()
    found = assembling.features_of(PROMPTS)
    hardness = assembling.hardness_of(found, {})
    outcomes = measurements.read_outcomes(
        an_outcomes_file(tmp_path), [SMALL, LARGE], hardness, kind="matching"
    )
    digests = {SMALL: "0a1b", LARGE: "2c3d"}
    made = assembling.assemble(
        cascade, outcomes, found, LATENCIES, overhead_s=0.02, fingerprints=digests
    )
    text = files.write_profile(made.profile)
    assert files.read_profile(text, "p.json") == made.profile
    spec = profiles.to_manifest(made.profile)["spec"]
    assert profiles.read_spec(spec, name=made.profile.name, source="p.yaml") == made.profile
    assert {model.name: model.fingerprint for model in made.profile.models} == digests
    assert made.profile.scoring_latency_s == LATENCIES.scoring
    assert made.rows_swept >= len(made.profile.rows)
    assert set(assembling.fixed_quality(made.profile)) == {SMALL, LARGE}
    easy, hard = assembling.hardness_of(found[:2], made.hardness_weights)
    assert hard > easy


def some_features(count: int, telling: Floats) -> list[dict[str, float]]:
    """Features of which one tells where the heavy model helps."""
    draw = np.random.default_rng(2)
    table = draw.random((count, len(features.NAMES)))
    table[:, features.NAMES.index("spatial_relations")] = telling
    return [dict(zip(features.NAMES, map(float, row), strict=True)) for row in table]


def outcomes_of(fulfilled: dict[ModelName, Floats], count: int = 300) -> Outcomes:
    draw = np.random.default_rng(3)
    scores = {SMALL: draw.random((2, count)), LARGE: draw.random((2, count))}
    return Outcomes(tuple("p" * count), draw.random(count), scores, fulfilled)


def test_tuned_weights_find_the_prompts_that_gain_from_the_heavy_model() -> None:
    telling = np.random.default_rng(0).random(300)
    outcomes = outcomes_of({SMALL: np.tile(telling < 0.5, (2, 1)) * 1.0, LARGE: np.ones((2, 300))})
    made = assembling.assemble(a_cascade(), outcomes, some_features(300, telling), LATENCIES)
    assert made.hardness_weights["spatial_relations"] == 1.0
    assert sum(made.hardness_weights.values()) < 2.0
    assert made.profile.notes["hardness"].startswith("weights tuned")
    router_only = max(
        row.measured["fulfilment"]
        for row in made.profile.rows
        if row.direct_ratio == 0.5 and row.heavy_ratio == 0.5
    )
    assert router_only > 0.9


def test_weights_stay_where_no_features_tell_who_gains() -> None:
    draw = np.random.default_rng(1)
    fulfilled = {name: (draw.random((2, 300)) < 0.5) * 1.0 for name in (SMALL, LARGE)}
    given = some_features(300, draw.random(300))
    made = assembling.assemble(a_cascade(), outcomes_of(fulfilled), given, LATENCIES)
    assert made.hardness_weights == a_cascade().hardness_weights
    assert made.profile.notes["hardness"].startswith("weights kept")


def test_a_cascade_without_a_discriminator_gets_no_quality_thresholds(tmp_path: Path) -> None:
    cascade = replace(a_cascade(), discriminator=None, discriminator_stage=False)
    found = assembling.features_of(PROMPTS)
    hardness = assembling.hardness_of(found, {})
    path = an_outcomes_file(tmp_path)
    text = path.read_text().replace('"matching"', '"somebody else\'s"')
    path.write_text(text)
    outcomes = measurements.read_outcomes(path, [SMALL, LARGE], hardness, kind=None)
    made = assembling.assemble(cascade, outcomes, found, LATENCIES)
    assert {row.quality_threshold for row in made.profile.rows} == {-math.inf}
    assert any(row.direct_ratio > 0.0 for row in made.profile.rows)


def test_each_stage_can_be_switched_off_with_its_best_rows_in_the_profile(tmp_path: Path) -> None:
    found = assembling.features_of(PROMPTS)
    outcomes = outcomes_read(tmp_path, found)
    made = assembling.assemble(a_cascade(), outcomes, found, LATENCIES)

    def best(rows: Iterable[ProfileRow], heavy_ratio: float) -> float:
        """The quality that discriminator-only routing reaches within a share of heavy images."""
        return max(
            row.measured["fulfilment"]
            for row in rows
            if (row.light, row.heavy) == (SMALL, LARGE)
            and row.direct_ratio == 0.0
            and row.heavy_ratio <= heavy_ratio + 1e-6
        )

    weighted = replace(
        outcomes, hardness=np.asarray(assembling.hardness_of(found, made.hardness_weights))
    )
    swept = sweeping.sweep(weighted, a_cascade().deliver, pairs=[(SMALL, LARGE)])
    for heavy_ratio in (0.1, 0.3, 0.6, 1.0):
        assert best(made.profile.rows, heavy_ratio) == pytest.approx(
            best(swept, heavy_ratio), abs=1e-6
        )


def test_one_seed_measures_no_retry(tmp_path: Path) -> None:
    found = assembling.features_of(PROMPTS)
    outcomes = measurements.read_outcomes(
        an_outcomes_file(tmp_path, seeds=1),
        [SMALL, LARGE],
        assembling.hardness_of(found, {}),
        kind="matching",
    )
    rows = assembling.assemble(a_cascade(), outcomes, found, LATENCIES).profile.rows
    assert [row.heavy_ratio for row in rows if row.light == row.heavy] == [0.0, 0.0]
    assert any(row.heavy_ratio > row.direct_ratio for row in rows if row.light != row.heavy)


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("{", "line 1: no JSON object"),
        ('{"text": "a"}', "line 1: prompt: is missing"),
        ('{"prompt": " "}', "line 1: prompt: is missing"),
        ('{"prompt": "a", "fulfilled": {"small": [1]}}', "has no values of small"),
        (
            '{"prompt": "a", "fulfilled": {"small": [1]}, "matching": {"small": ["high"]}}',
            "line 1: matching.small: .* is no list of numbers",
        ),
        (
            '{"prompt": "a", "fulfilled": {"small": [1]}, "matching": {"small": [7]}}',
            "small has scores outside",
        ),
    ],
)
def test_a_wrong_outcome_names_file_and_line(tmp_path: Path, line: str, want: str) -> None:
    path = tmp_path / "o.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InvalidInput, match=want):
        measurements.read_outcomes(path, [SMALL], [0.0], kind="matching")


def test_models_with_different_numbers_of_images_are_named(tmp_path: Path) -> None:
    path = an_outcomes_file(tmp_path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["fulfilled"][LARGE] = line["fulfilled"][LARGE][:1]
        line["matching"][LARGE] = line["matching"][LARGE][:1]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InvalidInput, match="small 2, large 1"):
        measurements.read_outcomes(path, [SMALL, LARGE], [0.0] * len(lines), kind="matching")


def test_embeddings_give_each_row_a_frechet_distance_under_its_own_name(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    archive = {
        "rendered": draw.normal(size=(40, 3)),
        SMALL: draw.normal(size=(2, 40, 3)) + 2.0,
        LARGE: draw.normal(size=(2, 40, 3)),
    }
    np.savez(tmp_path / "f.npz", **archive)
    found = assembling.features_of(PROMPTS)
    outcomes = outcomes_read(tmp_path, found, embeddings=tmp_path / "f.npz")
    made = assembling.assemble(a_cascade(), outcomes, found, LATENCIES)
    assert made.profile.quality.metric == "fulfilment"
    alone = {row.light: row.measured["clip_fd"] for row in made.profile.rows if not row.heavy_ratio}
    assert alone[SMALL] > 3.0 > alone[LARGE]


@pytest.mark.parametrize(
    ("left_out", "want"),
    [("rendered", "neither reference nor rendered"), (LARGE, "features of model large have shape")],
)
def test_embeddings_that_are_not_whole_are_refused(
    tmp_path: Path, left_out: str, want: str
) -> None:
    archive = {"rendered": np.ones((4, 3)), SMALL: np.ones((2, 40, 3)), LARGE: np.ones((2, 40, 3))}
    del archive[left_out]
    np.savez(tmp_path / "f.npz", **archive)
    with pytest.raises(InvalidInput, match=want):
        measurements.read_outcomes(
            an_outcomes_file(tmp_path),
            [SMALL, LARGE],
            [0.0] * 40,
            kind="matching",
            features=tmp_path / "f.npz",
        )


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    for content in (b"PK\x03\x04 cut short", b"no archive", b""):
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match="no archive of arrays"):
            measurements.read_outcomes(
                an_outcomes_file(tmp_path),
                [SMALL, LARGE],
                [0.0] * 40,
                kind="matching",
                features=path,
            )


def test_latencies_are_kept_for_a_resumed_run(tmp_path: Path) -> None:
    path = tmp_path / "latencies.json"
    latency_files.write(LATENCIES, path)
    assert latency_files.read(path) == LATENCIES
    path.write_text("{}")
    with pytest.raises(InvalidInput, match="no measured latencies"):
        latency_files.read(path)

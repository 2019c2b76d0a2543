"""Published tables as profiles and workloads: thresholds realise the ratios that were measured."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from importlib import resources

import jsonschema
import numpy as np
import pytest

from hadis.errors import InvalidInput
from hadis.hardness import scoring
from hadis.profiling import files, importing, shipped
from hadis.profiling.importing import Measured
from hadis.profiling.workloads import Workload
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile, ProfileRow
from support import measured_data

HALF_A_POINT = 0.005


@pytest.fixture(params=["imagenet-l40s", *importing.DIFFSERVE.values()])
def measured(request: pytest.FixtureRequest) -> Measured:
    if request.param == "imagenet-l40s":
        return measured_data.imagenet()
    return measured_data.diffserve()[request.param]


def realised(row: ProfileRow, workload: Workload) -> tuple[float, float]:
    """The shares that a row's thresholds really send: directly, and of the light images."""
    direct = workload.hardness >= row.hardness_threshold
    rejected = workload.scores[row.light][~direct] < row.quality_threshold
    return float(direct.mean()), float(rejected.mean()) if len(rejected) else 0.0


def test_thresholds_realise_their_rows_ratios_over_all_prompts(measured: Measured) -> None:
    workload = measured.workload
    assert len(workload) == 5000
    for row in (*measured.profile.rows, *measured.profile.grid):
        direct, rejected = realised(row, workload)
        assert direct == pytest.approx(row.direct_ratio, abs=HALF_A_POINT)
        assert rejected == pytest.approx(row.rejected_ratio, abs=HALF_A_POINT)
        heavy = direct + (1.0 - direct) * rejected
        assert heavy == pytest.approx(row.heavy_ratio, abs=HALF_A_POINT)


def test_the_grid_holds_every_measured_cell_as_it_was_published() -> None:
    grid = measured_data.imagenet().profile.grid
    text = measured_data.texts("hadis", importing.IMAGENET_FILES)["fid_hybrid.csv"]
    models = importing.IMAGENET_MODELS
    found = {
        (r.light, r.heavy, round(r.direct_ratio, 6), round(r.rejected_ratio, 6)): r.measured["fid"]
        for r in grid
    }
    # Eleven cells a pair in which everything goes straight to heavy are one.
    assert len(found) == len(grid) == 6 * (10 * 11 + 1)
    for cell in csv.DictReader(io.StringIO(text)):
        pair = models[int(cell["light_model"])], models[int(cell["heavy_model"])]
        direct, rejected = float(cell["router_ratio"]), float(cell["disc_ratio"])
        key = (*pair, round(direct, 6), round(rejected if direct < 1.0 else 0.0, 6))
        assert found[key] == float(cell["fid"])


def test_pruned_rows_are_replaced_by_one_that_is_no_worse(measured: Measured) -> None:
    kept = set(map(_place, measured.profile.rows))
    pruned = [row for row in measured.profile.grid if _place(row) not in kept]
    assert len(kept) == len(measured.profile.rows)
    assert len(pruned) + len(kept) == len(measured.profile.grid)
    for row in pruned:
        assert any(
            other.light_ratio <= row.light_ratio
            and other.heavy_ratio <= row.heavy_ratio
            and other.measured["fid"] <= row.measured["fid"]
            for other in measured.profile.rows
            if (other.light, other.heavy) == (row.light, row.heavy)
        )


def test_latencies_are_the_published_ones() -> None:
    profile = measured_data.imagenet().profile
    assert profile.latency_of(ModelName("sd3.5-large")) == {1: 27.0, 2: 48.6, 4: 97.2, 8: 194.4}
    turbo = measured_data.diffserve()["diffserve-sd-turbo"].profile
    assert turbo.latency_of(ModelName("sd-turbo"))[16] == 0.77
    assert turbo.latency_of(ModelName("sd-v1.5"))[1] == 1.78


def test_single_models_have_their_published_fid() -> None:
    grid = measured_data.imagenet().profile.grid
    light = {r.light: r.measured["fid"] for r in grid if r.heavy_ratio == 0.0}
    heavy = {r.heavy: r.measured["fid"] for r in grid if r.direct_ratio == 1.0}
    assert light[ModelName("sdxl-lightning")] == pytest.approx(29.76, abs=0.02)
    assert light[ModelName("sd3.5-medium")] == heavy[ModelName("sd3.5-medium")] == 20.61
    assert heavy[ModelName("sd3.5-large")] == 19.95


def test_diffserves_fid_is_interpolated_between_the_published_fractions() -> None:
    profile = measured_data.diffserve()["diffserve-sd-turbo"].profile
    by_share = {round(row.heavy_ratio, 3): row.measured["fid"] for row in profile.grid}
    assert by_share[0.0] == 22.77
    assert by_share[1.0] == 18.55
    # 0.143 is between the light fractions 0.9 (20.17) and 0.8 (18.86).
    assert by_share[0.143] == pytest.approx(20.17 - 0.43 * (20.17 - 18.86), abs=0.01)


def test_hardness_is_the_published_weighted_sum() -> None:
    workload = measured_data.imagenet().workload
    text = measured_data.texts("hadis", importing.IMAGENET_FILES)["prompt_features_imagenet.csv"]
    rows = list(csv.DictReader(io.StringIO(text)))
    names = [name for name in rows[0] if name != "prompt"]
    table = np.array([[float(row[name]) for name in names] for row in rows])
    scores = ((table - table.mean(axis=0)) / table.std(axis=0)) @ importing.HARDNESS_WEIGHTS
    assert np.abs(workload.hardness - scores).max() < 1e-3
    assert workload.prompts[1] == "the sail is white"
    assert len(np.unique(workload.hardness)) == 5000


def test_jitter_repeats_with_its_seed_and_changes_no_order() -> None:
    values = np.array([0.25, 0.5, 0.25, 0.75, 0.5 + 1e-12, 0.25])
    first = importing.untied(values, np.random.default_rng(3))
    again = importing.untied(values, np.random.default_rng(3))
    other = importing.untied(values, np.random.default_rng(4))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first.tolist())) == 6
    assert sorted([0, 2, 5]) == sorted(np.argsort(first)[:3].tolist())
    assert int(np.argmax(first)) == 3
    assert np.abs(first - values).max() < 0.125


def test_another_scale_keeps_the_order_and_has_its_own_values() -> None:
    values = np.array([3.0, -1.0, 2.0, 10.0])
    moved = importing.rescaled(values, [0.5, 0.1, 0.5, 0.2])
    assert moved == pytest.approx([0.5, 0.1, 0.2, 0.5], abs=1e-9)
    assert np.argsort(moved).tolist() == np.argsort(values).tolist()
    with pytest.raises(InvalidInput, match="3 values"):
        importing.rescaled(values, [0.1, 0.2, 0.3])


def test_prompts_beyond_the_known_ones_are_empty() -> None:
    workload = measured_data.diffserve()["diffserve-sdxs"].workload
    assert workload.prompts[0].startswith("a renaissance portrait")
    assert set(workload.prompts[4000:]) == {""}
    # Somebody did ask for nothing: the 3,972nd of the file is empty.
    assert [n for n, prompt in enumerate(workload.prompts[:4000]) if not prompt] == [3971]


def test_the_shipped_profile_is_what_the_importer_makes() -> None:
    texts = measured_data.texts("hadis", importing.IMAGENET_FILES)
    scoring.load()
    scorer = scoring.Scorer()
    scale = [scorer.score(prompt).score for prompt in importing.imagenet_prompts(texts)]
    fresh = importing.imagenet(texts, scale=scale)
    source = shipped.path("imagenet-l40s")
    profile = files.read_profile(source.read_text(encoding="utf-8"), source.name)
    assert _close(profile, fresh.profile)
    for row in profile.grid:
        direct, rejected = realised(row, fresh.workload)
        assert direct == pytest.approx(row.direct_ratio, abs=HALF_A_POINT)
        assert rejected == pytest.approx(row.rejected_ratio, abs=HALF_A_POINT)
        # The same thresholds send the same share of these prompts in production.
        own = sum(score >= row.hardness_threshold for score in scale) / len(scale)
        assert own == pytest.approx(row.direct_ratio, abs=0.01)


def test_the_shipped_profile_reads_and_follows_the_schema() -> None:
    assert shipped.names() == ("imagenet-l40s",)
    text = shipped.path("imagenet-l40s").read_text(encoding="utf-8")
    profile = files.read_profile(text, "imagenet-l40s.json")
    assert files.write_profile(profile) == text
    schema = resources.files("hadis.profiling").joinpath(files.SCHEMA_FILE).read_text()
    jsonschema.Draft202012Validator(json.loads(schema)).validate(json.loads(text))
    assert "github.com/Tung-I/diffserve-2" in profile.notes["source"]


def _without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda texts: {key: text for key, text in texts.items() if key != name}


def _changed(name: str, old: str, new: str) -> Callable[[dict[str, str]], dict[str, str]]:
    def change(texts: dict[str, str]) -> dict[str, str]:
        assert old in texts[name]
        return {**texts, name: texts[name].replace(old, new, 1)}

    return change


@pytest.mark.parametrize(
    ("change", "want"),
    [
        (_without("fid_hybrid.csv"), "fid_hybrid.csv is missing"),
        (
            _changed("fid_hybrid.csv", "0.1,0.63,28.63", "0.1,0.63,x"),
            "fid_hybrid.csv: row 3, column fid: 'x'",
        ),
        (
            _changed("fid_hybrid.csv", "0.1,0.63,28.63", "28.63"),
            "fid_hybrid.csv: row 3: 5 cells under 7",
        ),
        (
            _changed("prompt_features_imagenet.csv", "token_rarity", "rarity"),
            None,
        ),
        (
            _changed("prompt_features_imagenet.csv", "prompt,", "text,"),
            "prompt_features_imagenet.csv: the column prompt is missing",
        ),
        (
            _changed("discriminator_scores_imagenet.csv", "sd3.5-medium", "sd3"),
            "discriminator_scores_imagenet.csv: the column sd3.5-medium is missing",
        ),
        (
            _changed("discriminator_scores_imagenet.csv", "\n0,1,", "\n7000,1,"),
            "discriminator_scores_imagenet.csv: row 3, column prompt_index",
        ),
    ],
)
def test_what_is_wrong_in_the_tables_is_named(
    change: Callable[[dict[str, str]], dict[str, str]], want: str | None
) -> None:
    texts = change(measured_data.texts("hadis", importing.IMAGENET_FILES))
    if want is None:
        importing.imagenet(texts)  # columns count by their order
        return
    with pytest.raises(InvalidInput) as caught:
        importing.imagenet(texts)
    assert str(caught.value).startswith(want)


def test_another_table_of_cascades_is_refused() -> None:
    texts = measured_data.texts("diffserve", importing.DIFFSERVE_FILES)
    for broken in ("{", "[]", '{"cascades": [{"light": "a", "heavy": "b"}]}'):
        with pytest.raises(InvalidInput, match=r"measured_cascades.json: is not"):
            importing.diffserve({**texts, "measured_cascades.json": broken})


def _place(row: ProfileRow) -> tuple[str, str, float, float]:
    return row.light, row.heavy, row.direct_ratio, row.heavy_ratio


def _close(first: Profile, second: Profile) -> bool:
    """Whether two profiles are the same but for rounding of sums."""
    bare = replace(first, rows=(), grid=()) == replace(second, rows=(), grid=())
    pairs = [*zip(first.rows, second.rows, strict=True), *zip(first.grid, second.grid, strict=True)]
    return bare and all(
        (a.light, a.heavy, a.measured) == (b.light, b.heavy, b.measured)
        and all(
            x == y or math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-9)
            for x, y in (
                (a.hardness_threshold, b.hardness_threshold),
                (a.quality_threshold, b.quality_threshold),
                (a.direct_ratio, b.direct_ratio),
                (a.heavy_ratio, b.heavy_ratio),
            )
        )
        for a, b in pairs
    )

"""Any diffusers text-to-image pipeline loads by its source; a broken one says what to fix."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler

from hadis.errors import ModelUnavailable
from hadis.terms.cascades import ModelSource
from hadis_server import pipelines
from hadis_server.pipelines import Row, Variant
from support.live_workers import SIZE, a_model

CPU = torch.device("cpu")


def test_variants_of_one_folder_share_weights_but_not_schedulers(folders: dict[str, Path]) -> None:
    light = a_model("light", folders["sd"])
    heavy = a_model("heavy", folders["sd"], steps=8, guidance=3.0)
    assert pipelines.weights_key(light) == pipelines.weights_key(heavy)
    weights = pipelines.load_weights(light, CPU)
    one, two = Variant(light, weights, serial=1), Variant(heavy, weights, serial=2)
    assert one.pipeline.unet is two.pipeline.unet
    assert one.pipeline.scheduler is not two.pipeline.scheduler


@pytest.mark.parametrize(
    ("name", "want_class"),
    [
        ("sd", "StableDiffusionPipeline"),
        ("sdxl", "StableDiffusionXLPipeline"),
        ("sd3", "StableDiffusion3Pipeline"),
    ],
)
def test_every_class_makes_the_same_picture_of_a_seed_in_batches_of_1_to_8(
    folders: dict[str, Path], name: str, want_class: str
) -> None:
    spec = a_model("m", folders[name], guidance=3.0)
    variant = Variant(spec, pipelines.load_weights(spec, CPU), serial=1)
    assert type(variant.pipeline).__name__ == want_class
    row = Row("a red circle above two squares", None, 42)
    want = np.asarray(variant.generate([row], width=SIZE, height=SIZE).images[0]).astype(int)
    assert want.std() > 5  # a flat picture would agree with anything
    for batch in range(2, 9):
        others = [Row("green", None, seed) for seed in range(batch - 1)]
        made = variant.generate([*others, row], width=SIZE, height=SIZE)
        assert abs(np.asarray(made.images[-1]).astype(int) - want).max() <= 1


def test_a_hundred_seeds_make_a_hundred_pictures(folders: dict[str, Path]) -> None:
    spec = a_model("m", folders["sd"], steps=2)
    variant = Variant(spec, pipelines.load_weights(spec, CPU), serial=1)
    rows = [Row("a red circle", None, seed) for seed in range(100)]
    made = [
        image.tobytes()
        for at in range(0, 100, 20)
        for image in variant.generate(rows[at : at + 20], width=SIZE, height=SIZE).images
    ]
    assert len(set(made)) == 100


def test_a_fixed_batch_shape_makes_pictures_bit_equal(folders: dict[str, Path]) -> None:
    spec = a_model("m", folders["sd"], guidance=3.0)
    variant = Variant(spec, pipelines.load_weights(spec, CPU), serial=1)
    rows = [Row("a red circle", None, seed) for seed in range(4)]
    full = variant.generate(rows, width=SIZE, height=SIZE, pad_to=4).images
    for row, want in zip(rows, full, strict=True):
        alone = variant.generate([row], width=SIZE, height=SIZE, pad_to=4).images
        assert len(alone) == 1
        assert alone[0].tobytes() == want.tobytes()


def test_a_negative_prompt_changes_a_guided_picture(folders: dict[str, Path]) -> None:
    spec = a_model("m", folders["sdxl"], guidance=5.0)
    variant = Variant(spec, pipelines.load_weights(spec, CPU), serial=1)
    plain = variant.generate([Row("a red circle", None, 1)], width=SIZE, height=SIZE)
    steered = variant.generate([Row("a red circle", "blue", 1)], width=SIZE, height=SIZE)
    assert plain.images[0].tobytes() != steered.images[0].tobytes()


def test_an_override_replaces_the_scheduler_and_one_of_its_settings(
    folders: dict[str, Path],
) -> None:
    plain = a_model("m", folders["sdxl"])
    overrides = {
        "scheduler": "EulerDiscreteScheduler",
        "scheduler.timestep_spacing": "trailing",
        "scheduler.use_karras_sigmas": "true",
    }
    spec = replace(plain, source=replace(plain.source, overrides=overrides))
    assert pipelines.weights_key(spec) == pipelines.weights_key(plain)
    variant = Variant(spec, pipelines.load_weights(spec, CPU), serial=1)
    assert type(variant.pipeline.scheduler) is EulerDiscreteScheduler
    assert variant.pipeline.scheduler.config["timestep_spacing"] == "trailing"
    assert variant.pipeline.scheduler.config["use_karras_sigmas"] is True


def test_an_override_replaces_a_part_by_another_folder(
    folders: dict[str, Path],
) -> None:
    overrides = {"vae": str(folders["sd3"] / "vae")}
    plain = a_model("m", folders["sd"])
    spec = replace(plain, source=replace(plain.source, overrides=overrides))
    assert pipelines.weights_key(spec) != pipelines.weights_key(plain)
    weights = pipelines.load_weights(spec, CPU)
    assert weights.vae.config["shift_factor"] == pytest.approx(0.06)


def test_half_precision_runs_as_float32_on_a_cpu_and_bfloat16_as_itself(
    folders: dict[str, Path],
) -> None:
    for dtype, want in [("float16", torch.float32), ("bfloat16", torch.bfloat16)]:
        spec = a_model("m", folders["sd"], dtype=dtype)
        weights = pipelines.load_weights(spec, CPU)
        assert weights.unet.dtype == want
        variant = Variant(spec, weights, serial=1)
        assert variant.generate([Row("red", None, 1)], width=SIZE, height=SIZE).images


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def test_a_missing_folder_is_named_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"nowhere does not exist.*source\.path"):
        pipelines.load_weights(a_model("m", tmp_path / "nowhere"), CPU)


def test_a_folder_that_is_no_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"model_index\.json"):
        pipelines.load_weights(a_model("m", tmp_path), CPU)


def test_truncated_and_missing_weights_are_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    broken = copy_of(folders["sd"], tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnavailable, match="broken does not load"):
        pipelines.load_weights(a_model("m", broken), CPU)
    weights.unlink()
    with pytest.raises(ModelUnavailable, match="broken does not load"):
        pipelines.load_weights(a_model("m", broken), CPU)


def test_pickled_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    pickled = copy_of(folders["sd"], tmp_path / "pickled")
    safe = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({"harmless": torch.zeros(1)}, safe.with_suffix(".bin"))
    safe.unlink()
    with pytest.raises(ModelUnavailable, match="safetensors"):
        pipelines.load_weights(a_model("m", pickled), CPU)


def test_an_unknown_class_dtype_part_or_scheduler_is_named(folders: dict[str, Path]) -> None:
    with pytest.raises(ModelUnavailable, match="no pipeline 'NoSuchPipeline'"):
        pipelines.load_weights(a_model("m", folders["sd"], pipeline="NoSuchPipeline"), CPU)
    with pytest.raises(ModelUnavailable, match="dtype 'float8'"):
        pipelines.load_weights(a_model("m", folders["sd"], dtype="float8"), CPU)
    source = ModelSource(path=str(folders["sd"]), overrides={"eyes": "x"})
    with pytest.raises(ModelUnavailable, match=r"overrides\.eyes.*unet"):
        pipelines.load_weights(a_model("m", folders["sd"], source=source), CPU)
    weights = pipelines.load_weights(a_model("m", folders["sd"]), CPU)
    source = ModelSource(path=str(folders["sd"]), overrides={"scheduler": "Nope"})
    with pytest.raises(ModelUnavailable, match="no scheduler 'Nope'"):
        Variant(a_model("m", folders["sd"], source=source), weights, serial=1)


def test_code_beside_the_weights_is_not_run(folders: dict[str, Path], tmp_path: Path) -> None:
    hostile = copy_of(folders["sd"], tmp_path / "hostile")
    index = json.loads((hostile / "model_index.json").read_text())
    index["unet"] = ["evil", "Evil"]
    (hostile / "model_index.json").write_text(json.dumps(index))
    mark = tmp_path / "was-run"
    (hostile / "unet" / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    with pytest.raises(ModelUnavailable):
        pipelines.load_weights(a_model("m", hostile), CPU)
    assert not mark.exists()

"""The shipped weights load as plain diffusers pipelines and judge what they should."""

import json
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

import yaml  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from hadis_scenes import (  # noqa: E402
    captions,
    checking,
    compositions,
    discriminators,
    drawing,
    features,
    generating,
    networks,
    pipelines,
    prompts,
    vocabulary,
)
from hadis_scenes.evaluation.outcomes import as_images, rendered  # noqa: E402
from hadis_scenes.training import diffusion, edits, exporting, restoring, runs  # noqa: E402
from hadis_scenes.variants import BY_NAME, DISCRIMINATORS, MODEL, VARIANTS  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def light():
    return generating.load(MODEL)


def of_category(category, count):
    return [item for item in prompts.shipped("test") if item.category == category][:count]


def test_the_tokenizer_reads_words_as_the_training_did():
    tokenizer = pipelines.tokenizer()
    texts = [item.prompt for item in prompts.shipped("profile")[:50]]
    texts += ["A Red, CIRCLE! and über-cool disc.", "", "red " * 60]
    for text in texts:
        ids = tokenizer(
            text, padding="max_length", max_length=vocabulary.MAX_TOKENS, truncation=True
        ).input_ids
        assert ids == networks.encode_tokens([text])[0].tolist()


def test_the_lightest_variant_follows_its_prompts(light):
    asked = of_category("single", 40)
    rows = generating.generate(light, BY_NAME["scenes-xs"], [item.prompt for item in asked], 1)
    own = [checking.check(row, item.composition) for row, item in zip(rows, asked, strict=True)]
    others = [*asked[7:], *asked[:7]]
    other = [checking.check(row, item.composition) for row, item in zip(rows, others, strict=True)]
    assert np.mean(own) > np.mean(other) + 0.05


def test_the_model_knows_what_is_above_and_left_of_what(light):
    asked = of_category("relation", 30)
    rows = generating.generate(light, BY_NAME["scenes-m"], [item.prompt for item in asked], 1)
    right = wrong = 0
    for row, item in zip(rows, asked, strict=True):
        detection = checking.detect(row)
        found = [checking.members(detection, group) for group in item.composition.groups]
        ((first, relation, second),) = item.composition.relations
        right += checking.relation_holds(found[first], relation, found[second])
        wrong += checking.relation_holds(found[second], relation, found[first])
    assert right >= 10
    assert right > 3 * wrong


def test_a_picture_does_not_depend_on_its_batch(light):
    texts = [item.prompt for item in prompts.shipped("test")[:4]]
    variant = BY_NAME["scenes-xs"]
    together = generating.generate(light, variant, texts, 3)
    alone = generating.generate(light, variant, texts, 3, batch=1)
    assert np.abs(together.astype(int) - alone.astype(int)).max() <= 1


def test_what_ships_is_one_pipeline_of_safetensors():
    assert [path.name for path in MODEL.parent.iterdir() if path.is_dir()] == [MODEL.name]
    files = [path for path in MODEL.rglob("*") if path.suffix in (".bin", ".pt", ".ckpt")]
    assert files == []


def test_each_variant_is_a_model_of_the_shipped_cascade():
    (cascade, *_) = yaml.safe_load_all((MODEL.parents[1] / "cascade.yaml").read_text())
    told = [(m["name"], m["steps"], m["guidance"]) for m in cascade["spec"]["models"]]
    assert told == [(variant.name, variant.steps, 1) for variant in VARIANTS]


@pytest.fixture(scope="module")
def drawn():
    rng = random.Random(5)
    asked = [item for item in prompts.shipped("test") if item.category != "single"][:120]
    images = rendered(asked)
    wrong = [captions.caption(rng, edits.edit(rng, item.composition)).text for item in asked]
    return asked, images, wrong


def test_matching_prefers_the_right_caption_of_a_drawn_scene(drawn):
    asked, images, wrong = drawn
    judge = discriminators.load(DISCRIMINATORS / "matching")
    pictures = as_images(images)
    right = judge.score(pictures, [item.prompt for item in asked])
    other = judge.score(pictures, wrong)
    truth = [1] * len(right) + [0] * len(other)
    assert roc_auc_score(truth, right + other) > 0.8
    assert all(0 <= score <= 1 for score in right + other)


def test_a_score_does_not_depend_on_its_batch(drawn):
    asked, images, _ = drawn
    pictures, texts = as_images(images[:5]), [item.prompt for item in asked[:5]]
    for kind in ("matching", "real-fake"):
        judge = discriminators.load(DISCRIMINATORS / kind)
        together = judge.score(pictures, texts)
        alone = [judge.score([p], [t])[0] for p, t in zip(pictures, texts, strict=True)]
        assert together == pytest.approx(alone, abs=1e-4)


def test_real_fake_ignores_the_prompt(drawn):
    _, images, wrong = drawn
    judge = discriminators.load(DISCRIMINATORS / "real-fake")
    pictures = as_images(images[:5])
    assert judge.score(pictures, wrong[:5]) == judge.score(pictures, ["nothing"] * 5)


def test_features_tell_different_pictures_apart(drawn):
    _, images, _ = drawn
    rows = features.embed(as_images(images[:20]))
    assert rows.shape == (20, discriminators.WIDTH)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(20), abs=1e-5)
    assert len({tuple(np.round(row, 3)) for row in rows}) == 20


def test_a_discriminator_of_unknown_kind_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"kind": "taste"}))
    source = DISCRIMINATORS / "matching" / "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(source.read_bytes())
    with pytest.raises(ValueError, match="taste"):
        discriminators.load(tmp_path)


def test_an_empty_canvas_matches_nothing():
    judge = discriminators.load(DISCRIMINATORS / "matching")
    canvas = as_images(np.full((3, drawing.SIDE, drawing.SIDE, 3), 25, np.uint8))
    rng = random.Random(0)
    texts = [captions.caption(rng, compositions.random_composition(rng)).text for _ in range(3)]
    assert max(judge.score(canvas, texts)) < 0.5


def test_training_can_go_on_from_what_ships(tmp_path):
    restoring.restore(tmp_path, MODEL.parents[1])
    shipped = generating.load(MODEL)
    teacher = load_file(MODEL.parents[2] / "recipe" / exporting.TEACHER)
    for run, unet in (("light", shipped.unet.state_dict()), ("heavy", teacher)):
        again = runs.averaged(tmp_path, run, networks.Denoiser())
        for name, weight in again.unet.state_dict().items():
            assert torch.equal(weight, unet[name].float()), (run, name)
        for name, weight in again.text.state_dict().items():
            assert torch.equal(weight, shipped.text_encoder.state_dict()[name]), (run, name)
        again.unet.requires_grad_(True)
        assert not runs.Run(tmp_path, run, again, diffusion.RECIPE, "cpu").finished


def package_with_discriminators(package):
    (package / "discriminators").symlink_to(DISCRIMINATORS)
    return package


def test_what_was_exported_is_what_training_goes_on_from(tmp_path):
    work, package = tmp_path / "work", tmp_path / "cascade" / "package"
    restoring.restore(work, MODEL.parents[1])
    exporting.export_denoisers(work, package)
    restoring.restore(tmp_path / "again", package_with_discriminators(package))
    for run in ("light", "heavy"):
        before, after = (
            runs.averaged(folder, run, networks.Denoiser()).state_dict()
            for folder in (work, tmp_path / "again")
        )
        assert all(torch.equal(weight, after[name]) for name, weight in before.items()), run

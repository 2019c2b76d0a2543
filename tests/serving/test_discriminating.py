"""Discriminators load by kind; a broken one says what to fix."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hadis.errors import ModelUnavailable
from hadis.terms.cascades import DiscriminatorSpec, ModelSource
from hadis_server import discriminating

CPU = torch.device("cpu")


def some_images(count: int) -> list[Image.Image]:
    noise = np.random.default_rng(3)
    return [
        Image.fromarray(noise.integers(0, 255, (40, 56, 3), dtype=np.uint8)) for _ in range(count)
    ]


@pytest.fixture
def clip(folders: dict[str, Path]) -> DiscriminatorSpec:
    return DiscriminatorSpec(ModelSource(path=str(folders["clip"])), "clip")


def test_clip_scores_are_the_same_alone_and_in_company(clip: DiscriminatorSpec) -> None:
    judge = discriminating.load(clip, CPU)
    images, prompts = some_images(3), ["a red circle", "two blue squares", "red " * 200]
    together = judge.score(images, prompts)
    alone = [
        judge.score([image], [prompt])[0] for image, prompt in zip(images, prompts, strict=True)
    ]
    assert together == pytest.approx(alone, abs=1e-5)
    assert all(0 <= score <= 1 for score in together)
    assert len(set(together)) == 3


def test_clip_scores_depend_on_the_prompt(clip: DiscriminatorSpec) -> None:
    judge = discriminating.load(clip, CPU)
    image = some_images(1)
    assert judge.score(image, ["red"]) != judge.score(image, ["two blue squares"])


def test_an_unknown_kind_and_a_missing_folder_are_named(clip: DiscriminatorSpec) -> None:
    with pytest.raises(ModelUnavailable, match=r"kind 'taste'.*matching.*discriminator\.kind"):
        discriminating.load(replace(clip, kind="taste"), CPU)
    missing = replace(clip, source=ModelSource(path="/nowhere"))
    with pytest.raises(ModelUnavailable, match=r"/nowhere does not exist.*source\.path"):
        discriminating.load(missing, CPU)


def test_a_folder_of_another_kind_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for kind in ("clip", "matching"):
        spec = DiscriminatorSpec(ModelSource(path=str(tmp_path)), kind)
        with pytest.raises(ModelUnavailable, match="does not load"):
            discriminating.load(spec, CPU)

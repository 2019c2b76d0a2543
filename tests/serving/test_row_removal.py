"""A client that leaves takes its row out of a running batch; its neighbours do not notice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, HeunDiscreteScheduler

from hadis_server import cancelling, pipelines
from hadis_server.pipelines import Pass, Row, Variant
from support.leaving_rows import leaving_after
from support.live_workers import SIZE, a_model

ROWS = [
    Row("a red circle", None, 1),
    Row("two blue squares", None, 2),
    Row("green triangle", None, 3),
    Row("large cross on small circle", None, 4),
]
STEPS = 5


def a_variant(folder: Path, **changes: object) -> Variant:
    spec = a_model("m", folder, steps=STEPS, guidance=3.0)
    weights = pipelines.load_weights(spec, torch.device("cpu"))
    variant = Variant(spec, weights, serial=1)
    for name, value in changes.items():
        setattr(variant.pipeline, name, value)
    return variant


def pixels(made: Pass) -> dict[int, np.ndarray]:
    return {row: np.asarray(image) for row, image in zip(made.kept, made.images, strict=True)}


def generate(variant: Variant, **options: object) -> Pass:
    return variant.generate(ROWS, width=SIZE, height=SIZE, **options)


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3"])
@pytest.mark.parametrize("steps", [1, 3, STEPS])
def test_one_of_four_leaves_and_the_others_come_out_bit_equal(
    folders: dict[str, Path], name: str, steps: int
) -> None:
    variant = a_variant(folders[name])
    want = pixels(generate(variant))
    made = pixels(generate(variant, unwanted=leaving_after(steps, 1)))
    assert sorted(made) == [0, 2, 3]
    for row, picture in made.items():
        assert np.array_equal(picture, want[row])


def test_rows_leave_one_after_the_other(folders: dict[str, Path]) -> None:
    variant = a_variant(folders["sd"])
    want = pixels(generate(variant))
    asked = iter([(), (0,), (0,), (0, 2), (0, 2)])
    made = pixels(generate(variant, unwanted=lambda: next(asked)))
    assert sorted(made) == [1, 3]
    assert all(np.array_equal(made[row], want[row]) for row in made)


@pytest.mark.parametrize("scheduler", [EulerAncestralDiscreteScheduler, HeunDiscreteScheduler])
def test_noise_and_memory_of_the_scheduler_follow_their_rows(
    folders: dict[str, Path], scheduler: type
) -> None:
    # Euler's ancestral steps draw noise from each row's generator, Heun remembers derivatives.
    variant = a_variant(folders["sdxl"], scheduler=scheduler(beta_schedule="scaled_linear"))
    want = pixels(generate(variant))
    made = pixels(generate(variant, unwanted=leaving_after(2, 0, 2)))
    assert sorted(made) == [1, 3]
    assert all(np.array_equal(made[row], want[row]) for row in made)


def test_a_batch_that_nobody_wants_stops_and_the_next_is_unharmed(
    folders: dict[str, Path],
) -> None:
    variant = a_variant(folders["sd"])
    want = pixels(generate(variant))
    steps = []

    def all_gone() -> Sequence[int]:
        steps.append(1)
        return range(len(ROWS)) if len(steps) == 2 else ()

    with pytest.raises(cancelling.BatchAbandoned):
        generate(variant, unwanted=all_gone)
    assert len(steps) == 2
    again = pixels(generate(variant))
    assert all(np.array_equal(again[row], want[row]) for row in want)


def test_a_pipeline_that_hides_tensors_keeps_the_row_but_still_stops_an_unwanted_batch(
    folders: dict[str, Path],
) -> None:
    variant = a_variant(folders["sd"])
    variant.can_drop_rows = False
    want = pixels(generate(variant))
    made = pixels(generate(variant, unwanted=leaving_after(2, 1)))
    assert sorted(made) == [0, 1, 2, 3]
    assert all(np.array_equal(made[row], want[row]) for row in made)
    with pytest.raises(cancelling.BatchAbandoned):
        generate(variant, unwanted=leaving_after(1, 0, 1, 2, 3))

"""What a GPU draws: one picture a seed, whatever shares its batch and whoever leaves it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from hadis.terms.cascades import ModelSpec
from hadis_scenes.variants import MODEL
from hadis_server import cancelling, pipelines
from hadis_server.pipelines import Pass, Row, Variant
from support.leaving_rows import leaving_after
from support.live_workers import a_model

pytestmark = pytest.mark.gpu

Tell = Callable[[str], None]
STEPS = 6
ROW = Row("a red circle above two squares", None, 42)
ROWS = [
    Row("a red circle", None, 1),
    Row("two blue squares", None, 2),
    Row("a green triangle", None, 3),
    Row("a large cross", None, 4),
]
# Half precision: a picture is the same when it differs by this share of what another seed makes.
SAME = 0.25
MODELS = ("scenes", "sd", "sdxl", "sd3")


def spec_of(name: str, folders: dict[str, Path], dtype: str = "float32") -> ModelSpec:
    if name == "scenes":
        return a_model(name, MODEL, steps=17, width=64, height=64, dtype=dtype)
    return a_model(name, folders[name], steps=STEPS, guidance=3.0, dtype=dtype)


def a_variant(spec: ModelSpec, device: torch.device) -> Variant:
    return Variant(spec, pipelines.load_weights(spec, device), serial=1)


def draw(variant: Variant, rows: Sequence[Row], **options: object) -> Pass:
    spec = variant.spec
    return variant.generate(rows, width=spec.width, height=spec.height, **options)


def drawn(variant: Variant, rows: Sequence[Row], **options: object) -> dict[int, np.ndarray]:
    made = draw(variant, rows, **options)
    pairs = zip(made.kept, made.images, strict=True)
    return {row: np.asarray(image).astype(int) for row, image in pairs}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_a_seed_makes_one_picture_in_batches_of_1_to_8(
    folders: dict[str, Path], device: torch.device, tell: Tell, name: str, dtype: str
) -> None:
    variant = a_variant(spec_of(name, folders, dtype), device)
    want = drawn(variant, [ROW])[0]
    assert want.std() > 1  # a flat picture would agree with anything
    apart = []
    for batch in range(2, 9):
        others = [Row("a green cross", None, seed) for seed in range(batch - 1)]
        made = drawn(variant, [*others, ROW])
        apart.append(abs(made[batch - 1] - want))
        another = abs(made[0] - want).mean()
        assert another > 1
    largest = [int(steps.max()) for steps in apart]
    tell(f"{name} {dtype}: steps of 8 bits apart in batches of 2 to 8: {largest}")
    if dtype == "float32":
        assert max(largest) <= 1
    else:
        # Sums of 16 bits are rounded in another order by each batch's kernel.
        assert max(steps.mean() for steps in apart) < SAME * another


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_a_fixed_batch_shape_makes_pictures_bit_equal(
    folders: dict[str, Path], device: torch.device, name: str, dtype: str
) -> None:
    variant = a_variant(spec_of(name, folders, dtype), device)
    full = drawn(variant, ROWS, pad_to=4)
    for at, row in enumerate(ROWS):
        alone = drawn(variant, [row], pad_to=4)
        assert np.array_equal(alone[0], full[at])


def test_a_hundred_seeds_make_a_hundred_pictures(
    folders: dict[str, Path], device: torch.device
) -> None:
    variant = a_variant(spec_of("scenes", folders), device)
    made = []
    for first in range(0, 100, 20):
        rows = [Row("a red circle", None, seed) for seed in range(first, first + 20)]
        made += [image.tobytes() for image in draw(variant, rows).images]
    assert len(set(made)) == 100


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("steps", [1, 3])
def test_one_of_four_leaves_at_the_next_step_and_the_others_stay_what_they_were(
    folders: dict[str, Path], device: torch.device, tell: Tell, name: str, steps: int
) -> None:
    variant = a_variant(spec_of(name, folders), device)
    want = drawn(variant, ROWS)
    network = variant.pipeline.components.get("unet") or variant.pipeline.transformer
    rows: list[int] = []

    def note(_module: object, args: tuple[torch.Tensor, ...], kwargs: dict[str, object]) -> None:
        latents = args[0] if args else kwargs["hidden_states"]
        assert isinstance(latents, torch.Tensor)
        rows.append(len(latents))

    handle = network.register_forward_pre_hook(note, with_kwargs=True)
    made = drawn(variant, ROWS, unwanted=leaving_after(steps, 1))
    handle.remove()
    assert sorted(made) == [0, 2, 3]
    halves = rows[0] // 4
    assert rows == [4 * halves] * steps + [3 * halves] * (len(rows) - steps)
    largest = max(int(abs(made[row] - want[row]).max()) for row in made)
    tell(f"{name}: steps of 8 bits apart after a neighbour left at step {steps}: {largest}")
    assert largest <= 1


def test_a_batch_that_nobody_wants_stops_at_once_and_the_next_is_unharmed(
    folders: dict[str, Path], device: torch.device
) -> None:
    variant = a_variant(spec_of("sd", folders), device)
    want = drawn(variant, ROWS)
    with pytest.raises(cancelling.BatchAbandoned):
        draw(variant, ROWS, unwanted=leaving_after(2, 0, 1, 2, 3))
    again = drawn(variant, ROWS)
    assert all(np.array_equal(again[row], want[row]) for row in want)


@pytest.mark.usefixtures("on_a_gpu")
def test_the_thread_stays_one_step_ahead_of_a_slow_gpu(
    folders: dict[str, Path], device: torch.device, tell: Tell
) -> None:
    variant = a_variant(spec_of("scenes", folders), device)
    draw(variant, [ROW])
    spun = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    cycles = 40_000_000
    spun[0].record()
    torch.cuda._sleep(cycles)
    spun[1].record()
    torch.cuda.synchronize()
    step_s = spun[0].elapsed_time(spun[1]) / 1000
    unet = variant.pipeline.unet
    handle = unet.register_forward_pre_hook(lambda *_: torch.cuda._sleep(cycles))
    made = draw(variant, [ROW])
    handle.remove()
    median = sorted(made.step_s)[len(made.step_s) // 2]
    tell(f"steps of at least {step_s * 1000:.0f} ms on the GPU: {median * 1000:.0f} ms were noted")
    assert median > 0.8 * step_s


def test_weights_take_the_number_format_of_their_model(
    folders: dict[str, Path], device: torch.device
) -> None:
    wanted = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if device.type == "cpu":
        wanted["float16"] = torch.float32
    for dtype, want in wanted.items():
        weights = pipelines.load_weights(spec_of("sdxl", folders, dtype), device)
        assert weights.unet.dtype == want
        assert weights.unet.device.type == device.type


def test_a_gpu_draws_what_a_cpu_draws(
    folders: dict[str, Path], device: torch.device, tell: Tell
) -> None:
    """In float32: another dtype draws other noise for the same seed, and so another picture."""
    spec = spec_of("scenes", folders)
    rows = [Row(row.prompt, None, 10 * seed) for row in ROWS for seed in (1, 2)]
    want = drawn(a_variant(spec, torch.device("cpu")), rows)
    made = drawn(a_variant(spec, device), rows)
    apart = np.stack([abs(made[row] - want[row]) for row in want])
    tell(f"scenes: largest difference from a CPU's pictures: {apart.max()} steps of 8 bits")
    assert apart.mean() < 0.5

"""Run a variant's diffusers pipeline over many prompts, one seed an image."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from diffusers import DiffusionPipeline

from hadis_scenes import precision
from hadis_scenes.variants import Variant

_BATCH: Final = 50
Images = npt.NDArray[np.uint8]


def load(folder: Path, device: str = "cpu") -> Any:
    """Load a pipeline in single precision, as a worker does on a CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = DiffusionPipeline.from_pretrained(  # type: ignore[no-untyped-call]
            folder, torch_dtype=torch.float32
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def image_seed(seed: int, index: int) -> int:
    """Give every image of a set its own seed."""
    return seed * 1_000_000 + index


def generate(
    pipeline: Any,
    variant: Variant,
    prompts: Sequence[str],
    seed: int,
    *,
    half: bool = False,
    batch: int = _BATCH,
    first: int = 0,
) -> Images:
    """Return one 64 x 64 picture a prompt; ``half`` computes in bfloat16, for bulk work.

    ``first`` is the number of the first prompt in its set, which its seed depends on.
    """
    device = pipeline.device.type
    rows = []
    for start in range(0, len(prompts), batch):
        chosen = list(prompts[start : start + batch])
        generators = [
            torch.Generator().manual_seed(image_seed(seed, first + start + i))
            for i in range(len(chosen))
        ]
        with precision.bulk(device, enabled=half):
            result = pipeline(
                chosen,
                num_inference_steps=variant.steps,
                guidance_scale=1.0,  # none: it is distilled into the weights
                generator=generators,
                height=64,
                width=64,
                output_type="np",
            )
        rows.append((np.asarray(result.images, np.float32) * 255).round().astype(np.uint8))
    return np.concatenate(rows)

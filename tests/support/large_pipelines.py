"""A pipeline of real size with random weights, for what depends on size: memory and swaps."""

import os
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from support import tiny_pipelines


def save_of_real_size(folder: Path, *, device: torch.device, large: bool) -> Path:
    """Write a StableDiffusionPipeline whose denoiser is Stable Diffusion 1.5's, in half precision.

    Its other parts are tiny. `large`: false makes the denoiser small too, for slow machines.
    """
    tiny = tiny_pipelines.save_stable_diffusion(folder.with_name(f"{folder.name}-tiny"))
    pipeline = StableDiffusionPipeline.from_pretrained(tiny, safety_checker=None)
    widths = (320, 640, 1280, 1280) if large else (32, 64, 64, 64)
    torch.manual_seed(0)
    with torch.device(device):
        unet = UNet2DConditionModel(
            sample_size=64,
            block_out_channels=widths,
            cross_attention_dim=tiny_pipelines.WIDTH,
            attention_head_dim=8,
        )
    pipeline.unet = unet.half()
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def twin_of(folder: Path, to: Path) -> Path:
    """Return another folder with the same files: other weights, as far as a worker can tell."""
    for file in folder.rglob("*"):
        if file.is_file():
            target = to / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, target)
    return to

"""Tiny LoRA adapters of a pipeline's denoiser, as they lie in repositories."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors import torch as tensor_files

RANK = 2


def of(pipeline: Path, *, seed: int = 0) -> bytes:
    """Return the file of an adapter that changes every query of the attention."""
    generator = torch.Generator().manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet")
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in unet.named_modules():
        if name.endswith(".to_q"):
            rows, columns = layer.weight.shape
            down = torch.randn(RANK, columns, generator=generator)
            up = torch.randn(rows, RANK, generator=generator)
            tensors[f"unet.{name}.lora_A.weight"] = down
            tensors[f"unet.{name}.lora_B.weight"] = up
    assert tensors
    return tensor_files.save(tensors)


def change(content: bytes, layer: str) -> torch.Tensor:
    """Return what an adapter adds to the weights of one layer."""
    tensors = tensor_files.load(content)
    up, down = (tensors[f"unet.{layer}.lora_{part}.weight"] for part in "BA")
    return up @ down

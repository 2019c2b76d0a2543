"""Compute in bfloat16 where the processor has it.

CPUs and GPUs without bfloat16 instructions emulate them, several times slower than single
precision.
"""

from __future__ import annotations

from functools import cache

import torch


@cache
def has_bfloat16(device: str) -> bool:
    """Tell whether a device computes in bfloat16 at full speed."""
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def bulk(device: str, *, enabled: bool = True) -> torch.autocast:
    """Return the context of work where speed counts more than the last bits."""
    return torch.autocast(device, torch.bfloat16, enabled=enabled and has_bfloat16(device))

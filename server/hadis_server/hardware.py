"""What this worker runs on, in words that a profile's hardware can be compared with."""

from pathlib import Path

import diffusers
import torch

import hadis
from hadis.errors import InvalidInput

CPU_INFO = Path("/proc/cpuinfo")


def choose_device(wanted: str) -> torch.device:
    """Return the device that `wanted` names; `auto` is CUDA where there is one.

    Raises InvalidInput for a GPU that this machine, or this build of torch, does not have.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise InvalidInput(f"--device {wanted} names no device", field="device") from None
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InvalidInput(
            f"--device {wanted}: torch {torch.__version__} sees {count} CUDA devices here; use "
            "--device auto or cpu, or install a driver and a CUDA build of torch",
            field="device",
        )
    return device


def compute_exactly() -> None:
    """Have float32 mean float32 on a GPU too.

    By default cuDNN rounds what it convolves to TF32's 10 bits, by kernels that it chooses by the
    batch: pictures of one seed would differ visibly between batches. Who wants speed more says
    `dtype: float16` or `bfloat16`.
    """
    torch.backends.cudnn.allow_tf32 = False


def name(device: torch.device) -> str:
    """Return the GPU's product name, or the CPU's."""
    if device.type == "cuda":
        product: str = torch.cuda.get_device_name(device)
        return product
    return _cpu_name()


def software() -> str:
    """Return the versions that decide what a picture looks like to the last bit."""
    return (
        f"hadis {hadis.__version__}, torch {torch.__version__}, diffusers {diffusers.__version__}"
    )


def _cpu_name() -> str:
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return "CPU"
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return "CPU"

"""Which weights stay in memory: everything while it fits a measured budget, else the last used.

The decision is pure; `measure_budget` reads what this machine has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

# Of the memory that is free at start: activations, the allocator's rounding and the encoder need
# the rest (power-of-two blocks alone cost up to half again for pinned memory).
SHARE_OF_FREE = 0.8
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
CGROUP_USED = Path("/sys/fs/cgroup/memory.current")


@dataclass(frozen=True, slots=True)
class Held:
    """One set of weights in memory. `wanted`: needed by the model of the assignment."""

    key: object
    size_bytes: int
    used_s: float
    wanted: bool = False


def evictions(
    held: Iterable[Held], needed_bytes: int, budget_bytes: int, *, urgent: bool
) -> list[object] | None:
    """Return whose weights must go so that `needed_bytes` more fit; None when they must not.

    Only an urgent load (the assigned model) pushes others out, the longest unused first. It goes
    ahead even when it is larger than the whole budget: trying is the only way to serve at all.
    """
    residents: Sequence[Held] = sorted(held, key=lambda item: item.used_s)
    over = sum(item.size_bytes for item in residents) + needed_bytes - budget_bytes
    if over <= 0:
        return []
    if not urgent:
        return None
    leaving = []
    for item in residents:
        if over <= 0:
            break
        if not item.wanted:
            leaving.append(item.key)
            over -= item.size_bytes
    return leaving


def why_left_out(model: str, needed_bytes: int, budget_bytes: int) -> str:
    """Say why a model that is not urgent was not let in."""
    if needed_bytes > budget_bytes:
        return (
            f"model {model} takes about {needed_bytes} bytes, more than the {budget_bytes} of the "
            "memory budget: it is tried only once it is assigned - raise --memory-budget-bytes if "
            "the machine has more"
        )
    return (
        f"model {model} stays out of memory until it is assigned: the others fill the budget of "
        f"{budget_bytes} bytes"
    )


def measure_budget(device: torch.device, *, share: float = 1.0) -> int:
    """Return what weights may take on `device`: most of what is free there now.

    `share`: the fraction of it for this process, where others measure the same memory.
    """
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
    else:
        free_bytes = min(psutil.virtual_memory().available, _cgroup_free_bytes())
    return int(free_bytes * SHARE_OF_FREE * share)


def used_bytes(device: torch.device) -> dict[str, int]:
    """Return the memory in use by kind: this process's resident, and on a GPU the device's.

    The device's is all that is taken there, whoever holds it: a worker has its GPU to itself.
    """
    found = {"resident": psutil.Process().memory_info().rss}
    if device.type == "cuda":
        free_bytes, total_bytes = torch.cuda.mem_get_info(device)
        found["device"] = total_bytes - free_bytes
    return found


def _cgroup_free_bytes() -> int:
    """Return what this container may still take; psutil sees the whole machine."""
    try:
        limit, used = CGROUP_LIMIT.read_text().strip(), CGROUP_USED.read_text().strip()
        return int(limit) - int(used)
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return 2**62

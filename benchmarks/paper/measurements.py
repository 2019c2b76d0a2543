"""The published measurements, and the loads that are replayed on them.

A load is named by a word: a recorded trace (`1to20`), the hourly Azure curve between two rates
(`azure:0.5:5`), or phases (`phases:60x4,60x24`). The recorded traces are the curve, an hour a
second, between the two rates of their names.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hadis.errors import InvalidInput
from hadis.profiling import importing, traces
from hadis.profiling.traces import Trace
from hadis.profiling.workloads import Workload
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Profile

RECORDED = {
    "1to8": "diffserve/trace_1to8qps.txt",
    "2to16": "diffserve/trace_2to16qps.txt",
    "1to20": "hadis/trace_1to20qps.txt",
    "1to32": "hadis/trace_1to32qps.txt",
    "1to40": "hadis/trace_1to40qps.txt",
}
CURVE = "diffserve/azure_functions_hourly_invocations.csv"
CURVE_S = 347.0
"""An hour a second, as in the recorded traces."""

WORKERS = 16
SLO_S = 60.0
LIGHTEST, TURBO, MEDIUM, LARGE = importing.IMAGENET_MODELS
SWAPS = {
    "none": (0.0, 0.0, 0.0, 0.0),
    "pinned memory": (0.5, 1.0, 2.0, 3.0),
    "pod restart": (60.0, 60.0, 60.0, 60.0),
}
"""Seconds to load each model; none is the paper's prototype."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """The profile `imagenet-l40s`, its workload, and the folder that the traces lie in."""

    folder: Path
    profile: Profile
    workload: Workload


@cache
def read(folder: Path) -> Measurements:
    """Read the measurements; InvalidInput names the files that are missing."""
    needed = [f"hadis/{name}" for name in importing.IMAGENET_FILES]
    missing = [
        name for name in (*needed, *RECORDED.values(), CURVE) if not (folder / name).is_file()
    ]
    if missing:
        raise InvalidInput(f"{folder}: {', '.join(missing)} is missing; give --data or HADIS_DATA")
    texts = {name: _text(folder / "hadis" / name) for name in importing.IMAGENET_FILES}
    found = importing.imagenet(texts)
    return Measurements(folder, found.profile, found.workload)


def trace(data: Measurements, load: str, seed: int) -> Trace:
    """Return the arrivals of a load; a recorded one is the same for every seed."""
    prompts = len(data.workload)
    kind, _, rest = load.partition(":")
    if kind == "azure":
        low, _, high = rest.partition(":")
        return traces.from_curve(
            traces.read_curve(_text(data.folder / CURVE), CURVE),
            low_per_s=float(low),
            high_per_s=float(high),
            duration_s=CURVE_S,
            prompts=prompts,
            seed=seed,
        )
    if kind == "phases":
        return traces.from_phases(traces.read_phases(rest), data.workload.hardness, seed)
    name = RECORDED[load]
    return traces.read(_text(data.folder / name), name, prompts=prompts)


def swap_s(name: str) -> dict[ModelName, float]:
    """Return the seconds of loading each model; none at all where swaps are free."""
    seconds = dict(zip(importing.IMAGENET_MODELS, SWAPS[name], strict=True))
    return seconds if any(seconds.values()) else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")

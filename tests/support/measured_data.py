"""The published measurements beside the checkout; tests that need them are skipped without."""

import os
from functools import cache
from pathlib import Path

import pytest

from hadis.profiling import importing
from hadis.profiling.importing import Measured

DATA = Path(os.environ.get("HADIS_DATA") or Path(__file__).parents[3] / "shared" / "data")


def texts(folder: str, names: tuple[str, ...]) -> dict[str, str]:
    """The texts of a folder's files; skips the test that needs a missing one, by name."""
    for name in names:
        if not (DATA / folder / name).is_file():
            pytest.skip(f"{DATA / folder / name} is not there (set HADIS_DATA)")
    return {name: (DATA / folder / name).read_text(encoding="utf-8-sig") for name in names}


def trace_text(name: str, folder: str = "hadis") -> str:
    return texts(folder, (name,))[name]


def imagenet() -> Measured:
    """`imagenet-l40s` and its workload, on the published scale of hardness."""
    return _imagenet(tuple(texts("hadis", importing.IMAGENET_FILES).items()))


def diffserve() -> dict[str, Measured]:
    """The three `diffserve-*` profiles and their workloads."""
    return _diffserve(tuple(texts("diffserve", importing.DIFFSERVE_FILES).items()))


@cache
def _imagenet(files: tuple[tuple[str, str], ...]) -> Measured:
    return importing.imagenet(dict(files))


@cache
def _diffserve(files: tuple[tuple[str, str], ...]) -> dict[str, Measured]:
    return importing.diffserve(dict(files))

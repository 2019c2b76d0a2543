"""What a model's weights will take in memory, before any of them is read.

A safetensors file begins with the format and shape of every tensor. Only files that loading would
read count, so that a folder with several precisions counts one of them.
"""

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from hadis.terms.cascades import ModelSpec
from hadis_server import hub, pipelines

FLOATS = ("F64", "F32", "F16", "BF16")
"""Formats that loading turns into the model's; all others stay what they are."""
LENGTH = struct.Struct("<Q")
MAX_HEADER_BYTES = 100_000_000
"""What the format itself allows; anything longer is no such file."""


def expected_bytes(spec: ModelSpec, device: torch.device) -> int:
    """Return what the weights of `spec` will roughly take; 0 where none are on this disk yet."""
    item_bytes = pipelines.dtype_for(spec, device).itemsize
    return sum(_loaded_bytes(file, item_bytes) for file in _files(spec))


def _files(spec: ModelSpec) -> Iterator[Path]:
    source = spec.source
    elsewhere = {part for part in source.overrides if not pipelines.is_scheduler(part)}
    folder = _folder(source.path or source.repository or "", source.revision)
    for part in folder.iterdir() if folder is not None and folder.is_dir() else ():
        if part.is_dir() and part.name not in (*elsewhere, *pipelines.LEFT_OUT):
            yield from _weights(part)
    for name in elsewhere:
        folder = _folder(source.overrides[name])
        if folder is not None and folder.is_dir():
            yield from _weights(folder)


def _folder(place: str, revision: str | None = None) -> Path | None:
    return Path(place) if hub.is_folder(place) else hub.cached(place, revision)


def _weights(folder: Path) -> Iterator[Path]:
    names = [file.name for file in folder.iterdir() if file.is_file()]
    return (folder / name for name in hub.part_files(names) if name.endswith(".safetensors"))


def _loaded_bytes(file: Path, item_bytes: int) -> int:
    try:
        header = _header(file)
        return sum(
            math.prod(tensor["shape"]) * item_bytes
            if tensor["dtype"] in FLOATS
            else tensor["data_offsets"][1] - tensor["data_offsets"][0]
            for name, tensor in header.items()
            if name != "__metadata__"
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, struct.error):
        # Loading it will say what is wrong with it, by its name.
        return file.stat().st_size if file.is_file() else 0


def _header(file: Path) -> dict[str, dict[str, Any]]:
    with file.open("rb") as opened:
        (length,) = LENGTH.unpack(opened.read(LENGTH.size))
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {length} bytes")
        header: dict[str, dict[str, Any]] = json.loads(opened.read(length))
        return header

"""What a measurement was made of, as a digest: an interrupted run reuses only what still holds.

New weights under an old path, other settings of a model, another discriminator or other prompts
give other digests; a folder that moved does not.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from hadis.terms.cascades import Cascade, DiscriminatorSpec, ModelSpec
from hadis.terms.ids import ModelName

DIGITS = 16


def of(*parts: Any) -> str:
    """Return the digest of anything that JSON can hold."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def of_models(cascade: Cascade) -> dict[ModelName, str]:
    """Return the digest of each model's weights and of how it is run."""
    return {spec.name: _of_spec(spec) for spec in cascade.models}


def of_discriminator(cascade: Cascade) -> str:
    """Return the digest of the discriminator's weights and kind, or of having none."""
    return "" if cascade.discriminator is None else _of_spec(cascade.discriminator)


def _of_spec(spec: ModelSpec | DiscriminatorSpec) -> str:
    fields = dataclasses.asdict(spec)
    source = fields["source"]
    source["path"] = _of_place(source["path"])
    source["overrides"] = {part: _of_place(place) for part, place in source["overrides"].items()}
    if "loras" in fields:
        fields["loras"] = [_of_place(place) for place in fields["loras"]]
    return of(fields)


def _of_place(place: str | None) -> str | None:
    """Return the digest of a folder or file; a repository or setting stands for itself."""
    # Local places are absolute by now: `manifests.resolve_paths` has seen to that.
    path = Path(place or "")
    if not path.is_absolute() or not path.exists():
        return place
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    seen = ((file, file.stat()) for file in files if file.is_file())
    return _of_files(path, tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in seen))


@functools.cache  # weights are large, variants share them, and a run asks more than once
def _of_files(top: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """Return the digest of files by name and content; sizes and times tell a changed one."""
    whole = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(top)} {content}\n".encode())
    return whole.hexdigest()

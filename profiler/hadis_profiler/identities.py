"""What a measurement was made of, as a digest: an interrupted run reuses only what still holds.

New weights under an old path, other settings of a model, another discriminator or other prompts
give other digests; a folder that moved does not.
"""

import dataclasses
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
    folders: dict[str, str] = {}
    return {spec.name: _of_spec(spec, folders) for spec in cascade.models}


def of_discriminator(cascade: Cascade) -> str:
    """Return the digest of the discriminator's weights and kind, or of having none."""
    return "" if cascade.discriminator is None else _of_spec(cascade.discriminator, {})


def _of_spec(spec: ModelSpec | DiscriminatorSpec, folders: dict[str, str]) -> str:
    fields = dataclasses.asdict(spec)
    path = spec.source.path
    if path is not None:
        if path not in folders:  # variants share their weights
            folders[path] = _of_folder(Path(path))
        fields["source"]["path"] = folders[path]
    return of(fields)


def _of_folder(folder: Path) -> str:
    """Return the digest of every file below a folder, by name and content."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder)} {content}\n".encode())
    return whole.hexdigest()

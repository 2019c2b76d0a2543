"""The cascade file: read, checked against this machine, and watched for changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import watchfiles

from hadis.errors import HadisError, InvalidManifest
from hadis.terms.cascades import Cascade, ModelSource
from hadis.wire import manifests
from hadis.wire.manifests import Manifests

SETTLE_MS = 200
"""Editors write a file in several steps; only the last one is worth reading."""


def load(path: Path) -> Manifests:
    """Read the manifest with its folders of weights resolved; InvalidManifest tells what is wrong.

    On one machine weights can be looked for at once, and a profile has to be in the same file.
    """
    read = manifests.read_manifests(_text(path), source=str(path))
    cascade = manifests.resolve_paths(read.cascade, path.resolve().parent)
    faults = _missing(cascade)
    if cascade.profile_name is not None and read.profile is None:
        faults.append(
            f"spec.profile.name: no HadisProfile {cascade.profile_name!r} follows in this file; "
            f"on one machine it must. Measure it: hadis profile --cascade {path} --prompts F --out "
            "DIR --update"
        )
    if faults:
        raise InvalidManifest(_listed(path, faults), field=faults[0].partition(":")[0])
    return replace(read, cascade=cascade)


async def follow(path: Path) -> AsyncIterator[Manifests | HadisError]:
    """Yield every later state of the file: what it says, or why that cannot be used."""
    watched = path.resolve()
    last = _text_or_none(watched)
    # The folder is watched, because most editors replace a file instead of writing into it.
    async for changes in watchfiles.awatch(
        watched.parent, step=SETTLE_MS, recursive=False, ignore_permission_denied=True
    ):
        if not any(Path(changed).name == watched.name for _, changed in changes):
            continue
        text = _text_or_none(watched)
        if text == last:
            continue
        last = text
        try:
            yield await asyncio.to_thread(load, path)
        except HadisError as error:
            yield error


def needs_network(cascade: Cascade) -> bool:
    """Return whether any weights may have to be fetched."""
    if cascade.offline:
        return False
    sources = [model.source for model in cascade.models]
    if cascade.discriminator is not None:
        sources.append(cascade.discriminator.source)
    places = [place for source in sources for place in source.overrides.values()]
    places += [lora for model in cascade.models for lora in model.loras]
    return any(source.repository is not None for source in sources) or any(
        not Path(place).is_absolute() for place in places
    )


def _missing(cascade: Cascade) -> list[str]:
    faults = []
    for index, model in enumerate(cascade.models):
        fault = _missing_weights(model.source, f"spec.models[{index}].source", "model_index.json")
        faults += [fault] if fault else []
    if cascade.discriminator is not None and cascade.discriminator_stage:
        fault = _missing_weights(cascade.discriminator.source, "spec.discriminator.source", None)
        faults += [fault] if fault else []
    return faults


def _missing_weights(source: ModelSource, field: str, index: str | None) -> str | None:
    if source.path is None:
        return None
    folder = Path(source.path)
    if not folder.exists():
        return f"{field}.path: no weights at {folder}; correct the path or put them there"
    if index is not None and not (folder / index).is_file():
        return f"{field}.path: {folder} is no diffusers pipeline: it has no {index}"
    return None


def _listed(path: Path, faults: list[str]) -> str:
    if len(faults) == 1:
        return f"{path}: {faults[0]}"
    return f"{path}: {len(faults)} faults\n" + "\n".join(f"  - {fault}" for fault in faults)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InvalidManifest(
            f"--cascade {path}: there is no such file", field="cascade"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidManifest(
            f"--cascade {path}: cannot be read: {error}", field="cascade"
        ) from error


def _text_or_none(path: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    return None

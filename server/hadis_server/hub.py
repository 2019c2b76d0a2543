"""What is read of Hugging Face repositories: which files, fetched into the cache or found there.

`pipelines` and `discriminating` load by it and `prefetching` fetches by it, so that what a Job has
brought is what workers look for. Which files a whole pipeline needs diffusers itself decides; here
are the rest. Pickles are never among them.
"""

import glob
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath, PurePosixPath

from huggingface_hub import HfApi, get_cached_repo_tree, resolve_revision, snapshot_download
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    HFValidationError,
    OfflineModeIsEnabled,
    RevisionResolutionError,
)

# Public, and exported in a way that type checkers do not see; `httpx` is the HTTP library that the
# hub's client uses, whichever version of it that is.
from huggingface_hub.utils import disable_progress_bars, httpx  # type: ignore[attr-defined]

from hadis.errors import ModelUnavailable
from hadis_server import caches

FOREIGN = ("*.bin", "*.pt", "*.ckpt", "*.msgpack", "*.h5", "*.onnx")
"""Weights in formats that are never read: other frameworks' ones, and pickles."""
SETTINGS = (".json", ".txt", ".model", ".jinja")
"""Ends of what a network, a tokenizer or an image processor reads beside weights."""
TransportError: type[Exception] = httpx.TransportError
"""What the hub's client raises when a request gets no answer."""
LORA_NAME = "pytorch_lora_weights.safetensors"
NO_LORA = ("scheduler", "optimizer", "checkpoint")
"""Words in the names of files that training leaves beside an adapter."""


def quiet() -> None:
    """Keep progress bars, and a line for each request with its signed address, out of the log."""
    disable_progress_bars()
    logging.getLogger(httpx.__name__).setLevel(logging.WARNING)


def is_folder(place: str) -> bool:
    """Return whether a part or an adapter lies in a folder; all of them are absolute by now."""
    return PurePath(place).is_absolute()


def snapshot(
    repository: str,
    revision: str | None = None,
    *,
    offline: bool = False,
    files: Sequence[str] | None = None,
) -> Path:
    """Return a repository's folder in the cache, with `files` or with all that are ever read."""
    return Path(
        snapshot_download(
            repository,
            revision=revision,
            local_files_only=offline,
            allow_patterns=None if files is None else [glob.escape(name) for name in files],
            ignore_patterns=list(FOREIGN),
        )
    )


def commit(repository: str, revision: str | None = None) -> str:
    """Return the commit under which a revision lies in the cache."""
    return str(resolve_revision(repository, revision=revision, local_files_only=True).resolved)


def cached(repository: str, revision: str | None = None) -> Path | None:
    """Return the folder of a revision in the cache; None when it is not there."""
    try:
        folder = caches.repository(repository) / "snapshots" / commit(repository, revision)
    except (RevisionResolutionError, HFValidationError):
        return None
    return folder if folder.is_dir() else None


def fetch_part(repository: str) -> Path:
    """Fetch what a single part of a pipeline needs from a repository of its own."""
    return snapshot(repository, files=part_files(_listed(repository)))


def find_lora(repository: str, *, offline: bool = False) -> Path:
    """Return the file of a repository's adapter, fetched when it is not in the cache.

    diffusers cannot tell which file it is without asking the hub; the cache has the listing.
    """
    name = lora_file(repository, _listed(repository, offline=offline))
    return snapshot(repository, offline=offline, files=[name]) / name


def part_files(names: Iterable[str]) -> list[str]:
    """Return which files at the top of a repository a part of a pipeline reads.

    Both libraries take either one file of weights or an index with its shards; where a repository
    has both, diffusers takes the shards and transformers the file.
    """
    top = sorted(name for name in names if "/" not in name)
    settings = [
        name
        for name in top
        if PurePosixPath(name).suffix in SETTINGS and not name.endswith(".index.json")
    ]
    diffusers = _weights(top, "diffusion_pytorch_model", sharded_first=True)
    return settings + diffusers + _weights(top, "model", sharded_first=False)


def lora_file(repository: str, names: Iterable[str]) -> str:
    """Return which file is the adapter: the usual name, else the first that may be one.

    Raises ModelUnavailable when there is none.
    """
    found = sorted(
        name
        for name in names
        if name.endswith(".safetensors") and not any(word in name for word in NO_LORA)
    )
    usual = [name for name in found if name.endswith(LORA_NAME)]
    if not found:
        raise ModelUnavailable(
            f"the LoRA {repository} holds no safetensors file; correct spec.models[].loras"
        )
    return (usual or found)[0]


def _weights(top: Sequence[str], stem: str, *, sharded_first: bool) -> list[str]:
    whole, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
    shards = [name for name in top if re.fullmatch(rf"{stem}-\d+-of-\d+\.safetensors", name)]
    ways = [[whole] if whole in top else [], [index, *shards] if index in top else []]
    if sharded_first:
        ways.reverse()
    return ways[0] or ways[1]


def _listed(repository: str, *, offline: bool = False) -> list[str]:
    """Return the names of a repository's files, from the cache where the hub may not be asked."""
    unreachable: Exception | None = None
    if not offline:
        try:
            return HfApi().list_repo_files(repository)
        except (OfflineModeIsEnabled, TransportError) as error:
            unreachable = error
    try:
        return [file.path for file in get_cached_repo_tree(repository)]
    except CachedRepoTreeNotFoundError as error:
        raise ModelUnavailable(
            f"the cache holds no listing of {repository}; fetch it with `hf download {repository}`"
        ) from (unreachable or error)

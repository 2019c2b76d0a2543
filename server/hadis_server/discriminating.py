"""Score images against their prompts: one small interface, loaders by the cascade's `kind`.

Scores lie in [0, 1] and only their order matters: the router compares them with thresholds that
were measured with the same discriminator.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from huggingface_hub.errors import HfHubHTTPError
from PIL.Image import Image

from hadis.errors import ModelUnavailable
from hadis.terms.cascades import DiscriminatorSpec
from hadis_server import hub

# Kind to "module:function"; imported when asked for, so that a worker pays for one kind only.
LOADERS = {
    "matching": "hadis_scenes.discriminators:load",
    "real-fake": "hadis_scenes.discriminators:load",
    "clip": "hadis_server.similarity:load",
}


class Discriminator(Protocol):
    """Something that judges images; called from the denoising thread only."""

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """Return a score in [0, 1] for each image; higher is better."""
        ...


def load(spec: DiscriminatorSpec, device: torch.device, *, offline: bool = False) -> Discriminator:
    """Load the discriminator; `offline` takes a repository from the cache only.

    Raises ModelUnavailable naming the source and the fix.
    """
    try:
        module_name, _, function = LOADERS[spec.kind].partition(":")
    except KeyError:
        raise ModelUnavailable(
            f"discriminator kind {spec.kind!r} is none of {', '.join(LOADERS)}; correct "
            "spec.discriminator.kind"
        ) from None
    folder = _folder(spec, offline=offline)
    try:
        loader = getattr(importlib.import_module(module_name), function)
        discriminator: Discriminator = loader(folder, device)
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:400]
        raise ModelUnavailable(
            f"the discriminator in {folder} does not load: {reason} - check "
            "spec.discriminator.source"
        ) from error
    return discriminator


def _folder(spec: DiscriminatorSpec, *, offline: bool) -> Path:
    source = spec.source
    if source.path is not None:
        folder = Path(source.path)
        if not folder.is_dir():
            raise ModelUnavailable(
                f"the discriminator's folder {folder} does not exist; correct "
                "spec.discriminator.source.path"
            )
        return folder
    try:
        return hub.snapshot(str(source.repository), source.revision, offline=offline)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelUnavailable(
            f"the discriminator {source.repository} cannot be fetched: {error}; check "
            "spec.discriminator.source.repository and the token"
        ) from error

"""Where a cascade's weights have to be fetched from, one errand for each repository.

Reads what the operator's `weights.sources` writes. What is a folder needs no fetching.
"""

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hadis.errors import InvalidInput
from hadis.terms.cascades import Cascade, DiscriminatorSpec, ModelSource, ModelSpec
from hadis.terms.ids import CascadeName, ModelName
from hadis.wire import manifests
from hadis_server import hub
from hadis_server.settings import CASCADE_DIR_VARIABLE


@dataclass(frozen=True, slots=True)
class Errand:
    """One repository to fetch from. `fetch` raises whatever the hub's client raises."""

    repository: str
    revision: str | None
    fetch: Callable[[], object]


def read(text: str) -> Cascade:
    """Return a cascade that has nothing but sources. Raises InvalidInput.

    Relative folders start where they do for workers, whose image this process shares.
    """
    try:
        given = json.loads(text)
        models = tuple(_model(entry) for entry in given["models"])
        discriminator = _discriminator(given.get("discriminator"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput(
            f"--sources is not what the operator writes: {type(error).__name__}: {error}",
            field="sources",
        ) from error
    cascade = Cascade(CascadeName("any"), slo_s=1.0, models=models, discriminator=discriminator)
    return manifests.resolve_paths(cascade, Path(os.environ.get(CASCADE_DIR_VARIABLE) or "/"))


def plan(cascade: Cascade) -> list[Errand]:
    """Return the errands in the order of the cascade: pipelines, then their parts and adapters.

    A pipeline that two models share is gone for twice: with another class or other parts replaced
    it needs other files.
    """
    # Imported here: torch and diffusers cost seconds, which a marker that is there saves.
    from hadis_server import pipelines

    bind = functools.partial
    found: list[Errand] = []
    others: dict[tuple[str, str], Errand] = {}
    for spec in cascade.models:
        source = spec.source
        if source.repository is not None:
            fetch = bind(pipelines.fetch_pipeline, spec)
            found.append(Errand(source.repository, source.revision, fetch))
        for part, place in source.overrides.items():
            if not pipelines.is_scheduler(part) and not hub.is_folder(place):
                others["part", place] = Errand(place, None, bind(hub.fetch_part, place))
        for lora in spec.loras:
            if not hub.is_folder(lora):
                others["lora", lora] = Errand(lora, None, bind(hub.find_lora, lora))
    judge = cascade.discriminator
    if judge is not None and judge.source.repository is not None:
        where = judge.source.repository, judge.source.revision
        others["discriminator", where[0]] = Errand(*where, bind(hub.snapshot, *where))
    return [*found, *others.values()]


def _model(entry: dict[str, Any]) -> ModelSpec:
    source = _source(entry["source"])
    return ModelSpec(
        name=ModelName(source.repository or source.path or ""),
        source=source,
        pipeline=entry.get("pipeline"),
        # How a model is called decides nothing about its files.
        steps=1,
        guidance=0.0,
        width=8,
        height=8,
        dtype=entry.get("dtype", "float32"),
        loras=tuple(entry.get("loras", ())),
    )


def _discriminator(given: dict[str, Any] | None) -> DiscriminatorSpec | None:
    return DiscriminatorSpec(_source(given["source"]), given["kind"]) if given else None


def _source(given: dict[str, Any]) -> ModelSource:
    return ModelSource(
        path=given.get("path"),
        repository=given.get("repository"),
        revision=given.get("revision"),
        overrides=dict(given.get("overrides", {})),
    )

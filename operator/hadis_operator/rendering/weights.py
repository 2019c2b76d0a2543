"""Where a cascade's weights come from, who fetches them, and the cache that they lie in.

With a claim one Job fetches each set of models once; the workers wait for its marker and read the
cache only, so that all of them have the same files. Without a claim each worker fetches its own.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from hadis_operator import naming, objects
from hadis_operator.installation import HuggingFace, Installation
from hadis_operator.objects import Manifest, Owner
from hadis_operator.rendering import pods

CACHE_DIR = "/var/cache/huggingface"
"""Root of the cache; a claim filled by hand holds what `HF_HOME` would: the folder `hub`."""
CACHE_VOLUME = "models"
MARKER_DIR = f"{CACHE_DIR}/.hadis"
"""A file in it, named after a set of models, says that they are all there."""
HASH_CHARS = 8
HASH_FILE = "models.hash"
"""The plan's file that names the set of models that workers wait for."""
ONE_POD = "ReadWriteOncePod"


class Supply(StrEnum):
    """Who brings the weights of a cascade."""

    FOLDERS = "folders"  # nothing is fetched: every source is a folder
    CACHE = "cache"  # fetching is forbidden: the cache was filled by hand
    JOB = "job"  # one Job fetches into the claim, workers only read it
    WORKERS = "workers"  # every worker fetches its own


def supply(spec: Mapping[str, Any], installation: Installation) -> Supply:
    """Return who brings the weights.

    A claim that only one pod may mount leaves no room for a Job beside the worker, which then
    fetches for itself; there is just one.
    """
    if not any(_repositories(spec)):
        return Supply.FOLDERS
    if spec["weights"] == "Offline" or installation.hugging_face.offline:
        return Supply.CACHE
    cache = _cache(spec)
    shared = cache.get("claimName") is not None or _access_modes(spec) not in ([], [ONE_POD])
    return Supply.JOB if shared else Supply.WORKERS


def sources(spec: Mapping[str, Any]) -> Manifest:
    """Return all that is to be fetched: what of each model decides which files it needs.

    Variants that differ in steps or guidance only need the same files, and so one entry.
    """
    models: list[Manifest] = []
    for model in spec["models"]:
        entry = {
            name: model[name] for name in ("source", "pipeline", "dtype", "loras") if name in model
        }
        if entry not in models:
            models.append(entry)
    found: Manifest = {"models": models}
    if "discriminator" in spec:
        found["discriminator"] = spec["discriminator"]
    return found


def models_hash(spec: Mapping[str, Any]) -> str:
    """Return the name of a set of models: it changes when other files are needed, and only then."""
    wanted = sources(spec)
    unordered = {**wanted, "models": sorted(wanted["models"], key=objects.digest)}
    return objects.digest(unordered)[:HASH_CHARS]


def marker(spec: Mapping[str, Any]) -> str:
    """Return the file whose presence says that this set of models is in the cache."""
    return f"{MARKER_DIR}/{models_hash(spec)}"


def claim_name(owner: Owner, spec: Mapping[str, Any]) -> str | None:
    """Return the claim that the cache lies on; None for a folder of the pod."""
    cache = _cache(spec)
    if "claimTemplate" in cache:
        return naming.models(owner)
    name = cache.get("claimName")
    return None if name is None else str(name)


def claim(owner: Owner, spec: Mapping[str, Any]) -> Manifest | None:
    """Return the claim that a claim template makes; None without one."""
    given = _cache(spec).get("claimTemplate")
    if given is None:
        return None
    content: Manifest = {
        "accessModes": list(given["accessModes"]),
        "resources": {"requests": {"storage": pods.quantity(given["storage"])}},
    }
    if "storageClassName" in given:
        content["storageClassName"] = given["storageClassName"]
    return objects.build(
        owner,
        "v1",
        "PersistentVolumeClaim",
        naming.models(owner),
        objects.Component.FETCHER,
        spec=content,
    )


def cache_volume(owner: Owner, spec: Mapping[str, Any]) -> Manifest:
    """Return the volume of the cache."""
    name = claim_name(owner, spec)
    if name is not None:
        return {"name": CACHE_VOLUME, "persistentVolumeClaim": {"claimName": name}}
    size = (_cache(spec).get("emptyDir") or {}).get("sizeLimit")
    return pods.folder(CACHE_VOLUME, size=size)


def is_read_only(owner: Owner, spec: Mapping[str, Any], installation: Installation) -> bool:
    """Return whether workers only read the cache."""
    fetches = supply(spec, installation) is Supply.WORKERS
    return claim_name(owner, spec) is not None and not fetches


def environment(installation: Installation, *, fetches: bool) -> Iterator[Manifest]:
    """Yield the variables of a container that reads the cache, or `fetches` into it."""
    yield pods.variable("HF_HUB_CACHE", f"{CACHE_DIR}/hub")
    yield pods.variable("HF_HUB_DISABLE_TELEMETRY", "1")
    if fetches:
        # Chunks of files that are read once need no second place on the disk.
        yield pods.variable("HF_XET_CHUNK_CACHE_SIZE_BYTES", "0")
        yield from _token(installation.hugging_face)
    else:
        yield pods.variable("HF_HUB_OFFLINE", "1")
        yield pods.variable("TRANSFORMERS_OFFLINE", "1")


def _token(hugging_face: HuggingFace) -> Iterator[Manifest]:
    """Yield the token. Open models need none, so a namespace without the Secret does without."""
    if hugging_face.token_secret:
        reference = {
            "name": hugging_face.token_secret,
            "key": hugging_face.token_key,
            "optional": True,
        }
        yield {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}}


def _cache(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = spec["workers"].get("template", {}).get("modelCache", {})
    return found


def _access_modes(spec: Mapping[str, Any]) -> list[str]:
    return list(_cache(spec).get("claimTemplate", {}).get("accessModes", ()))


def _repositories(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield every repository that the cascade names."""
    sourced = [model["source"] for model in spec["models"]]
    if "discriminator" in spec:
        sourced.append(spec["discriminator"]["source"])
    for source in sourced:
        if "repository" in source:
            yield source["repository"]
        for part, place in source.get("overrides", {}).items():
            # Scheduler overrides name a class or a setting, not a place.
            if part.partition(".")[0] != "scheduler" and not _is_folder(place):
                yield place
    for model in spec["models"]:
        yield from (lora for lora in model.get("loras", ()) if not _is_folder(lora))


def _is_folder(place: str) -> bool:
    return place.startswith(".") or PurePath(place).is_absolute()

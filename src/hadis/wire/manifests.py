"""HadisCascade and HadisProfile manifests to domain terms and back.

Read by `hadis up`, the workers and the routers alike. The schema is the CRDs' in `crds/`: what the
API server refuses is refused here, in the same words, with every fault of a file in one error. Only
what a controller tells is read leniently (`read_told`): it may be of a later version, and its
author's words were checked before. Nothing here opens a file: callers hand over text and the name
that errors should give it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from hadis import resources
from hadis.errors import InvalidManifest, InvalidProfile
from hadis.terms.cascades import Cascade, ModelSource
from hadis.terms.profiles import Profile
from hadis.wire import cascade_specs, documents, profiles, pruning, structural
from hadis.wire.structural import Problem

API_VERSION = "hadis.dev/v1alpha1"
_KINDS = {"HadisCascade": "hadiscascades", "HadisProfile": "hadisprofiles"}
_TOLD = {"cascade", "profile"}
_CLUSTER_ONLY = (
    "workers.maxUnavailable",
    "workers.template",
    "router.replicas",
    "router.resources",
    "router.service",
    "router.apiKeys",
    "metrics",
)


@dataclass(frozen=True, slots=True)
class Manifests:
    """A cascade with the profile that came with it.

    `cluster_only` lists the fields that were given although they mean nothing on one machine,
    `unknown` those that a later version told and this one passed over.
    """

    cascade: Cascade
    profile: Profile | None = None
    cluster_only: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def read_manifests(text: str, *, source: str) -> Manifests:
    """Return what `text` says: one HadisCascade and at most one HadisProfile, YAML or JSON.

    `source` names the text in errors. A JSON object `{"cascade": {...}, "profile": {...} | null}`,
    the body of `PUT /cascade`, is read as well.
    """
    parsed = documents.parse(text, source=source)
    told = parsed[0] if len(parsed) == 1 else None
    if isinstance(told, dict) and set(told) <= _TOLD:
        return from_objects(told.get("cascade"), told.get("profile"), source=source)
    return _assemble(parsed, source)


def read_told(text: str, *, source: str) -> Manifests:
    """Return what a controller tells its processes, by `PUT /cascade` or a file that it wrote.

    Fields that this version does not know are passed over and named in `unknown`: a controller of
    the next version may be there before its processes. A file of manifests, which is what an author
    writes, is read as `read_manifests` reads it.
    """
    parsed = documents.parse(text, source=source)
    told = parsed[0] if len(parsed) == 1 else None
    if not isinstance(told, dict) or "cascade" not in told:
        return read_manifests(text, source=source)
    unknown = [name for name in told if name not in _TOLD]
    cascade, more = _pruned(told["cascade"], "HadisCascade")
    unknown += [f"cascade.{path}" for path in more]
    profile, more = _pruned(told.get("profile"), "HadisProfile")
    unknown += [f"profile.{path}" for path in more]
    return replace(from_objects(cascade, profile, source=source), unknown=tuple(unknown))


def from_objects(cascade: object, profile: object = None, *, source: str) -> Manifests:
    """Return what two parsed manifests say; `profile` may be None."""
    return _assemble([cascade] if profile is None else [cascade, profile], source)


def resolve_paths(cascade: Cascade, base: Path) -> Cascade:
    """Return `cascade` with every relative folder of weights starting at `base`."""
    models = tuple(
        replace(
            model,
            source=_resolved(model.source, base),
            loras=tuple(_local(lora, base) for lora in model.loras),
        )
        for model in cascade.models
    )
    discriminator = cascade.discriminator
    if discriminator is not None:
        discriminator = replace(discriminator, source=_resolved(discriminator.source, base))
    return replace(cascade, models=models, discriminator=discriminator)


def dump_objects(cascade: Cascade, profile: Profile | None = None) -> dict[str, Any]:
    """Return `{"cascade", "profile"}` as manifests, the body of `PUT /cascade`."""
    return {
        "cascade": {
            "apiVersion": API_VERSION,
            "kind": "HadisCascade",
            "metadata": {"name": cascade.name, "generation": cascade.generation},
            "spec": cascade_specs.dump(cascade),
        },
        "profile": None if profile is None else profiles.to_manifest(profile),
    }


def dump_manifests(cascade: Cascade, profile: Profile | None = None) -> str:
    """Return the text that `read_manifests` turns back into the same values."""
    return json.dumps(dump_objects(cascade, profile), allow_nan=False)


def _assemble(parsed: list[object], source: str) -> Manifests:
    admitted: dict[str, dict[str, Any]] = {}
    given: dict[str, Mapping[str, Any]] = {}
    faults: list[tuple[str, Problem]] = []
    for number, document in enumerate(parsed, start=1):
        kind, value, problems = _admit(document)
        where = f"document {number}" + (f" ({kind})" if kind else "")
        if kind in admitted:
            problems = [Problem("", f"a second {kind}; a file holds at most one")]
        faults.extend((where, problem) for problem in problems)
        if kind and kind not in admitted and isinstance(document, dict):
            admitted[kind], given[kind] = value, document
    if "HadisCascade" not in admitted and not faults:
        faults.append(("", Problem("kind", "a HadisCascade is required; the file has none")))
    if not faults:
        faults.extend(("", problem) for problem in _crossing(admitted))
    if faults:
        raise _refusal(source, faults)
    return Manifests(
        cascade_specs.load(admitted["HadisCascade"]),
        _profile(admitted.get("HadisProfile"), source),
        tuple(_cluster_only(given["HadisCascade"])),
    )


def _pruned(told: object, kind: str) -> tuple[object, list[str]]:
    return pruning.prune(resources.schema(_KINDS[kind]), told)


def _admit(document: object) -> tuple[str | None, dict[str, Any], list[Problem]]:
    if not isinstance(document, dict):
        return None, {}, [Problem("", "a manifest is an object with apiVersion, kind and spec")]
    kind = document.get("kind")
    if kind not in _KINDS:
        known = " or ".join(_KINDS)
        return None, {}, [Problem("kind", f"must be {known}, is {kind!r}")]
    if document.get("apiVersion") != API_VERSION:
        given = document.get("apiVersion")
        return kind, {}, [Problem("apiVersion", f"must be {API_VERSION}, is {given!r}")]
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return kind, {}, [Problem("metadata.name", "is required and must be text")]
    value, problems = structural.admit(resources.schema(_KINDS[kind]), document)
    return kind, value, problems


def _crossing(admitted: Mapping[str, dict[str, Any]]) -> Iterator[Problem]:
    """Yield what a cluster reports as the condition ProfileValid; here it is an error."""
    if "HadisProfile" not in admitted:
        return
    spec, profile = admitted["HadisCascade"]["spec"], admitted["HadisProfile"]
    wanted = spec.get("profile", {}).get("name")
    name = profile["metadata"]["name"]
    if wanted != name:
        yield Problem(
            "spec.profile.name", f"is {wanted!r}, but the file's HadisProfile is {name!r}"
        )
    measured = {model["name"] for model in profile["spec"]["models"]}
    for index, model in enumerate(spec["models"]):
        if model["name"] not in measured:
            yield Problem(
                f"spec.models[{index}].name",
                f"{model['name']!r} is not in the HadisProfile {name!r}; "
                "take that profile out of the file and measure every model with hadis profile "
                "--cascade FILE --update, or remove the model",
            )


def _profile(manifest: Mapping[str, Any] | None, source: str) -> Profile | None:
    if manifest is None:
        return None
    try:
        return profiles.read_spec(
            manifest["spec"], name=manifest["metadata"]["name"], source=source
        )
    except InvalidProfile as error:
        raise InvalidManifest(str(error), field=error.field) from error


def _cluster_only(document: Mapping[str, Any]) -> Iterator[str]:
    for path in _CLUSTER_ONLY:
        node: Any = document["spec"]
        for name in path.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        if node is not None:
            yield f"spec.{path}"


def _refusal(source: str, faults: list[tuple[str, Problem]]) -> InvalidManifest:
    lines = [": ".join(part for part in (where, str(problem)) if part) for where, problem in faults]
    if len(lines) == 1:
        message = f"{source}: {lines[0]}"
    else:
        message = f"{source}: {len(lines)} faults\n" + "\n".join(f"  - {line}" for line in lines)
    return InvalidManifest(message, field=faults[0][1].path or None)


def _resolved(source: ModelSource, base: Path) -> ModelSource:
    path = None if source.path is None else str(base / source.path)
    overrides = {name: _local(place, base) for name, place in source.overrides.items()}
    return replace(source, path=path, overrides=overrides)


def _local(place: str, base: Path) -> str:
    """Folders of overrides and LoRAs start with a dot or a slash; anything else is a repository."""
    is_folder = place.startswith(".") or PurePath(place).is_absolute()
    return str(base / place) if is_folder else place

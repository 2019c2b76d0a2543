"""A HadisCascade and its HadisProfile as the API has them, in domain terms, with what is amiss.

On one machine a profile that does not fit is an error; here it is a condition, and whatever can
still be served goes on being served. Nothing in this module talks to a cluster.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hadis import resources
from hadis.errors import InvalidManifest, InvalidProfile
from hadis.terms.cascades import Cascade
from hadis.terms.profiles import Profile
from hadis.wire import cascade_specs, profiles, pruning, structural
from hadis_operator import objects
from hadis_operator.objects import Manifest, Owner
from hadis_operator.rendering import weights

MAX_NAMED = 10
"""Fields that this version does not know, in one line of the log."""
LOG = logging.getLogger(__name__)


class ProfileState(StrEnum):
    """How the profile fits; the values are the reasons of the condition ProfileValid."""

    VALID = "Valid"  # or none is needed
    NOT_FOUND = "NotFound"  # the cascade needs one and it does not exist
    MODEL_MISSING = "ModelMissing"  # it says nothing of one of the cascade's models
    HARDWARE_MISMATCH = "HardwareMismatch"  # the workers run on something else
    NOT_ORDERED = "NotOrdered"  # its numbers contradict one another


@dataclass(frozen=True, slots=True)
class Given:
    """What a cascade's author wants. `spec` has all defaults; `profile` is None when it is no use.

    `trouble` says what is wrong with the profile, with the fix, while `profile_state` is not VALID.
    `told_profile` is the profile for routers and workers, which refuse one that lacks a model;
    `models_hash` names the models that workers wait for. While other models are being fetched
    (`is_held`) these two and `cascade` are still those of before: see `hadis_operator.holding`.
    """

    owner: Owner
    generation: int
    spec: Manifest
    cascade: Cascade
    profile: Profile | None
    profile_state: ProfileState
    trouble: str = ""
    told_profile: Profile | None = None
    models_hash: str = ""
    is_held: bool = False
    paused: bool = False
    roll: str | None = None

    @property
    def has_basis(self) -> bool:
        """Whether there is anything to plan with: a profile, or a lone model."""
        return self.profile is not None or len(self.cascade.models) == 1


def read(cascade: Manifest, profile: Manifest | None) -> Given:
    """Return what the two objects say. `profile` is the one that the cascade names, if it exists.

    Fields that this version does not know are passed over: the definitions may be newer than the
    operator for a while. InvalidManifest when the cascade breaks the schema in any other way.
    """
    schema, metadata = resources.schema("hadiscascades"), cascade["metadata"]
    known, unknown = pruning.prune(schema, _bare(cascade))
    if unknown:
        LOG.warning(
            "cascade %s says more than this version knows: %s",
            metadata["name"],
            ", ".join(unknown[:MAX_NAMED]),
        )
    admitted, problems = structural.admit(schema, known)
    if problems:
        raise InvalidManifest(
            f"{metadata['name']}: {'; '.join(str(problem) for problem in problems[:3])}",
            field=problems[0].path or None,
        )
    terms = cascade_specs.load(admitted)
    found, state, trouble = _profile(terms, profile)
    annotations = metadata.get("annotations") or {}
    return Given(
        owner=Owner(metadata["name"], metadata["namespace"], metadata["uid"]),
        generation=int(metadata.get("generation", 1)),
        spec=admitted["spec"],
        cascade=terms,
        profile=found,
        profile_state=state,
        trouble=trouble,
        told_profile=None if state is ProfileState.MODEL_MISSING else found,
        models_hash=weights.models_hash(admitted["spec"]),
        paused=annotations.get(objects.PAUSED_ANNOTATION) == "true",
        roll=annotations.get(objects.ROLL_ANNOTATION),
    )


def profile_name(cascade: Manifest) -> str | None:
    """Return the profile that a cascade names."""
    name = (cascade.get("spec", {}).get("profile") or {}).get("name")
    return None if name is None else str(name)


def hardware_trouble(profile: Profile | None, reported: Collection[str]) -> str:
    """Return what does not fit between a profile's hardware and the workers'; empty when all does.

    A profile that names no hardware fits everywhere.
    """
    if profile is None or not profile.hardware:
        return ""
    others = sorted(name for name in set(reported) if not _is_same(name, profile.hardware))
    if not others:
        return ""
    return (
        f"profile {profile.name} was measured on {profile.hardware}, but workers run on "
        f"{', '.join(others)}; plans are corrected by measured latencies, but measure again on "
        f"this hardware with hadis profile, or name the right one in spec.hardware.product"
    )


def _profile(
    cascade: Cascade, manifest: Manifest | None
) -> tuple[Profile | None, ProfileState, str]:
    name = cascade.profile_name
    if name is None:
        return None, ProfileState.VALID, ""
    if manifest is None:
        return (
            None,
            ProfileState.NOT_FOUND,
            f"HadisProfile {name} does not exist in this namespace; apply it, or name another in "
            "spec.profile.name",
        )
    try:
        found = profiles.read_spec(manifest.get("spec"), name=name, source=f"HadisProfile {name}")
    except InvalidProfile as error:
        return None, ProfileState.NOT_ORDERED, str(error)
    measured = {model.name for model in found.models}
    missing = [model.name for model in cascade.models if model.name not in measured]
    if missing:
        return (
            found,
            ProfileState.MODEL_MISSING,
            f"HadisProfile {name} lacks {', '.join(missing)}; measure them with hadis profile, or "
            "remove them from spec.models; until then plans do without them",
        )
    return found, ProfileState.VALID, ""


def _bare(cascade: Manifest) -> dict[str, Any]:
    """Return the cascade without its status, which is ours and need not be checked again."""
    return {name: value for name, value in cascade.items() if name != "status"}


def _is_same(reported: str, measured: str) -> bool:
    return reported.strip().casefold() == measured.strip().casefold()

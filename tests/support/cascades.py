"""Builders of cascades."""

from dataclasses import replace
from typing import Any

from hadis.terms.cascades import Cascade, DiscriminatorSpec, ModelSource, ModelSpec
from hadis.terms.ids import CascadeName, ModelName
from hadis.terms.profiles import Deliver


def a_model(name: str, *, steps: int = 4) -> ModelSpec:
    return ModelSpec(ModelName(name), ModelSource(path=f"models/{name}"), None, steps, 1.0, 64, 64)


def a_cascade(*models: str, **changes: Any) -> Cascade:
    """A cascade with a 10 s SLO and two workers over the models `small` and `large`."""
    cascade = Cascade(
        name=CascadeName("test"),
        slo_s=10.0,
        models=tuple(a_model(name) for name in models or ("small", "large")),
        discriminator=DiscriminatorSpec(ModelSource(path="discriminator"), "matching"),
        deliver=Deliver.BETTER,
        workers=2,
        profile_name="test",
    )
    return replace(cascade, **changes)

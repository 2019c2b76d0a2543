"""The spec of an admitted HadisCascade to a `Cascade` and back."""

from collections.abc import Mapping
from typing import Any

from hadis.terms.cascades import (
    Cascade,
    DiscriminatorSpec,
    ModelSource,
    ModelSpec,
    OnOverload,
    PinnedPlan,
    PlannerMode,
    PlannerSettings,
    RouterLimits,
)
from hadis.terms.ids import CascadeName, ModelName
from hadis.terms.profiles import Deliver
from hadis.wire import durations

Node = Mapping[str, Any]


def load(manifest: Node) -> Cascade:
    """Return the domain's value of a manifest that passed `structural.admit`."""
    spec, metadata = manifest["spec"], manifest["metadata"]
    discriminator = spec.get("discriminator")
    return Cascade(
        name=CascadeName(metadata["name"]),
        slo_s=durations.seconds(spec["slo"]["latency"]),
        models=tuple(_model(model) for model in spec["models"]),
        router_stage=spec["stages"]["router"] == "Enabled",
        discriminator_stage=spec["stages"]["discriminator"] == "Enabled",
        deliver=Deliver(spec["escalation"]["deliver"]),
        discriminator=None
        if discriminator is None
        else DiscriminatorSpec(_source(discriminator["source"]), discriminator["kind"]),
        hardness_weights={
            name: float(weight)
            for name, weight in spec.get("hardness", {}).get("weights", {}).items()
        },
        workers=int(spec["workers"]["count"]),
        planner=_planner(spec["planner"]),
        limits=_limits(spec["router"]["limits"]),
        profile_name=spec.get("profile", {}).get("name"),
        offline=spec["weights"] == "Offline",
        generation=int(metadata.get("generation", 1)),
    )


def dump(cascade: Cascade) -> dict[str, Any]:
    """Return the spec that `load` turns back into `cascade`."""
    spec: dict[str, Any] = {
        "slo": {"latency": durations.text(cascade.slo_s)},
        "weights": "Offline" if cascade.offline else "Online",
        "models": [_model_spec(model) for model in cascade.models],
        "stages": {
            "router": _switch(cascade.router_stage),
            "discriminator": _switch(cascade.discriminator_stage),
        },
        "escalation": {"deliver": cascade.deliver.value},
        "hardness": {"weights": dict(cascade.hardness_weights)},
        "workers": {"count": cascade.workers},
        "router": {
            "limits": {
                "maxInFlight": cascade.limits.max_in_flight,
                "maxPromptChars": cascade.limits.max_prompt_chars,
                "maxImagesPerRequest": cascade.limits.max_images_per_request,
            }
        },
        "planner": _planner_spec(cascade.planner),
    }
    if cascade.discriminator is not None:
        spec["discriminator"] = {
            "source": _source_spec(cascade.discriminator.source),
            "kind": cascade.discriminator.kind,
        }
    if cascade.profile_name is not None:
        spec["profile"] = {"name": cascade.profile_name}
    return spec


def _model(model: Node) -> ModelSpec:
    width, height = model["size"].split("x")
    return ModelSpec(
        name=ModelName(model["name"]),
        source=_source(model["source"]),
        pipeline=model.get("pipeline"),
        steps=int(model["steps"]),
        guidance=float(model["guidance"]),
        width=int(width),
        height=int(height),
        dtype=model["dtype"],
        loras=tuple(model.get("loras", ())),
    )


def _model_spec(model: ModelSpec) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "name": model.name,
        "source": _source_spec(model.source),
        "steps": model.steps,
        "guidance": model.guidance,
        "size": f"{model.width}x{model.height}",
        "dtype": model.dtype,
    }
    if model.pipeline is not None:
        spec["pipeline"] = model.pipeline
    if model.loras:
        spec["loras"] = list(model.loras)
    return spec


def _source(source: Node) -> ModelSource:
    return ModelSource(
        path=source.get("path"),
        repository=source.get("repository"),
        revision=source.get("revision"),
        overrides=dict(source.get("overrides", {})),
    )


def _source_spec(source: ModelSource) -> dict[str, Any]:
    fields = {
        "path": source.path,
        "repository": source.repository,
        "revision": source.revision,
        "overrides": dict(source.overrides) or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _limits(limits: Node) -> RouterLimits:
    return RouterLimits(
        max_in_flight=int(limits["maxInFlight"]),
        max_prompt_chars=int(limits["maxPromptChars"]),
        max_images_per_request=int(limits["maxImagesPerRequest"]),
    )


def _planner(planner: Node) -> PlannerSettings:
    pinned = planner.get("pinned")
    return PlannerSettings(
        mode=PlannerMode(planner["mode"]),
        pinned=None
        if pinned is None
        else PinnedPlan(
            light=ModelName(pinned["light"]),
            heavy=ModelName(pinned["heavy"]),
            hardness_threshold=float(pinned["hardnessThreshold"]),
            quality_threshold=float(pinned["qualityThreshold"]),
        ),
        interval_s=durations.seconds(planner["interval"]),
        demand_smoothing=float(planner["demandSmoothing"]),
        queue_safety_factor=float(planner["queueSafetyFactor"]),
        max_lanes=int(planner["maxLanes"]),
        on_overload=OnOverload(planner["onOverload"]),
    )


def _planner_spec(planner: PlannerSettings) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "mode": planner.mode.value,
        "interval": durations.text(planner.interval_s),
        "demandSmoothing": planner.demand_smoothing,
        "queueSafetyFactor": planner.queue_safety_factor,
        "maxLanes": planner.max_lanes,
        "onOverload": planner.on_overload.value,
    }
    if planner.pinned is not None:
        spec["pinned"] = {
            "light": planner.pinned.light,
            "heavy": planner.pinned.heavy,
            "hardnessThreshold": planner.pinned.hardness_threshold,
            "qualityThreshold": planner.pinned.quality_threshold,
        }
    return spec


def _switch(enabled: bool) -> str:
    return "Enabled" if enabled else "Disabled"

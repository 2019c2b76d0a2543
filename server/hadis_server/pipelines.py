"""Load diffusers text-to-image pipelines and call them: the only door to diffusers.

Any class that diffusers can load will do. Variants of one folder share one set of weights; each has
a pipeline object and a scheduler of its own, because those carry the state of a call.
"""

import copy
import importlib
import inspect
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import yaml
from diffusers import DiffusionPipeline
from huggingface_hub.errors import HfHubHTTPError
from PIL.Image import Image
from safetensors import SafetensorError

from hadis.errors import ModelUnavailable
from hadis.terms.cascades import ModelSpec
from hadis_server import cancelling, hub

log = logging.getLogger(__name__)

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
SCHEDULER = "scheduler"
LEFT_OUT: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
"""Parts that no pipeline is given, and what its class is told about that."""

# Any class that diffusers loads; diffusers ships no types, and the classes share no more than this.
Pipeline = Any
WeightsKey = tuple[object, ...]
Unwanted = Callable[[], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a batch."""

    prompt: str
    negative_prompt: str | None
    seed: int


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pipeline call made: an image for each row index in `kept`."""

    kept: tuple[int, ...]
    images: tuple[Image, ...]
    step_s: tuple[float, ...]


def weights_key(spec: ModelSpec) -> WeightsKey:
    """Return what two variants must have in common to share their weights."""
    source = spec.source
    overrides = tuple(
        item for item in sorted(source.overrides.items()) if not is_scheduler(item[0])
    )
    return (
        source.path,
        source.repository,
        source.revision,
        overrides,
        spec.dtype,
        spec.pipeline,
        spec.loras,
    )


class Variant:
    """A model of the cascade, ready to be called. One thread at a time; weights may be shared."""

    def __init__(self, spec: ModelSpec, weights: Pipeline, *, serial: int) -> None:
        self.spec = spec
        self.serial = serial
        self.pipeline = copy.copy(weights)
        self.pipeline.scheduler = _scheduler(weights.scheduler, spec)
        self.pipeline.set_progress_bar_config(disable=True)
        self._accepts = frozenset(inspect.signature(type(self.pipeline).__call__).parameters)
        self.can_drop_rows = cancelling.can_drop_rows(self.pipeline)
        self._watched = ["latents"]
        if self.can_drop_rows:
            self._watched = list(type(self.pipeline)._callback_tensor_inputs)

    def generate(
        self,
        rows: Sequence[Row],
        *,
        width: int,
        height: int,
        steps: int | None = None,
        unwanted: Unwanted = tuple,
        pad_to: int = 0,
    ) -> Pass:
        """Make one image a row. `unwanted` names the rows that have become superfluous.

        `pad_to` repeats the last row up to a fixed batch shape. Raises cancelling.BatchAbandoned
        when no row is wanted any more; whatever else the pipeline raises comes through.
        """
        padding = [rows[-1]] * max(0, pad_to - len(rows))
        batch = [*rows, *padding]
        # One CPU generator an image: a shared one would tie a picture to its neighbours.
        generators = [torch.Generator("cpu").manual_seed(row.seed) for row in batch]
        watch = cancelling.Watch(
            unwanted,
            rows=len(rows),
            sliceable=self.can_drop_rows and not pad_to,
            generators=generators,
        )
        arguments: dict[str, Any] = {
            "prompt": [row.prompt for row in batch],
            "num_inference_steps": steps or self.spec.steps,
            "guidance_scale": self.spec.guidance,
            "width": width,
            "height": height,
            "generator": generators,
            "output_type": "pil",
            "callback_on_step_end": watch,
            "callback_on_step_end_tensor_inputs": self._watched,
        }
        if rows[0].negative_prompt is not None:
            arguments["negative_prompt"] = [row.negative_prompt for row in batch]
        known = {name: value for name, value in arguments.items() if name in self._accepts}
        with torch.inference_mode():
            images = self.pipeline(**known).images
        return Pass(tuple(watch.kept), tuple(images[: len(watch.kept)]), tuple(watch.step_s))


def load_weights(spec: ModelSpec, device: torch.device, *, offline: bool = False) -> Pipeline:
    """Load the pipeline of `spec` onto `device`; `offline` takes repositories from the cache only.

    Raises ModelUnavailable naming the source and the fix. Pickled weights and code from a
    repository are refused: both run whatever their author wrote.
    """
    where = spec.source.path or spec.source.repository or ""
    try:
        config = _read_config(spec, offline=offline)
        pipeline = _load(spec, config, where, device, offline=offline)
    except ModelUnavailable:
        raise
    except torch.OutOfMemoryError as error:
        raise too_large(spec, device) from error
    except (
        OSError,
        HfHubHTTPError,
        SafetensorError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ImportError,
        RuntimeError,
    ) as error:
        reason = " ".join(str(error).split())[:400]
        raise ModelUnavailable(
            f"model {spec.name}: {where} does not load: {reason} - check that it is a complete "
            "diffusers pipeline with safetensors weights"
        ) from error
    _refuse_gaps(pipeline, spec, where)
    return pipeline


def too_large(spec: ModelSpec, device: torch.device) -> ModelUnavailable:
    """Return the error of a model that the device's memory has no room for."""
    _, total_bytes = torch.cuda.mem_get_info(device)
    return ModelUnavailable(
        f"model {spec.name} does not fit into the {total_bytes} bytes of {device} beside what is "
        "there already - use a smaller spec.models[].dtype or a GPU with more memory"
    )


def fetch_pipeline(spec: ModelSpec) -> None:
    """Fetch the files of `spec`'s own repository that `load_weights` reads, and load nothing.

    diffusers chooses them, told of the same parts as for loading: what comes from elsewhere, or is
    left out, is not fetched. Whatever the hub raises comes through.
    """
    source = spec.source
    cls = _class(spec, _read_config(spec, offline=False))
    replaced = [part for part in source.overrides if not is_scheduler(part)]
    cls.download(
        source.repository,
        revision=source.revision,
        use_safetensors=True,
        trust_remote_code=False,
        **{**_left_out(cls), **dict.fromkeys(replaced)},
    )


def dtype_for(spec: ModelSpec, device: torch.device) -> torch.dtype:
    """Return the number format to run in: CPUs have no float16 arithmetic worth the name."""
    try:
        dtype = DTYPES[spec.dtype]
    except KeyError:
        raise ModelUnavailable(
            f"model {spec.name}: dtype {spec.dtype!r} is none of {', '.join(DTYPES)}"
        ) from None
    return torch.float32 if device.type == "cpu" and dtype == torch.float16 else dtype


def weights_bytes(pipeline: Pipeline) -> int:
    """Return the memory that the parameters and buffers of a pipeline take, shared ones once."""
    sizes = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for module in modules_of(pipeline)
        for tensor in (*module.parameters(), *module.buffers())
    }
    return sum(sizes.values())


def modules_of(pipeline: Pipeline) -> list[torch.nn.Module]:
    """Return the networks of a pipeline."""
    return [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]


def quiet() -> None:
    """Keep progress bars and prompts (truncation warnings quote them) out of the log."""
    hub.quiet()
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    # Imported here because transformers alone takes seconds, and preloading has paid for it.
    transformers_logging: Any = importlib.import_module("transformers.utils.logging")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _read_config(spec: ModelSpec, *, offline: bool) -> dict[str, Any]:
    source = spec.source
    if source.path is None:
        config = DiffusionPipeline.load_config(
            source.repository, revision=source.revision, local_files_only=offline
        )
        return dict(config)
    folder = Path(source.path)
    index = folder / "model_index.json"
    if not folder.is_dir():
        raise ModelUnavailable(
            f"model {spec.name}: the folder {folder} does not exist; correct "
            "spec.models[].source.path"
        )
    if not index.is_file():
        raise ModelUnavailable(
            f"model {spec.name}: {folder} holds no model_index.json; point "
            "spec.models[].source.path at a complete diffusers pipeline"
        )
    loaded: dict[str, Any] = json.loads(index.read_text(encoding="utf-8"))
    return loaded


def _class(spec: ModelSpec, config: dict[str, Any]) -> Any:
    name = spec.pipeline or config.get("_class_name", "")
    cls = getattr(diffusers, name, None)
    if cls is None:
        raise ModelUnavailable(
            f"model {spec.name}: diffusers {diffusers.__version__} has no pipeline {name!r}; "
            "correct spec.models[].pipeline"
        )
    return cls


def _left_out(cls: Any) -> dict[str, Any]:
    """Return what a pipeline of this class is told to do without."""
    accepted = inspect.signature(cls.__init__).parameters
    return {name: value for name, value in LEFT_OUT.items() if name in accepted}


def _load(
    spec: ModelSpec, config: dict[str, Any], where: str, device: torch.device, *, offline: bool
) -> Pipeline:
    cls = _class(spec, config)
    dtype = dtype_for(spec, device)
    extra = _left_out(cls)
    for part, replacement in spec.source.overrides.items():
        if not is_scheduler(part):
            extra[part] = _component(part, replacement, config, dtype, offline=offline)
    pipeline = cls.from_pretrained(
        where,
        revision=spec.source.revision,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=offline or spec.source.path is not None,
        **extra,
    )
    for lora in spec.loras:
        _add_lora(pipeline, lora, offline=offline)
        # Each by itself: of several that are loaded only the last one is active.
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
    pipeline.to(device)
    _arrange(pipeline, device)
    return pipeline


def _add_lora(pipeline: Pipeline, lora: str, *, offline: bool) -> None:
    if hub.is_folder(lora):
        pipeline.load_lora_weights(lora, use_safetensors=True)
        return
    file = hub.find_lora(lora, offline=offline)
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name, use_safetensors=True)


def _component(
    part: str, where: str, config: dict[str, Any], dtype: torch.dtype, *, offline: bool
) -> Any:
    if not isinstance(config.get(part), list):
        raise ModelUnavailable(
            f"source.overrides.{part}: the pipeline has no such part; it has "
            + ", ".join(name for name, value in config.items() if isinstance(value, list))
        )
    library, name = config[part]
    if library not in ("diffusers", "transformers"):
        raise ModelUnavailable(f"source.overrides.{part}: parts of {library} cannot be replaced")
    cls = getattr(importlib.import_module(library), name)
    return cls.from_pretrained(where, dtype=dtype, use_safetensors=True, local_files_only=offline)


def is_scheduler(part: str) -> bool:
    """Return whether an override is of the scheduler: a class or a setting, and no place."""
    return part == SCHEDULER or part.startswith(f"{SCHEDULER}.")


def _scheduler(shared: Any, spec: ModelSpec) -> Any:
    """Copy the folder's scheduler; `overrides.scheduler` names another class for its settings and
    `overrides.scheduler.KEY` changes one of them."""
    overrides = spec.source.overrides
    if not any(is_scheduler(part) for part in overrides):
        return copy.deepcopy(shared)
    cls: Any = type(shared)
    if SCHEDULER in overrides:
        cls = getattr(diffusers, overrides[SCHEDULER], None)
        if cls is None:
            raise ModelUnavailable(
                f"model {spec.name}: diffusers has no scheduler {overrides[SCHEDULER]!r}; correct "
                "source.overrides.scheduler"
            )
    changed = {
        part.partition(".")[2]: yaml.safe_load(value)
        for part, value in overrides.items()
        if part.startswith(f"{SCHEDULER}.")
    }
    return cls.from_config(shared.config, **changed)


def _arrange(pipeline: Pipeline, device: torch.device) -> None:
    for module in modules_of(pipeline):
        module.eval().requires_grad_(False)
    if device.type != "cuda":
        return  # measured on CPU: channels last neither helps nor harms small UNets
    for name in ("unet", "vae"):
        part = getattr(pipeline, name, None)
        if isinstance(part, torch.nn.Module):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _refuse_gaps(pipeline: Pipeline, spec: ModelSpec, where: str) -> None:
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module) and any(p.is_meta for p in part.parameters()):
            raise ModelUnavailable(
                f"model {spec.name}: {where}/{name} lacks some of its weights; fetch or train it "
                "again"
            )

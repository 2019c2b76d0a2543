"""The body of `POST /v1/images/generations`, read field by field into an `ImageRequest`.

Whatever a client sends is honoured, listed as ignored, or refused naming the field: nothing is
dropped silently. Null means absent.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from hadis.routing.entry import Route
from hadis.terms.cascades import Cascade
from hadis.terms.ids import ModelName
from hadis.wire.generation import MAX_SEED, OutputFormat
from hadis_router.openai_errors import ApiError

QUALITY_ROUTES = {
    "auto": Route.PLANNED,
    "medium": Route.PLANNED,
    "standard": Route.PLANNED,
    "low": Route.LIGHT_ONLY,
    "high": Route.HEAVY_ONLY,
    "hd": Route.HEAVY_ONLY,
    "xhigh": Route.HEAVY_ONLY,
    "max": Route.HEAVY_ONLY,
}
ECHOED_QUALITY = {"auto": "medium", "standard": "medium", "hd": "high"}
HONOURED = frozenset(
    {
        "prompt",
        "model",
        "n",
        "size",
        "quality",
        "output_format",
        "output_compression",
        "background",
        "stream",
        "partial_images",
        "response_format",
        "seed",
        "negative_prompt",
    }
)
MAX_PARTIAL_IMAGES = 3
MAX_LISTED_NAME_CHARS = 64
SIZE = re.compile(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A usable request. `model` is None unless pinned; `size` is None for the models' own."""

    prompt: str
    negative_prompt: str | None
    route: Route
    model: ModelName | None
    images: int
    seed: int | None
    size: tuple[int, int] | None
    quality: str
    output_format: OutputFormat
    output_compression: int
    stream: bool
    partial_images: int
    slo_s: float
    ignored: tuple[str, ...]


def read_json(body: bytes) -> Mapping[str, object]:
    """Parse a body; raises ApiError unless it is one JSON object of finite numbers."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ApiError(400, "The body is nested too deeply", code="invalid_json") from error
    except ValueError as error:
        raise ApiError(400, f"The body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(value, dict):
        raise ApiError(
            400,
            'The body must be a JSON object such as {"prompt": "a red circle"}',
            code="invalid_json",
        )
    return value


def read_request(
    body: Mapping[str, object], cascade: Cascade, *, deadline_header: str | None
) -> ImageRequest:
    """Validate a body against the cascade in force; raises ApiError naming the field."""
    fields = {name: value for name, value in body.items() if value is not None}
    prompt = _prompt(fields, cascade.limits.max_prompt_chars)
    model = _model(fields, cascade)
    quality = _choice(fields, "quality", QUALITY_ROUTES, "auto")
    images = _integer(fields, "n", 1, cascade.limits.max_images_per_request, 1)
    output_format = OutputFormat(_choice(fields, "output_format", list(OutputFormat), "png"))
    stream = _boolean(fields, "stream")
    partial_images = _integer(fields, "partial_images", 0, MAX_PARTIAL_IMAGES, 0)
    if stream and images > 1:
        raise ApiError(400, "A stream carries one image: leave out n or set it to 1", param="n")
    _refuse_urls_and_transparency(fields)
    ignored = [_printable(name) for name in fields if name not in HONOURED]
    if model is not None and QUALITY_ROUTES[quality] is not Route.PLANNED:
        ignored.append("quality")  # the named model decides
    if partial_images and not stream:
        ignored.append("partial_images")
    return ImageRequest(
        prompt=prompt,
        negative_prompt=_negative_prompt(fields, cascade.limits.max_prompt_chars),
        route=Route.PINNED if model is not None else QUALITY_ROUTES[quality],
        model=model,
        images=images,
        seed=_seed(fields, images),
        size=_size(fields, cascade, model),
        quality=ECHOED_QUALITY.get(quality, quality),
        output_format=output_format,
        output_compression=_compression(fields, output_format),
        stream=stream,
        partial_images=partial_images,
        slo_s=_deadline(deadline_header, cascade.slo_s),
        ignored=tuple(sorted(ignored)),
    )


def sizes_of(cascade: Cascade, model: ModelName | None) -> list[tuple[int, int]]:
    """Return the sizes that a request may name: the model's, or those that all models make."""
    if model is not None:
        spec = cascade.model(model)
        return [(spec.width, spec.height)]
    sizes = [{(spec.width, spec.height)} for spec in cascade.models]
    return sorted(set.intersection(*sizes)) if sizes else []


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _printable(name: str) -> str:
    text = name[:MAX_LISTED_NAME_CHARS]
    return text.encode("utf-8", "replace").decode()


def _text(fields: Mapping[str, object], name: str, limit: int) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise ApiError(400, f"{name} must be a text", param=name, code="invalid_type")
    if len(value) > limit:
        raise ApiError(
            400,
            f"{name} has {len(value)} characters; the limit is {limit}",
            param=name,
            code="string_above_max_length",
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ApiError(
            400,
            f"{name} holds half a character (a lone surrogate): send valid Unicode",
            param=name,
        ) from error
    return value


def _prompt(fields: Mapping[str, object], limit: int) -> str:
    if "prompt" not in fields:
        raise ApiError(
            400,
            "prompt is missing: say what to draw",
            param="prompt",
            code="missing_required_parameter",
        )
    prompt = _text(fields, "prompt", limit)
    if not prompt.strip():
        raise ApiError(400, "prompt is empty: say what to draw", param="prompt")
    return prompt


def _negative_prompt(fields: Mapping[str, object], limit: int) -> str | None:
    return _text(fields, "negative_prompt", limit) if "negative_prompt" in fields else None


def _model(fields: Mapping[str, object], cascade: Cascade) -> ModelName | None:
    if "model" not in fields:
        return None
    name = fields["model"]
    if not isinstance(name, str):
        raise ApiError(400, "model must be a text", param="model", code="invalid_type")
    if name == cascade.name:
        return None
    known = [spec.name for spec in cascade.models]
    if name not in known:
        raise unknown_model(name, cascade)
    return ModelName(name)


def unknown_model(name: str, cascade: Cascade) -> ApiError:
    """Return the 404 that lists what there is."""
    known = ", ".join([cascade.name, *(spec.name for spec in cascade.models)])
    return ApiError(
        404,
        f"The model {_printable(name)!r} does not exist; there are: {known}",
        param="model",
        code="model_not_found",
    )


def _choice(
    fields: Mapping[str, object],
    name: str,
    choices: Mapping[str, object] | list[OutputFormat],
    default: str,
) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        raise ApiError(400, f"{name} must be one of: {listed}", param=name)
    return value


def _integer(fields: Mapping[str, object], name: str, least: int, most: int, default: int) -> int:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ApiError(400, f"{name} must be a whole number from {least} to {most}", param=name)
    return value


def _boolean(fields: Mapping[str, object], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise ApiError(400, f"{name} must be true or false", param=name, code="invalid_type")
    return value


def _seed(fields: Mapping[str, object], images: int) -> int | None:
    if "seed" not in fields:
        return None
    seed = _integer(fields, "seed", 0, MAX_SEED, 0)
    if seed + images - 1 > MAX_SEED:
        raise ApiError(
            400,
            f"seed + n - 1 must not exceed {MAX_SEED}: image i has the seed seed + i",
            param="seed",
        )
    return seed


def _size(
    fields: Mapping[str, object], cascade: Cascade, model: ModelName | None
) -> tuple[int, int] | None:
    value = fields.get("size", "auto")
    if value == "auto":
        return None
    served = sizes_of(cascade, model)
    if isinstance(value, str) and SIZE.fullmatch(value):
        width, height = value.split("x")
        if (int(width), int(height)) in served:
            return int(width), int(height)
    listed = ", ".join(["auto", *(f"{width}x{height}" for width, height in served)])
    raise ApiError(400, f"size must be one of: {listed}", param="size")


def _compression(fields: Mapping[str, object], output_format: OutputFormat) -> int:
    compression = _integer(fields, "output_compression", 0, 100, 100)
    if output_format is OutputFormat.PNG and compression != 100:
        raise ApiError(
            400,
            "output_compression applies to jpeg and webp; png is always 100",
            param="output_compression",
        )
    return compression


def _refuse_urls_and_transparency(fields: Mapping[str, object]) -> None:
    if fields.get("response_format", "b64_json") != "b64_json":
        raise ApiError(
            400,
            "response_format must be b64_json: images are not kept, so there is no url",
            param="response_format",
        )
    if fields.get("background", "auto") not in ("auto", "opaque"):
        raise ApiError(
            400,
            "background must be one of: auto, opaque; these models paint no transparency",
            param="background",
        )


def _deadline(header: str | None, slo_s: float) -> float:
    if header is None:
        return slo_s
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise ApiError(
            400,
            "Hadis-Deadline-Seconds must be a positive number of seconds",
            param="Hadis-Deadline-Seconds",
        )
    return min(seconds, slo_s)

"""Pictures as OpenAI's JSON: the whole response, and the events of a stream.

The base64 text is joined into the bytes and never passes through the JSON encoder: of a picture of
two megabytes the encoder would look at every character to escape none.
"""

import base64
import json
import time
from collections.abc import Iterable

from hadis_router import provenance
from hadis_router.cascade_runs import Picture
from hadis_router.generations import Delivered
from hadis_router.image_requests import ImageRequest
from hadis_router.provenance import Context

PATCH = 16  # pixels on a side: one output token a patch, as the transformers of this field count


def response_body(delivered: Delivered, request: ImageRequest, now_s: float) -> bytes:
    """Return the body of a 200."""
    first = delivered.pictures[0]
    head = {
        "created": int(time.time()),
        "background": "opaque",
        "output_format": request.output_format,
        "quality": request.quality,
        "size": f"{first.width}x{first.height}",
        "usage": usage(delivered.pictures),
    }
    parts: list[bytes] = [json.dumps(head).encode()[:-1], b', "data": [']
    for index, picture in enumerate(delivered.pictures):
        told = provenance.tell(picture, delivered.context, now_s)
        parts += [
            b"" if index == 0 else b", ",
            b'{"b64_json": "',
            base64.b64encode(picture.image),
            b'", "hadis": ',
            json.dumps(told).encode(),
            b"}",
        ]
    parts.append(b"]}")
    return b"".join(parts)


def completed_event(
    picture: Picture, context: Context, request: ImageRequest, now_s: float
) -> bytes:
    """Return the last event of a stream that went well."""
    fields: dict[str, object] = {
        "usage": usage([picture]),
        "hadis": provenance.tell(picture, context, now_s),
    }
    return _event("image_generation.completed", picture, request, fields)


def partial_event(picture: Picture, context: Context, request: ImageRequest, now_s: float) -> bytes:
    """Return the event that shows the light image while the heavy one is made."""
    told = provenance.tell(picture, context, now_s, is_partial=True)
    fields: dict[str, object] = {"partial_image_index": 0, "hadis": told}
    return _event("image_generation.partial_image", picture, request, fields)


def error_event(body: bytes) -> bytes:
    """Return the last event of a stream that failed; nested, because a flat one is ignored."""
    return b"event: error\ndata: " + body + b"\n\n"


def usage(pictures: Iterable[Picture]) -> dict[str, object]:
    """Return token counts: text as the models read it, and one image token a patch."""
    listed = list(pictures)
    text = max(picture.text_tokens for picture in listed)
    image = sum(-(-picture.width // PATCH) * -(-picture.height // PATCH) for picture in listed)
    return {
        "input_tokens": text,
        "input_tokens_details": {"text_tokens": text, "image_tokens": 0},
        "output_tokens": image,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": image},
        "total_tokens": text + image,
    }


def _event(kind: str, picture: Picture, request: ImageRequest, fields: dict[str, object]) -> bytes:
    head = {
        "type": kind,
        "created_at": int(time.time()),
        "size": f"{picture.width}x{picture.height}",
        "quality": request.quality,
        "background": "opaque",
        "output_format": request.output_format,
        **fields,
    }
    return b"".join(
        [
            f"event: {kind}\ndata: ".encode(),
            json.dumps(head).encode()[:-1],
            b', "b64_json": "',
            base64.b64encode(picture.image),
            b'"}\n\n',
        ]
    )

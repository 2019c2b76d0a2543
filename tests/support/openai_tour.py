"""A user's afternoon with the official client, as one JSON object on stdout.

Run as a script with the base URL, so that one test can hold several versions of the client to the
same behaviour.
"""

import json
import sys
from typing import Any

import openai


def tour(base_url: str) -> dict[str, Any]:
    """Generate, stream, list models and make mistakes."""
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        plain = client.images.generate(
            prompt="a red circle", size="64x64", quality="auto", extra_body={"seed": 7}
        )
        events = list(
            client.images.generate(
                prompt="a red circle above a blue square", stream=True, partial_images=1
            )
        )
        jpeg = client.images.generate(
            prompt="a red circle", quality="low", output_format="jpeg", output_compression=80
        )
        models = [model.id for model in client.models.list()]
        data: list[Any] = plain.data or []
        usage: Any = plain.usage
        return {
            "version": openai.__version__,
            "plain": {
                "hadis": data[0].hadis,
                "b64_json": data[0].b64_json,
                "size": plain.size,
                "quality": plain.quality,
                "output_format": plain.output_format,
                "total_tokens": usage.total_tokens,
            },
            "jpeg": (jpeg.data or [])[0].b64_json,
            "events": [event.type for event in events],
            "final": events[-1].b64_json,
            "models": models,
            "one_model": client.models.retrieve(models[-1]).id,
            "mistakes": [mistake(client, **arguments) for arguments in MISTAKES],
        }


MISTAKES: list[dict[str, Any]] = [
    {"prompt": ""},
    {"prompt": "x" * 32_001},
    {"prompt": "a red circle", "model": "no-such-model"},
    {"prompt": "a red circle", "size": "123x457"},
    {"prompt": "a red circle", "n": 11},
    {"prompt": "a red circle", "background": "transparent"},
    {"prompt": "a red circle", "response_format": "url"},
    {"prompt": "a red circle", "extra_body": {"seed": -1}},
]


def mistake(client: openai.OpenAI, **arguments: Any) -> dict[str, Any]:
    """Make a request that must fail; tell how the client reports it."""
    try:
        client.images.generate(**arguments)
    except openai.APIStatusError as error:
        body: Any = error.body
        return {
            "status": error.status_code,
            "kind": type(error).__name__,
            "param": error.param,
            "code": error.code,
            "message": body["message"],
            "outcome": body["hadis"]["outcome"],
        }
    raise AssertionError(f"{arguments} was served")


if __name__ == "__main__":
    json.dump(tour(sys.argv[1]), sys.stdout)

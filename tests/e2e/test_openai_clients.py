import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.images import pixels
from support.scenes_fleet import ScenesFleet

pytestmark = pytest.mark.fleet
TOUR = Path(__file__).parents[1] / "support" / "openai_tour.py"
OLDER = Path(sys.prefix) / "openai-2"
WANT_MISTAKES = [
    (400, "BadRequestError", "prompt"),
    (400, "BadRequestError", "prompt"),
    (404, "NotFoundError", "model"),
    (400, "BadRequestError", "size"),
    (400, "BadRequestError", "n"),
    (400, "BadRequestError", "background"),
    (400, "BadRequestError", "response_format"),
    (400, "BadRequestError", "seed"),
]


@pytest.fixture(scope="module", params=["newest", "2.x"])
def told(request: pytest.FixtureRequest, fleet: ScenesFleet) -> dict[str, Any]:
    environment = dict(os.environ)
    if request.param == "2.x":
        if not OLDER.exists():
            pytest.skip(f"the older openai client is not in {OLDER}: run `make test`")
        environment["PYTHONPATH"] = str(OLDER)
    fleet.pin("scenes-xs", "scenes-s", hardness=2.0, quality=1.5)
    try:
        run = subprocess.run(
            [sys.executable, str(TOUR), f"{fleet.url}/v1"],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    finally:
        fleet.unpin()
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["version"].startswith("2.") == (request.param == "2.x")
    return found


def test_a_picture_comes_with_its_provenance(told: dict[str, Any]) -> None:
    plain = told["plain"]
    assert pixels(plain["b64_json"]).shape == (64, 64, 3)
    assert plain["hadis"]["path"] in ("light>heavy", "kept")
    assert plain["hadis"]["model"] in ("scenes-xs", "scenes-s")
    assert plain["hadis"]["unknown_words"] == []
    assert plain["size"] == "64x64"
    assert plain["quality"] != "auto"
    assert plain["output_format"] == "png"
    assert plain["total_tokens"] > 0


def test_the_light_image_is_streamed_while_the_heavy_one_is_made(told: dict[str, Any]) -> None:
    assert told["events"] == ["image_generation.partial_image", "image_generation.completed"]
    assert pixels(told["final"]).shape == (64, 64, 3)


def test_the_output_format_is_honoured(told: dict[str, Any]) -> None:
    assert base64.b64decode(told["jpeg"]).startswith(b"\xff\xd8")


def test_the_cascade_comes_first_among_the_models(told: dict[str, Any]) -> None:
    want = ["scenes", "scenes-xs", "scenes-s", "scenes-m", "scenes-l"]
    assert told["models"] == want
    assert told["one_model"] == "scenes-l"


def test_every_mistake_names_its_field(told: dict[str, Any]) -> None:
    got = [(entry["status"], entry["kind"], entry["param"]) for entry in told["mistakes"]]
    assert got == WANT_MISTAKES
    # What was never a request for an image has no outcome.
    assert all(entry["message"] and entry["outcome"] is None for entry in told["mistakes"])

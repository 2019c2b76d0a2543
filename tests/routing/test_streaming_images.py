"""Streams: the light image as the partial, always an end, errors that the client raises."""

import base64
import json
import urllib.request

import openai
import pytest

from hadis_router.settings import Timings
from support.router_fixtures import BIG, TINY, RouterUnderTest, a_lane
from support.scripted_workers import RunningWorker, picture

ESCALATING = a_lane(2.0, 1.01)


def events(fleet, **options):
    stream = fleet.router.client().images.generate(prompt="a red circle", stream=True, **options)
    return list(stream)


def test_the_light_image_is_the_partial_and_the_heavy_one_completes(fleet):
    fleet.light.renew(scores={"tiny": 0.1})
    fleet.heavy.renew(scores={"big": 0.9})
    fleet.route(ESCALATING)
    partial, completed = events(fleet, partial_images=1, extra_body={"seed": 5})
    assert (partial.type, partial.partial_image_index) == ("image_generation.partial_image", 0)
    assert base64.b64decode(partial.b64_json) == picture("tiny", "a red circle", 5)
    assert (partial.size, partial.quality, partial.output_format) == ("64x64", "medium", "png")
    assert completed.type == "image_generation.completed"
    assert base64.b64decode(completed.b64_json) == picture("big", "a red circle", 5)
    assert completed.usage.total_tokens > 0
    assert completed.hadis["path"] == "light>heavy"
    assert partial.hadis["path"] == "light"
    assert partial.hadis["outcome"] is None
    assert set(partial.hadis) == set(completed.hadis)


def test_an_accepted_light_image_completes_at_once(fleet):
    fleet.route(a_lane(2.0, 0.0))
    [completed] = events(fleet, partial_images=3)
    assert (completed.type, completed.hadis["path"]) == ("image_generation.completed", "light")


def test_partials_come_only_when_asked_for(fleet):
    fleet.route(ESCALATING)
    assert [event.type for event in events(fleet)] == ["image_generation.completed"]
    assert len(events(fleet, partial_images=0)) == 1


def test_a_failure_in_a_stream_raises_in_the_client(fleet):
    fleet.route(a_lane(2.0, 0.0))
    fleet.light.script.faults[:] = ["error"]
    fleet.heavy.script.faults[:] = ["error"]
    with pytest.raises(openai.APIError) as failed:
        events(fleet)
    assert failed.value.body["hadis"] == {
        "outcome": "failed",
        "request_id": failed.value.body["hadis"]["request_id"],
        "status": 503,
        "retry_after_s": 1,
    }


def test_a_request_that_is_not_let_in_gets_a_plain_error(fleet):
    with pytest.raises(openai.BadRequestError):
        events(fleet, n=2)
    fleet.light.renew(latency_s={"tiny": 30.0, "big": 30.0})
    fleet.router.route([])
    with pytest.raises(openai.InternalServerError) as refused:
        events(fleet)
    assert refused.value.status_code == 503


def test_a_stream_on_the_wire_is_events_with_data_and_heartbeats_as_comments(tmp_path):
    worker = RunningWorker("w0")
    router = RouterUnderTest(folder=tmp_path, timings=Timings(heartbeat_s=0.05))
    try:
        worker.renew(latency_s={"tiny": 0.3, "big": 0.3})
        router.route([(worker, TINY)], a_lane(2.0, 0.0))
        request = urllib.request.Request(
            f"{router.url}/v1/images/generations",
            data=json.dumps({"prompt": "a red circle", "stream": True}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            blocks = response.read().decode().split("\n\n")
        *beats, last, rest = blocks
        assert rest == ""
        assert len(beats) >= 2
        assert set(beats) == {": hb"}
        event, data = last.split("\n")
        assert event == "event: image_generation.completed"
        assert json.loads(data.removeprefix("data: "))["hadis"]["model"] == "tiny"
    finally:
        router.stop()
        worker.stop()


async def test_the_async_client_streams_as_well(fleet):
    fleet.route(ESCALATING, version=fleet.router.version + 1)
    async with fleet.router.async_client() as client:
        stream = await client.images.generate(prompt="a red circle", stream=True, partial_images=1)
        types = [event.type async for event in stream]
    assert types == ["image_generation.partial_image", "image_generation.completed"]


def test_a_heavy_model_assigned_nowhere_streams_from_whoever_has_it(fleet):
    fleet.router.route([(fleet.light, TINY), (fleet.heavy, TINY)], a_lane(-1.0))
    [completed] = events(fleet)
    assert completed.hadis["model"] == BIG

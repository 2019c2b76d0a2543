"""The main way: a prompt in, an image and its provenance out, by the unmodified openai client."""

import base64

import pytest
from support.router_fixtures import BIG, TINY, RouterUnderTest, a_lane
from support.scripted_workers import RunningWorker, picture


@pytest.fixture
def fleet(tmp_path):
    light, heavy = RunningWorker("w0"), RunningWorker("w1")
    router = RouterUnderTest(folder=tmp_path)
    router.route([(light, TINY), (heavy, BIG)])
    yield router, light, heavy
    router.stop()
    light.stop()
    heavy.stop()


def test_a_prompt_becomes_an_image_with_provenance(fleet):
    router, _, _ = fleet
    answer = router.client().images.generate(prompt="a red circle", extra_body={"seed": 7})
    [image] = answer.data
    told = image.hadis
    assert base64.b64decode(image.b64_json) == picture(told["model"], "a red circle", told["seed"])
    assert told["seed"] == 7

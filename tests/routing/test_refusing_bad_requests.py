"""Bad input of every kind: one clear error in OpenAI's shape that names the field and the fix."""

import json
import socket

import openai
import pytest

from hadis_router.settings import Timings
from support.router_fixtures import RouterUnderTest, a_cascade, call

GOOD = {"prompt": "a red circle"}
MODELS = "tiny, big"

BAD_FIELDS = [
    ({"prompt": None}, "prompt", "missing"),
    ({"prompt": ""}, "prompt", "empty"),
    ({"prompt": " \n\t "}, "prompt", "empty"),
    ({"prompt": 7}, "prompt", "text"),
    ({"prompt": ["a"]}, "prompt", "text"),
    ({"prompt": {"text": "a"}}, "prompt", "text"),
    ({"prompt": "x" * 32_001}, "prompt", "32000"),
    ({"prompt": "a \ud800 b"}, "prompt", "surrogate"),
    ({"model": 3}, "model", "text"),
    ({"n": 0}, "n", "1 to 10"),
    ({"n": 11}, "n", "1 to 10"),
    ({"n": -1}, "n", "1 to 10"),
    ({"n": 1.5}, "n", "whole"),
    ({"n": "2"}, "n", "whole"),
    ({"n": True}, "n", "whole"),
    ({"n": 10**30}, "n", "1 to 10"),
    ({"size": "1024x1024"}, "size", "64x64"),
    ({"size": "big"}, "size", "64x64"),
    ({"size": "64X64"}, "size", "64x64"),
    ({"size": 64}, "size", "64x64"),
    ({"size": "0x64"}, "size", "64x64"),
    ({"quality": "best"}, "quality", "auto"),
    ({"quality": 1}, "quality", "auto"),
    ({"quality": []}, "quality", "auto"),
    ({"output_format": "gif"}, "output_format", "webp"),
    ({"output_compression": 101}, "output_compression", "100"),
    ({"output_compression": 50}, "output_compression", "jpeg"),
    ({"background": "transparent"}, "background", "opaque"),
    ({"background": []}, "background", "opaque"),
    ({"response_format": "url"}, "response_format", "b64_json"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"stream": True, "n": 2}, "n", "one image"),
    ({"partial_images": 4}, "partial_images", "0 to 3"),
    ({"seed": -1}, "seed", "0 to 4294967295"),
    ({"seed": 2**32}, "seed", "4294967295"),
    ({"seed": 1.0}, "seed", "whole"),
    ({"seed": "7"}, "seed", "whole"),
    ({"seed": 2**32 - 1, "n": 2}, "seed", "seed + n - 1"),
    ({"negative_prompt": 5}, "negative_prompt", "text"),
]


@pytest.mark.parametrize(("change", "want_param", "want_word"), BAD_FIELDS)
def test_a_bad_field_is_named_with_what_would_do(fleet, change, want_param, want_word):
    status, told, heads = post(fleet, json.dumps({**GOOD, **change}).encode())
    assert status == 400
    error = told["error"]
    assert set(error) == {"message", "type", "param", "code", "hadis"}
    assert (error["type"], error["param"]) == ("invalid_request_error", want_param)
    assert want_word in error["message"]
    assert error["hadis"]["outcome"] is None
    assert heads["x-request-id"] == error["hadis"]["request_id"]


BAD_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"a red circle"',
    b"prompt=a+red+circle",
    b'{"prompt": "a", }',
    b"{'prompt': 'a'}",
    b'{"prompt": "a", "seed": NaN}',
    b'{"prompt": "a", "seed": Infinity}',
    b'{"prompt": "\xff\xfe"}',
    b"\x00\x01\x02",
    b"[" * 100_000,
    b'{"prompt": "a", "n": ' + b"9" * 10_000 + b"}",
    '{"prompt": "ein Kreis"}'.encode("utf-16"),
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:24]))
def test_what_is_not_a_json_object_is_refused(fleet, body):
    status, told, _ = post(fleet, body)
    assert status == 400
    assert told["error"]["message"]
    assert told["error"]["code"] in ("invalid_json", "invalid_value")


def test_unusual_prompts_are_served(fleet):
    for prompt in ("x" * 32_000, "ein großer Würfel 🎲", "a\x00b", "\u202e", "שלום", "<script>"):
        status, told, _ = post(fleet, json.dumps({"prompt": prompt}).encode())
        assert status == 200, told


def test_null_fields_are_absent_fields(fleet):
    nulls = dict.fromkeys(
        ("model", "n", "size", "quality", "stream", "seed", "user", "output_format", "background")
    )
    status, told, _ = post(fleet, json.dumps({**GOOD, **nulls}).encode())
    assert status == 200
    assert told["data"][0]["hadis"]["ignored"] == []


def test_an_unknown_model_is_a_404_that_lists_what_there_is(fleet):
    error = fleet.refused(model="dall-e-3")
    assert isinstance(error, openai.NotFoundError)
    assert (error.code, error.param) == ("model_not_found", "model")
    assert "pair, tiny, big" in error.message
    with pytest.raises(openai.NotFoundError):
        fleet.router.client().models.retrieve("dall-e-3")


def test_an_unknown_place_and_a_wrong_method_answer_in_the_same_shape(fleet):
    url = fleet.router.url
    status, told, _ = call("GET", f"{url}/v1/engines")
    assert (status, told["error"]["code"]) == (404, "not_found")
    status, told, heads = call("GET", f"{url}/v1/images/generations")
    assert (status, told["error"]["code"]) == (405, "method_not_allowed")
    assert "POST" in heads["allow"]
    status, told, _ = call("POST", f"{url}/v1/models", b"{}")
    assert (status, told["error"]["type"]) == (405, "invalid_request_error")
    status, told, _ = call("POST", f"{url}/v1/images/edits", b"{}")
    assert (status, told["error"]["code"]) == (404, "not_found")


def test_a_body_beyond_the_limit_is_refused(fleet):
    status, told, _ = post(fleet, b'{"prompt": "' + b"x" * 2_000_000 + b'"}')
    assert (status, told["error"]["code"]) == (413, "request_too_large")


def test_a_body_that_never_comes_whole_is_not_waited_for(tmp_path):
    router = RouterUnderTest(folder=tmp_path, timings=Timings(body_s=0.2))
    try:
        host, port = router.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as half:
            half.sendall(
                b"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"
            )
            with half.makefile("rb") as answer:
                assert answer.readline().startswith(b"HTTP/1.1 408")
    finally:
        router.stop()


@pytest.mark.parametrize("value", ["", "soon", "-1", "0", "nan", "inf"])
def test_a_deadline_that_is_no_time_is_refused(fleet, value):
    status, told, _ = post(fleet, json.dumps(GOOD).encode(), {"Hadis-Deadline-Seconds": value})
    assert (status, told["error"]["param"]) == (400, "Hadis-Deadline-Seconds")


def test_bad_requests_are_no_demand_and_have_no_outcome(fleet):
    def counts():
        return fleet.router.status()["demand"]["counts"]

    before = counts()
    post(fleet, b"{}")
    post(fleet, b'{"prompt": "a", "n": 99}')
    after = counts()
    assert after["arrived"] == before["arrived"]
    assert after["outcomes"] == before["outcomes"]


def test_without_a_valid_key_nothing_is_served(tmp_path):
    from hadis_serving.keys import ApiKeys

    router = RouterUnderTest(a_cascade(), folder=tmp_path, keys=ApiKeys(frozenset({"secret-key"})))
    try:
        with pytest.raises(openai.AuthenticationError) as refused:
            router.client(api_key="another").models.list()
        assert refused.value.code == "invalid_api_key"
        assert router.client(api_key="secret-key").models.list().data[0].id == "pair"
        assert call("GET", f"{router.url}/v1/status")[0] == 401
        assert call("GET", f"{router.url}/healthz")[0] == 200
        assert call("GET", f"{router.url}/")[0] == 200
    finally:
        router.stop()


def post(fleet, body, headers=None):
    heads = {"content-type": "application/json", **(headers or {})}
    return call("POST", f"{fleet.router.url}/v1/images/generations", body, heads)

"""The page, its examples, and the slider that only this machine's own page may move."""

import asyncio
import json
import threading
import urllib.request

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from hadis_serving import ports, servers
from support.router_fixtures import RouterUnderTest, call


class LoadGenerator:
    """The endpoint of a load generator."""

    def __init__(self):
        self.rate = 0.0
        listener = ports.bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{ports.port_of(listener)}"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

        async def load(request):
            if request.method == "PUT":
                self.rate = (await request.json())["rate"]
            return JSONResponse({"rate": self.rate})

        app = Starlette(routes=[Route("/load", load, methods=["GET", "PUT"])])
        run = servers.serve([servers.Listener(app, listener, "load")], self._stop, grace_s=1)
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(run))
        self._thread.start()

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    generator = LoadGenerator()
    folder = tmp_path_factory.mktemp("cascade")
    router = RouterUnderTest(folder=folder, load_url=generator.url)
    yield router, generator, folder
    router.stop()
    generator.stop()


def test_the_page_and_its_parts_are_served(page):
    router, _, _ = page
    with urllib.request.urlopen(f"{router.url}/", timeout=10) as response:
        assert response.headers["content-type"].startswith("text/html")
        assert b"HADIS" in response.read()
    status, _, heads = call("GET", f"{router.url}/app.js")
    assert (status, heads["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert heads["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/../settings.py", "/__init__.py", "/%2e%2e/settings.py", "/page/app.js"]
)
def test_nothing_but_the_page_is_served(page, path):
    router, _, _ = page
    assert call("GET", f"{router.url}{path}")[0] == 404


def test_examples_come_from_beside_the_cascade_file(page):
    router, _, folder = page
    url = f"{router.url}/playground/examples"
    assert call("GET", url)[1] == {"cascade": "pair", "about": "", "groups": []}
    groups = [{"title": "Easy", "prompts": ["a red circle"]}]
    told = {"cascade": "pair", "about": "Shapes.", "groups": groups}
    (folder / "examples.json").write_text(json.dumps({"about": "Shapes.", "groups": groups}))
    assert call("GET", url)[1] == told
    (folder / "examples.json").write_text("{")
    status, error, _ = call("GET", url)
    assert status == 500
    assert "examples.json" in error["error"]["message"]
    (folder / "examples.json").unlink()


def test_the_slider_reaches_the_load_generator(page):
    router, generator, _ = page
    url = f"{router.url}/playground/load"
    heads = {"origin": router.url, "sec-fetch-site": "same-origin"}
    assert call("PUT", url, b'{"rate": 3.5}', heads)[1] == {"rate": 3.5}
    assert generator.rate == 3.5
    assert call("GET", url)[1] == {"rate": 3.5}


@pytest.mark.parametrize(
    "heads",
    [
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "elsewhere.example"},
        {"host": "elsewhere.example:80", "origin": "http://elsewhere.example:80"},
    ],
)
def test_another_site_cannot_move_the_slider(page, heads):
    router, generator, _ = page
    generator.rate = 1.0
    status, told, _ = call("PUT", f"{router.url}/playground/load", b'{"rate": 99}', heads)
    assert (status, told["error"]["type"]) == (403, "invalid_request_error")
    assert generator.rate == 1.0


def test_without_a_load_generator_there_is_no_slider(tmp_path):
    router = RouterUnderTest(folder=tmp_path)
    try:
        assert call("GET", f"{router.url}/playground/load")[0] == 404
    finally:
        router.stop()


def test_a_load_generator_that_is_gone_is_a_503(tmp_path):
    router = RouterUnderTest(folder=tmp_path, load_url="http://127.0.0.1:9")
    try:
        status, told, _ = call("GET", f"{router.url}/playground/load")
        assert (status, told["error"]["code"]) == (503, "service_unavailable")
    finally:
        router.stop()

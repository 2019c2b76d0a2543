"""The playground: its files, its examples, and its slider's way to the load generator.

The slider starts real load, so it answers only to a browser on this machine that shows this very
page: neither to other machines nor to other sites open in the same browser.
"""

import json
from pathlib import Path

import aiohttp
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from hadis_router import playground
from hadis_router.exchanges import JSON, is_local, read_body
from hadis_router.openai_errors import ApiError
from hadis_router.service import Router
from hadis_router.settings import Timings
from hadis_serving import ports

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".woff2": "font/woff2",
}
HEADS = {
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
RELAY_S = 5.0
LOAD_BODY = Timings(max_body_bytes=4096, body_s=RELAY_S)
EXAMPLES = "examples.json"


def routes(router: Router) -> list[Route]:
    """Return a route for each file of the page, and the two that its script calls."""
    found = _files(playground.directory())
    listed = [_file_route(f"/{name}", file) for name, file in found.items()]
    if "index.html" in found:
        listed.append(_file_route("/", found["index.html"]))
    return [
        *listed,
        Route("/playground/examples", _examples(router)),
        Route("/playground/load", _load(router), methods=["GET", "PUT"]),
    ]


def _files(directory: Path) -> dict[str, Path]:
    if not directory.is_dir():
        return {}
    return {
        file.relative_to(directory).as_posix(): file
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file.suffix in KINDS
    }


def _file_route(path: str, file: Path) -> Route:
    async def serve(_request: Request) -> Response:
        return FileResponse(file, media_type=KINDS[file.suffix], headers=HEADS)

    return Route(path, serve)


def _examples(router: Router):  # type: ignore[no-untyped-def]
    async def examples(_request: Request) -> Response:
        file = router.settings.cascade_file.parent / EXAMPLES
        told: dict[str, object] = {"cascade": router.cascade.name, "about": "", "groups": []}
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            read = {}
        except (OSError, ValueError) as error:
            raise ApiError(500, f"{EXAMPLES} beside the cascade file: {error}") from error
        if isinstance(read, dict):
            told |= {name: read[name] for name in ("about", "groups") if name in read}
        return Response(json.dumps(told), media_type=JSON)

    return examples


def _load(router: Router):  # type: ignore[no-untyped-def]
    async def load(request: Request) -> Response:
        url = router.settings.load_url
        if url is None:
            raise ApiError(404, "No load generator runs here; `hadis up` starts one")
        _require_own_page(request)
        content: bytes | None = None
        if request.method == "PUT":
            content = await read_body(request.receive, request.headers, LOAD_BODY)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=RELAY_S)) as session,
                session.request(
                    request.method, f"{url}/load", data=content, headers={"content-type": JSON}
                ) as response,
            ):
                return Response(await response.read(), response.status, media_type=JSON)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(
                503, "The load generator does not answer", headers={"retry-after": "2"}
            ) from error

    return load


def _require_own_page(request: Request) -> None:
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    # A foreign site whose name was made to point here still sends its own name as the host.
    is_own_host = ports.is_loopback(name.strip("[]"))
    origin = request.headers.get("origin")
    is_own_origin = origin is None or origin.partition("://")[2] == host
    site = request.headers.get("sec-fetch-site", "same-origin")
    if not (is_local(request.scope) and is_own_host and is_own_origin):
        raise ApiError(403, "The load slider answers only to the playground on this machine")
    if site not in ("same-origin", "none"):
        raise ApiError(403, "The load slider answers only to the playground on this machine")

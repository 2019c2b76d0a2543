"""A small Kubernetes API: enough of objects, versions and refusals for the operator's own requests.

It knows no schema and no controllers. Applying merges, and a write that changes nothing makes no
new version, as on a real server. Who set which field is booked, lists as a whole. What was written
is on record; `down`, `silent` and `refusals` stand in for outages, `forbidden` for namespaces in
which the operator has no Role (empty: in the cluster). Refusals are by kind, or by kind and method
of HTTP (`jobs/DELETE`), or by kind and name (`services/photos`). Writes of a kind in `hanging` are
never answered.
"""

import asyncio
import copy
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio import client

from hadis_operator import kube
from hadis_operator.kube import Kube
from hadis_operator.objects import Manifest
from hadis_serving import ports

Place = tuple[str, str, str]
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """One request that changed something: `apply`, `merge`, `create`, `replace`, `delete`."""

    verb: str
    plural: str
    name: str
    part: str = ""
    manager: str = ""


@dataclass
class ApiServer:
    """The objects of a pretended cluster. `silent` makes it accept requests and never answer."""

    objects: dict[Place, Manifest] = field(default_factory=dict)
    books: dict[Place, dict[tuple[str, str], set[Path]]] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    forbidden: set[str] = field(default_factory=set)
    down: bool = False
    silent: bool = False
    requests: int = 0
    version: int = 100
    url: str = ""

    def put(self, *manifests: Manifest) -> None:
        """Put objects there without any request."""
        for manifest in manifests:
            kind = kube.kind_of(manifest)
            self._keep(kind.plural, copy.deepcopy(manifest))

    def edit(
        self,
        plural: str,
        name: str,
        change: Callable[[Manifest], object],
        namespace: str = "images",
    ) -> None:
        """Change an object as somebody does by hand."""
        place = (plural, namespace, name)
        edited = copy.deepcopy(self.objects[place])
        change(edited)
        self._book(place, ("kubectl-edit", "Update"), self.objects[place], edited)
        self._keep(plural, edited)

    def remove(self, plural: str, name: str, namespace: str = "images") -> None:
        del self.objects[(plural, namespace, name)]
        self.books.pop((plural, namespace, name), None)
        self.version += 1

    def get(self, plural: str, name: str, namespace: str = "images") -> Manifest:
        return self.objects[(plural, namespace, name)]

    def of(self, plural: str) -> list[Manifest]:
        return [live for place, live in sorted(self.objects.items()) if place[0] == plural]

    def kube(self) -> Kube:
        return Kube(client.ApiClient(client.Configuration(host=self.url)))

    def written(self) -> list[tuple[str, str]]:
        """Return verb and name of each write, in order."""
        return [(write.verb, f"{write.plural}/{write.name}") for write in self.writes]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if self.silent:
            await asyncio.sleep(3600)
        if self.down:
            return web.Response(status=503, text="away")
        parts = request.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        if not parts:
            names = [{"name": kind.plural} for kind in (kube.CASCADES, kube.PROFILES)]
            return web.json_response({"resources": names})
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        if namespace in self.forbidden:
            return _refusal(403, f"it may not be done in the namespace {namespace!r}")
        plural, name, part = (*parts, "", "")[:3]
        if request.method != "GET" and plural in self.hanging:
            await asyncio.sleep(3600)
        for what in (plural, f"{plural}/{request.method}", f"{plural}/{name}"):
            if request.method != "GET" and what in self.refusals:
                status, message = self.refusals[what]
                return _refusal(status, message)
        if request.method == "GET":
            return self._read(plural, namespace, name, request)
        return await self._write(request, plural, namespace, name, part)

    def _read(
        self, plural: str, namespace: str, name: str, request: web.Request
    ) -> web.StreamResponse:
        is_metadata_only = "PartialObjectMetadata" in request.headers["accept"]
        if name:
            live = self.objects.get((plural, namespace, name))
            if live is None:
                return _refusal(404, f"{name} not found")
            return web.json_response({"metadata": live["metadata"]} if is_metadata_only else live)
        wanted = dict(
            pair.split("=") for pair in request.query.get("labelSelector", "").split(",") if pair
        )
        items = [
            live
            for (kind, inside, _), live in sorted(self.objects.items())
            if kind == plural
            and namespace in ("", inside)
            and wanted.items() <= live["metadata"].get("labels", {}).items()
        ]
        if is_metadata_only:
            items = [{"metadata": live["metadata"]} for live in items]
        metadata = {"resourceVersion": str(self.version)}
        return web.json_response({"metadata": metadata, "items": items})

    async def _write(
        self, request: web.Request, plural: str, namespace: str, name: str, part: str
    ) -> web.StreamResponse:
        body = json.loads(await request.read())
        manager = request.query.get("fieldManager", "")
        name = name or body["metadata"]["name"]
        place = (plural, namespace, name)
        live = self.objects.get(place)
        uid = body.get("metadata", {}).get("uid") or body.get("preconditions", {}).get("uid")
        if live is not None and uid and live["metadata"]["uid"] != uid:
            if request.method == "PATCH":
                return _refusal(422, "metadata.uid: Invalid value: field is immutable")
            return _refusal(409, "Precondition failed: the UID is another one")
        match request.method:
            case "POST":
                if live is not None:
                    return _refusal(409, f"{name} already exists")
                verb, new = "create", body
            case "PUT":
                version = body["metadata"].get("resourceVersion")
                if live is None or live["metadata"]["resourceVersion"] != version:
                    return _refusal(409, "it has been modified")
                verb, new = "replace", body
            case "DELETE":
                if live is None:
                    return _refusal(404, f"{name} not found")
                self.writes.append(Write("delete", plural, name))
                self.remove(plural, name, namespace)
                return web.json_response({"status": "Success"})
            case _:
                verb = "apply" if "apply" in request.content_type else "merge"
                if verb == "apply":
                    if live is None and uid:
                        return _refusal(409, "uid mismatch: no existing object was found")
                    if request.query["force"] != "true" and self._conflicts(place, body):
                        return _refusal(409, "Apply failed with conflicts")
                elif live is None:
                    return _refusal(404, f"{name} not found")
                if part == "status":
                    assert live is not None
                    new = {**live, "status": body["status"]}
                else:
                    new = _merged(live or {}, body)
        self.writes.append(Write(verb, plural, name, part, manager))
        if not part:
            way = (manager, "Apply" if verb == "apply" else "Update")
            self._book(place, way, live or {}, new, body if verb == "apply" else None)
        if new != live:
            new.setdefault("metadata", {})["namespace"] = namespace
            self._keep(plural, new)
        return web.json_response(self.objects[place])

    def _conflicts(self, place: Place, applied: Manifest) -> bool:
        """Whether fields would change that another manager has set, as all of `put` count for."""
        there, wanted = _leaves(self.objects.get(place, {})), _leaves(applied)
        return any(path in there and there[path] != value for path, value in wanted.items())

    def _book(
        self,
        place: Place,
        way: tuple[str, str],
        before: Manifest,
        after: Manifest,
        applied: Manifest | None = None,
    ) -> None:
        """Note who owns which field: whoever changes one takes it from everybody else."""
        old, new = _leaves(before), _leaves(after)
        changed = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
        books = self.books.setdefault(place, {})
        for other in books.keys() - {way}:
            books[other] -= changed
        if applied is None:
            books[way] = (books.get(way, set()) | changed) & new.keys()
        else:
            books[way] = set(_leaves(applied))

    def _keep(self, plural: str, manifest: Manifest) -> None:
        self.version += 1
        metadata = manifest["metadata"]
        place = (plural, metadata.get("namespace", ""), metadata["name"])
        if place in self.books:
            metadata["managedFields"] = [
                {"manager": manager, "operation": operation, "fieldsV1": _fields(paths)}
                for (manager, operation), paths in self.books[place].items()
            ]
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata["resourceVersion"] = str(self.version)
        before = self.objects.get(place, {})
        changed = before.get("spec") != manifest.get("spec")
        metadata["generation"] = metadata.get("generation", 0) + (1 if changed and before else 0)
        self.objects[place] = manifest


@asynccontextmanager
async def an_api_server() -> AsyncIterator[ApiServer]:
    """A server on a free port of loopback."""
    server = ApiServer()
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    socket = ports.bind("127.0.0.1", 0)
    await web.SockSite(runner, socket).start()
    server.url = f"http://127.0.0.1:{ports.port_of(socket)}"
    try:
        yield server
    finally:
        await runner.cleanup()


UNBOOKED = ("name", "namespace", "uid", "resourceVersion", "generation", "managedFields")


def _leaves(manifest: Manifest) -> dict[Path, Any]:
    """The fields that have an owner, with their values; lists and empty objects are one field."""

    def below(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
        if isinstance(value, dict) and value:
            for name, member in value.items():
                yield from below(member, (*path, name))
        else:
            yield path, value

    metadata = {k: v for k, v in manifest.get("metadata", {}).items() if k not in UNBOOKED}
    owned = {k: v for k, v in manifest.items() if k not in ("apiVersion", "kind", "status")}
    return dict(below({**owned, "metadata": metadata}, ()))


def _fields(paths: set[Path]) -> Manifest:
    fields: Manifest = {}
    for path in sorted(paths):
        node = fields
        for name in path:
            node = node.setdefault(f"f:{name}", {})
    return fields


def _merged(live: Any, wanted: Any) -> Any:
    if not isinstance(live, dict) or not isinstance(wanted, dict):
        return copy.deepcopy(wanted)
    return {**live, **{name: _merged(live.get(name), value) for name, value in wanted.items()}}


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message, "reason": "X"}, status=status)

"""The one door to the Kubernetes API: plain objects in and out, every request with a time-out.

Built on the asyncio client of `kubernetes`, of which only configuration, TLS and transport are
used: its models would cost a few hundred bytes and microseconds for every field of every pod. What
the API or the way to it answers becomes one of the errors below, and nothing is tried twice here:
the loops that call it come back anyway.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
from kubernetes.aio import client, config

from hadis.errors import HadisError, InvalidInput, NeverRetry, RetryLater
from hadis_operator.objects import Manifest

TIMEOUT_S = 4.0
"""Of a request. Below what lies between the renew deadline and the end of a lease (5 s), so that no
write of a deposed leader can arrive after its successor has begun."""
PAGE = 100
"""Objects a page of a list. Reading a page keeps everything else waiting."""
Rest = Callable[[], Awaitable[None]]
MAX_WORDS_CHARS = 300
_JSON = "application/json"
_ONE_METADATA_ONLY = f"{_JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_LIST_METADATA_ONLY = f"{_JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ClusterUnreachable(RetryLater):
    """The API did not answer in time (`status` is None), or answered that it cannot at present.

    A status of 500 and above may be about one object alone: a webhook that does not answer, or a
    field that the API does not know. `words` are the API's own.
    """

    def __init__(self, message: str, *, status: int | None = None, words: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.words = words or message


class ClusterRefused(NeverRetry):
    """The API understood and refused; `status` is the HTTP status, `reason` its one word.

    `words` are the API's own.
    """

    def __init__(self, message: str, *, status: int, reason: str, words: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.words = words or message


class NotThere(ClusterRefused):
    """404: the object, or its kind, does not exist."""


class Conflicting(ClusterRefused):
    """409: it exists already, or has changed since it was read."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object and where the API keeps it."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` of manifests."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, *, part: str = "") -> str:
        """Return the path of an object, of a collection (no `name`) or of a subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        places = [root]
        if namespace is not None:
            places.append(f"namespaces/{namespace}")
        places.append(self.plural)
        places += [piece for piece in (name, part) if piece]
        return "/".join(places)


CASCADES = Kind("hadis.dev", "v1alpha1", "HadisCascade", "hadiscascades")
PROFILES = Kind("hadis.dev", "v1alpha1", "HadisProfile", "hadisprofiles")
DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments")
PODS = Kind("", "v1", "Pod", "pods")
SERVICES = Kind("", "v1", "Service", "services")
CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps")
CLAIMS = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SECRETS = Kind("", "v1", "Secret", "secrets")
EVENTS = Kind("", "v1", "Event", "events")
JOBS = Kind("batch", "v1", "Job", "jobs")
BUDGETS = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
POLICIES = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
LEASES = Kind("coordination.k8s.io", "v1", "Lease", "leases")

OWN_KINDS = (DEPLOYMENTS, PODS, SERVICES, CONFIG_MAPS, CLAIMS, JOBS, BUDGETS, POLICIES)
"""What the operator makes, and the pods that come of it."""
_BY_NAME = {
    (kind.api_version, kind.kind): kind for kind in (CASCADES, PROFILES, LEASES, EVENTS, *OWN_KINDS)
}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """Return the kind of a manifest; KeyError for one that the operator has nothing to do with."""
    return _BY_NAME[(manifest["apiVersion"], manifest["kind"])]


async def _no_rest() -> None:
    """Go on at once."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to write an object: the verb that it is counted under, and its request."""

    verb: str
    method: str
    content_type: str = _JSON
    query: Mapping[str, str] = field(default_factory=dict)


_APPLY = _Way("apply", "PATCH", "application/apply-patch+yaml", {"force": "true"})
_APPLY_NEW = _Way("apply", "PATCH", "application/apply-patch+yaml", {"force": "false"})
_MERGE = _Way("merge", "PATCH", "application/merge-patch+json")
_CREATE = _Way("create", "POST")
_REPLACE = _Way("replace", "PUT")


class Kube:
    """Requests to one API server. Open it with `connect`, close it with `close`."""

    def __init__(self, api: Any, *, wrote: Callable[[str, str], None] | None = None) -> None:
        self._api = api
        self._wrote = wrote or (lambda _kind, _verb: None)

    @classmethod
    async def connect(
        cls, kubeconfig: str | None = None, *, wrote: Callable[[str, str], None] | None = None
    ) -> Self:
        """Return a connection by `kubeconfig`, or, without one, by the pod's service account.

        `wrote` is told kind and verb of every request that changed something. InvalidInput when
        there are no credentials.
        """
        settings: Any = client.Configuration()
        loaders: Any = config
        try:
            if kubeconfig:
                await loaders.load_kube_config(kubeconfig, client_configuration=settings)
            else:
                loaders.load_incluster_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise InvalidInput(
                f"no way to the Kubernetes API: {error}; run in a pod with a service account, or "
                "give --kubeconfig FILE",
                field="kubeconfig",
            ) from error
        return cls(client.ApiClient(settings), wrote=wrote)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def get(
        self, kind: Kind, namespace: str, name: str, *, metadata_only: bool = False
    ) -> Manifest:
        """Return an object; NotThere when there is none."""
        return await self._ask(
            "GET",
            kind.path(namespace, name),
            accept=_ONE_METADATA_ONLY if metadata_only else _JSON,
        )

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        selector: str = "",
        metadata_only: bool = False,
        rest: Rest = _no_rest,
    ) -> tuple[list[Manifest], str]:
        """Return the objects of a namespace (None: of all) and the resource version of the list.

        `rest` is awaited between two pages: reading them keeps everything else waiting.
        """
        items: list[Manifest] = []
        query = {"limit": str(PAGE)}
        if selector:
            query["labelSelector"] = selector
        while True:
            page = await self._ask(
                "GET",
                kind.path(namespace),
                query,
                accept=_LIST_METADATA_ONLY if metadata_only else _JSON,
            )
            items += page.get("items") or []
            metadata = page.get("metadata", {})
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion", "0"))
            query["continue"] = metadata["continue"]
            await rest()

    async def apply(
        self, manifest: Manifest, *, manager: str, part: str = "", uid: str | None = None
    ) -> Manifest:
        """Apply a manifest as `manager`, on the server, taking over what others set; return it.

        With `uid` only to that very object: Conflicting when another has its name, or none.
        """
        if uid is not None:
            manifest = {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}
        return await self._write(_APPLY, manifest, manager, part=part)

    async def apply_new(self, manifest: Manifest, *, manager: str) -> Manifest:
        """Apply a manifest of which no object is known, taking over nothing that others set.

        Conflicting when there is one after all that says anything else. Not `create`: what that
        sets is booked under another operation, and what a later rendering leaves out would stay.
        """
        return await self._write(_APPLY_NEW, manifest, manager)

    async def merge(self, manifest: Manifest, *, manager: str) -> Manifest:
        """Change only the fields that `manifest` names; NotThere when there is no such object."""
        return await self._write(_MERGE, manifest, manager)

    async def create(self, manifest: Manifest, *, manager: str) -> Manifest:
        """Create an object; Conflicting when its name is taken."""
        return await self._write(_CREATE, manifest, manager)

    async def replace(self, manifest: Manifest, *, manager: str) -> Manifest:
        """Replace an object; Conflicting when it has changed since it was read."""
        return await self._write(_REPLACE, manifest, manager)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete an object and, in the background, what it owns; one that is gone is fine.

        `uid` keeps a namesake safe that was made meanwhile.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        try:
            await self._ask("DELETE", kind.path(namespace, name), body=options)
        except (NotThere, Conflicting):
            return
        self._wrote(kind.plural, "delete")

    async def serves(self, kind: Kind) -> bool:
        """Return whether the API knows a kind."""
        try:
            told = await self._ask("GET", f"/apis/{kind.group}/{kind.version}")
        except NotThere:
            return False
        return any(entry.get("name") == kind.plural for entry in told.get("resources", ()))

    async def _write(
        self, way: "_Way", manifest: Manifest, manager: str, *, part: str = ""
    ) -> Manifest:
        kind, metadata = kind_of(manifest), manifest["metadata"]
        # What is created is posted to its collection.
        name = None if way is _CREATE else metadata["name"]
        told = await self._ask(
            way.method,
            kind.path(metadata["namespace"], name, part=part),
            {"fieldManager": manager, **way.query},
            body=manifest,
            content_type=way.content_type,
        )
        self._wrote(kind.plural, way.verb)
        return told

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Manifest | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
    ) -> Manifest:
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                prepared = await self._api.param_serialize(
                    method,
                    path,
                    query_params=list((query or {}).items()),
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                )
                reply = await self._api.call_api(
                    *prepared, _request_timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
                )
                content = await reply.read()
        except (aiohttp.ClientError, TimeoutError, OSError, config.ConfigException) as error:
            words = "the API did not answer in time"
            raise ClusterUnreachable(f"{method} {path}: {error!r}", words=words) from error
        return _answer(method, path, int(reply.status), content)


def _answer(method: str, path: str, status: int, content: bytes) -> Manifest:
    try:
        told = json.loads(content) if content else {}
    except ValueError as error:
        raise ClusterUnreachable(f"{method} {path}: {status}, no JSON", status=status) from error
    if status < 300:
        return dict(told)
    details = told if isinstance(told, dict) else {}
    words = str(details.get("message") or repr(content[:200]))
    message = f"{method} {path}: {status} {words}"
    # 401 passes when the token's file is read again. 403 may be a quota: it is about this object.
    if status in (401, 408, 425, 429) or status >= 500:
        raise ClusterUnreachable(message, status=status, words=words)
    kind = {404: NotThere, 409: Conflicting}.get(status, ClusterRefused)
    raise kind(message, status=status, reason=str(details.get("reason", "")), words=words)


ClusterTrouble = (ClusterUnreachable, ClusterRefused)
"""Everything that a request may raise."""


def namespace_of_pod(given: str | None) -> str:
    """Return the namespace that this process runs in, `given` first."""
    file = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    try:
        return given or file.read_text(encoding="utf-8").strip()
    except OSError:
        return "default"


def told_briefly(error: HadisError) -> str:
    """Return an error as one line, short enough for a log."""
    return _short(str(error) or type(error).__name__)


def words_of(error: ClusterUnreachable | ClusterRefused) -> str:
    """Return what the API said, as one line that is short enough for a condition or an event.

    A field that it does not know is often named on the second line.
    """
    return _short(error.words)


def _short(text: str) -> str:
    return " ".join(text.split())[:MAX_WORDS_CHARS]

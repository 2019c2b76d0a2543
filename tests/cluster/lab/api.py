"""Reading the API server as tests poll and watch it: plain objects over `kubectl proxy`.

The proxy takes care of whatever credentials KUBECONFIG holds. Tests *write* as people do, with
kubectl and helm.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import httpx

from cluster.lab.waiting import Unanswered
from hadis_operator.kube import Kind

Manifest = dict[str, Any]
TIMEOUT_S = 5.0


class Api:
    """One API server, asked over loopback."""

    def __init__(self, address: str) -> None:
        self.address = address
        # Watches hold connections; a pool of a fixed size would run dry.
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.Client(
            base_url=address, timeout=TIMEOUT_S, trust_env=False, limits=limits
        )

    @classmethod
    @contextmanager
    def through_proxy(cls, kubectl: str, environment: Mapping[str, str]) -> Iterator[Self]:
        """Start a proxy and talk through it."""
        with tempfile.TemporaryFile("w+") as aside:
            proxy = subprocess.Popen(
                [kubectl, "proxy", "--port=0"],
                stdout=subprocess.PIPE,
                # It tells of every request that meets no API server; tests see that themselves.
                stderr=aside,
                text=True,
                env=dict(environment),
            )
            assert proxy.stdout is not None
            try:
                told = proxy.stdout.readline()
                address = re.search(r"127\.0\.0\.1:\d+", told)
                aside.seek(0)
                assert address, f"kubectl proxy does not start: {told}{aside.read()}"
                api = cls(f"http://{address[0]}")
                yield api
                api._client.close()
            finally:
                proxy.terminate()
                proxy.wait()
                proxy.stdout.close()

    def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        """Return an object; None when there is none."""
        reply = self._ask(kind.path(namespace, name))
        return None if reply is None else dict(reply)

    def listed(
        self, kind: Kind, namespace: str | None = None, selector: str = ""
    ) -> list[Manifest]:
        """Return the objects of a namespace, or of all."""
        return self.listed_at(kind, namespace, selector)[0]

    def listed_at(
        self, kind: Kind, namespace: str | None = None, selector: str = ""
    ) -> tuple[list[Manifest], str]:
        """Return the objects and the resource version at which they were so."""
        query = {"labelSelector": selector} if selector else {}
        reply = self._ask(kind.path(namespace), query)
        if reply is None:
            return [], "0"
        head = {"apiVersion": kind.api_version, "kind": kind.kind}
        items = [{**head, **item} for item in reply["items"]]
        return items, str(reply["metadata"]["resourceVersion"])

    def watch(self, kind: Kind, since: str) -> Iterator[Manifest]:
        """Yield the events of a kind, in all namespaces, until the API server ends the watch."""
        query = {"watch": "1", "resourceVersion": since}
        try:
            with self._client.stream(
                "GET", kind.path(None), params=query, timeout=httpx.Timeout(TIMEOUT_S, read=None)
            ) as reply:
                if reply.status_code != 200:
                    raise Unanswered(f"watching {kind.plural}: {reply.status_code}")
                for line in reply.iter_lines():
                    yield json.loads(line)
        except httpx.HTTPError as error:
            raise Unanswered(f"watching {kind.plural}: {error!r}") from error

    def text(self, path: str) -> str:
        """Return what the API server says at a path of its own, such as `/metrics`."""
        reply = self._send(path, {})
        if reply.status_code != 200:
            raise Unanswered(f"{path}: {reply.status_code}")
        return reply.text

    def _ask(self, path: str, query: Mapping[str, str] | None = None) -> Manifest | None:
        reply = self._send(path, query or {})
        if reply.status_code == 404:
            return None
        if reply.status_code != 200:
            raise Unanswered(f"{path}: {reply.status_code} {reply.text[:300]}")
        found: Manifest = reply.json()
        return found

    def _send(self, path: str, query: Mapping[str, str]) -> httpx.Response:
        try:
            return self._client.get(path, params=dict(query))
        except httpx.HTTPError as error:
            raise Unanswered(f"{path}: {error!r}") from error

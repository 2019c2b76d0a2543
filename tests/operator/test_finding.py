"""Whether a Secret is missing: asked of the API now and then, and never for its keys."""

from typing import Any

import pytest

from hadis_operator import finding
from hadis_operator.finding import SecretFinder
from hadis_operator.kube import Kube
from support.api_server import ApiServer

SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "clients", "namespace": "images"},
    "data": {"key": "c2VzYW1l"},
}


class Looking:
    def __init__(self, api: Kube) -> None:
        self.now_s = 0.0
        self.finder = SecretFinder(api, lambda: self.now_s)

    async def is_missing(self) -> bool:
        return await self.finder.is_missing("images", "clients")


@pytest.fixture
def looking(api: Kube) -> Looking:
    return Looking(api)


async def test_a_secret_is_missing_until_it_is_made(server: ApiServer, looking: Looking) -> None:
    assert await looking.is_missing()
    server.objects["secrets", "images", "clients"] = SECRET
    # It is not asked for at every turn.
    requests = server.requests
    assert await looking.is_missing()
    assert server.requests == requests
    looking.now_s = finding.AGAIN_S
    assert not await looking.is_missing()


async def test_an_operator_that_cannot_look_claims_nothing(
    server: ApiServer, looking: Looking
) -> None:
    server.down = True
    assert not await looking.is_missing()


async def test_no_key_is_read(server: ApiServer, api: Kube) -> None:
    server.objects["secrets", "images", "clients"] = SECRET
    asked: list[str] = []
    ask = api._ask

    async def noted(method: str, path: str, *rest: Any, **more: Any) -> Any:
        asked.append(more["accept"])
        return await ask(method, path, *rest, **more)

    api._ask = noted  # type: ignore[method-assign]
    await SecretFinder(api, lambda: 0.0).is_missing("images", "clients")
    assert asked == ["application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"]

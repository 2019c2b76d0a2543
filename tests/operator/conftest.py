"""A pretended API server, and a session for talking to pods."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from hadis_operator.kube import Kube
from support.api_server import ApiServer, an_api_server


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with an_api_server() as running:
        yield running


@pytest.fixture
async def api(server: ApiServer) -> AsyncIterator[Kube]:
    connected = server.kube()
    yield connected
    await connected.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened

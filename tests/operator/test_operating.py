"""The operator as a whole without a cluster: alive while it attempts, whatever is answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml

from hadis_operator import electing, operating
from hadis_operator.metrics import Metrics
from hadis_operator.operating import Operator
from hadis_operator.settings import Settings
from support import rendered
from support.api_server import ApiServer


class Running:
    def __init__(self, server: ApiServer, folder: Path) -> None:
        file = folder / "kubeconfig"
        named = {"cluster": "c", "user": "u"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server.url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": named}],
            "current-context": "x",
        }
        file.write_text(yaml.safe_dump(config))
        settings = Settings(
            installation=folder / "installation.yaml",
            namespace="hadis-system",
            identity="one",
            kubeconfig=str(file),
        )
        self.operator = Operator(settings, rendered.an_installation(), Metrics())
        self.late_s = 0.0
        clock = self.operator._clock
        self.operator._clock = lambda: clock() + self.late_s
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.operator.run(self.stop))


@pytest.fixture
async def running(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    """An operator that has begun while the API is away."""
    for module in (electing, operating):
        monkeypatch.setattr(module, "RETRY_S", 0.02)
    server.down = True
    begun = Running(server, tmp_path)
    yield begun
    begun.stop.set()
    await asyncio.wait_for(begun.task, 30)


async def until(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_operator_that_cannot_reach_the_api_is_alive_and_not_ready(
    server: ApiServer, running: Running
) -> None:
    operator = running.operator
    await until(lambda: server.requests > 10)
    assert operator.unhealthy() is None
    assert operator.unready() == "the cluster has not been read yet"
    # Minutes later it still attempts, and so it is still alive.
    running.late_s = 3 * operating.STUCK_AFTER_S
    requests = server.requests
    await until(lambda: server.requests > requests + 10)
    await until(lambda: operator.unhealthy() is None)
    assert not operator._may_act()
    assert not running.task.done()


async def test_an_operator_whose_election_has_stopped_is_to_be_replaced(
    server: ApiServer, running: Running
) -> None:
    await until(lambda: server.requests > 10)
    server.down, server.silent = False, True  # nothing is answered, so nothing is attempted anew
    await asyncio.sleep(0.1)
    running.late_s = operating.STUCK_AFTER_S + 10.0
    assert running.operator.unhealthy() == "the election has stopped"

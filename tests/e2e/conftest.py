"""One fleet serves every test that leaves it as it found it; tests that harm get their own."""

from collections.abc import Iterator

import openai
import pytest

from support.scenes_fleet import ScenesFleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScenesFleet]:
    running = ScenesFleet(tmp_path_factory.mktemp("fleet"))
    running.start()
    yield running
    assert running.stop() == []


@pytest.fixture
def client(fleet: ScenesFleet) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{fleet.url}/v1", api_key="none") as opened:
        yield opened

"""One router and two scripted workers a module; every test finds them as new."""

import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from hadis.routing import admitting
from hadis_router.latency_book import LatencyBook, Learnt
from support.router_fixtures import BIG, TINY, Fleet, RouterUnderTest, a_profile
from support.scripted_workers import RunningWorker

# A busy machine makes a draw slow, not wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("cascade")
    fleet = Fleet(RouterUnderTest(folder=folder), RunningWorker("w0"), RunningWorker("w1"))
    yield fleet
    fleet.stop()


@pytest.fixture
def fleet(servers: Fleet) -> Fleet:
    """A light worker w0, a heavy worker w1, the cascade `a_cascade()`, thresholds 0.5 and 0.5."""
    servers.light.renew()
    servers.heavy.renew()
    view = servers.router.router.view
    caution = Learnt(admitting.LEAST_CAUTION, servers.router.router.clock())
    view.cautions.update(dict.fromkeys((TINY, BIG), caution))
    view.book = LatencyBook(a_profile())
    servers.use_cascade()
    servers.route()
    return servers


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until a condition holds, at most five seconds."""

    def wait(condition: Callable[[], bool], within_s: float = 5.0) -> None:
        until_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < until_s, "the condition did not come about"
            time.sleep(0.01)

    return wait

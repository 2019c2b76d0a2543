"""The drain on its own: how long it waits, and for whom."""

import asyncio

import pytest

from hadis_router.draining import SETTLING_S, OpenRequests, drain


class Request:
    """A request that ends when it is told to."""

    def __init__(self, requests, latest_s):
        self._requests = requests
        self.latest_s = latest_s
        self.given_up = False
        requests.enter(self)

    def give_up(self):
        self.given_up = True


class Clock:
    """A clock that goes a tenth of a second further whenever it is read."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        self.now_s += 0.1
        return self.now_s


async def test_nothing_inside_is_not_waited_for():
    clock = Clock()
    await drain(OpenRequests(), asyncio.Event(), clock=clock, most_s=None)
    assert clock.now_s < 101


@pytest.mark.parametrize(("most_s", "want_s"), [(None, 3.0 + SETTLING_S), (60.0, 3.5), (1.0, 1.0)])
async def test_a_drain_waits_for_the_latest_deadline_and_no_longer_than_its_limit(most_s, want_s):
    clock, requests = Clock(), OpenRequests()
    inside = [Request(requests, 100.0 + ahead_s) for ahead_s in (1.0, 3.0, -2.0)]
    await drain(requests, asyncio.Event(), clock=clock, most_s=most_s)
    assert clock.now_s == pytest.approx(100.0 + want_s, abs=0.35)
    assert all(request.given_up for request in inside)


async def test_a_drain_ends_with_the_last_request():
    clock, requests = Clock(), OpenRequests()
    request = Request(requests, 1e6)
    asyncio.get_running_loop().call_soon(requests.leave, request)
    await drain(requests, asyncio.Event(), clock=clock, most_s=None)
    assert not request.given_up


async def test_hurry_gives_up_at_once():
    clock, requests, hurry = Clock(), OpenRequests(), asyncio.Event()
    request = Request(requests, 1e6)
    hurry.set()
    await drain(requests, hurry, clock=clock, most_s=None)
    assert request.given_up
    assert clock.now_s < 101

"""One operator acts: leases are taken when they lapse, kept while renewed, and given back."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from hadis_operator import electing, kube
from hadis_operator.electing import Elector, Sighting
from hadis_operator.kube import Kube
from hadis_operator.objects import Manifest
from support.api_server import ApiServer


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def a_lease(holder: str, renewed: str = "t1", version: str = "1") -> Manifest:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "hadis", "namespace": "system", "resourceVersion": version},
        "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15},
    }


def test_a_life_sign_is_news_only_when_it_changes() -> None:
    first = electing.sighted(a_lease("a"), Sighting(), 0.0)
    assert electing.sighted(a_lease("a"), first, 10.0) == first
    assert electing.sighted(a_lease("a", "t2", "2"), first, 10.0).seen_s == 10.0


@pytest.mark.parametrize(
    ("holder", "waited_s", "want"),
    [("me", 0.0, True), ("", 0.0, True), ("a", 14.9, False), ("a", 15.0, True)],
)
def test_a_lease_is_free_when_it_is_mine_nobodys_or_has_lapsed(
    holder: str, waited_s: float, want: bool
) -> None:
    seen = electing.sighted(a_lease(holder), Sighting(), 0.0)
    assert electing.may_take(a_lease(holder), "me", seen, waited_s) is want


def test_taking_over_counts_a_transition_and_renewing_does_not() -> None:
    taken = electing.renewed(a_lease("a"), "me", "t9")["spec"]
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("me", 1)
    assert taken["acquireTime"] == taken["renewTime"] == "t9"
    again = electing.renewed({"metadata": {}, "spec": taken}, "me", "t10")["spec"]
    assert (again["leaseTransitions"], again["acquireTime"]) == (1, "t9")
    given = electing.released({"metadata": {}, "spec": again}, "t11")["spec"]
    assert given["holderIdentity"] == ""


def test_deposed_leaders_stop_before_their_lease_can_be_taken() -> None:
    # A write that was begun at the last moment has ended before a successor can begin.
    assert electing.RENEW_WITHIN_S + kube.TIMEOUT_S < electing.LEASE_S
    # Two requests and a pause between two tries fit into the time for renewing.
    assert 2 * kube.TIMEOUT_S + electing.RETRY_S <= electing.RENEW_WITHIN_S


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stand(api: Kube, clock: Clock) -> Callable[[str], Elector]:
    def begin(me: str) -> Elector:
        return Elector(api, "system", "hadis", me, clock=clock)

    return begin


async def attempt(elector: Elector) -> bool:
    with contextlib.suppress(kube.ClusterUnreachable):
        await elector._attempt()
    elector._note_role()
    return elector.leading


async def test_who_could_do_nothing_does_not_stand(
    server: ApiServer, api: Kube, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(electing, "RETRY_S", 0.01)
    knows_the_cluster = False
    elector = Elector(api, "system", "hadis", "a", clock=clock, may_stand=lambda: knows_the_cluster)
    running = asyncio.create_task(elector.run())
    try:
        clock.now_s += 1000.0
        await asyncio.sleep(0.1)
        assert (elector.leading, server.requests) == (False, 0)
        assert elector.attempted_s == clock.now_s  # and is alive
        knows_the_cluster = True
        async with asyncio.timeout(5):
            while not elector.leading:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()


async def test_the_first_leads_and_the_second_stands_by(
    server: ApiServer, stand: Callable[[str], Elector]
) -> None:
    first, second = stand("a"), stand("b")
    assert await attempt(first)
    assert not await attempt(second)
    assert server.get("leases", "hadis", "system")["spec"]["holderIdentity"] == "a"
    assert (first.terms, second.terms) == (1, 0)


async def test_a_standby_takes_over_once_the_lease_has_lapsed(
    stand: Callable[[str], Elector], clock: Clock
) -> None:
    first, second = stand("a"), stand("b")
    await attempt(first)
    await attempt(second)
    clock.now_s += 14.0
    assert not await attempt(second)
    clock.now_s += 1.0
    assert await attempt(second)
    assert not await attempt(first)


async def test_a_leader_that_cannot_renew_stops_acting_and_comes_back(
    server: ApiServer, stand: Callable[[str], Elector], clock: Clock
) -> None:
    first = stand("a")
    await attempt(first)
    server.down = True
    clock.now_s += 9.0
    assert await attempt(first)
    clock.now_s += 1.0
    assert not first.leading  # at that very moment, without any further attempt
    assert not await attempt(first)
    server.down = False
    assert await attempt(first)
    assert first.terms == 2


async def test_a_lease_that_another_took_meanwhile_is_not_ours(
    server: ApiServer, stand: Callable[[str], Elector], clock: Clock
) -> None:
    first, second = stand("a"), stand("b")
    await attempt(first)
    await attempt(second)
    clock.now_s += 15.0
    assert await attempt(second)
    assert not await attempt(first)
    assert first.terms == 1


async def test_a_released_lease_is_taken_at_once(
    server: ApiServer, stand: Callable[[str], Elector]
) -> None:
    first, second = stand("a"), stand("b")
    await attempt(first)
    await attempt(second)
    await first.release()
    assert not first.leading
    assert await attempt(second)
    await first.release()  # nothing of ours is left to give back
    assert server.get("leases", "hadis", "system")["spec"]["holderIdentity"] == "b"


async def test_two_that_reach_for_a_free_lease_do_not_both_get_it(
    stand: Callable[[str], Elector],
) -> None:
    rivals = [stand(name) for name in "abcde"]
    leading = await asyncio.gather(*(attempt(rival) for rival in rivals))
    assert sum(leading) == 1


async def test_the_election_goes_on_through_an_outage(
    server: ApiServer, api: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(electing, "RETRY_S", 0.02)
    changes: list[bool] = []
    elector: Elector
    loop = asyncio.get_running_loop()

    def note() -> None:
        changes.append(elector.leading)

    elector = Elector(api, "system", "hadis", "a", clock=loop.time, changed=note)
    server.down = True
    task = asyncio.create_task(elector.run())
    await asyncio.sleep(0.2)
    assert changes == []
    server.down = False
    await until(lambda: changes == [True])
    before_s = elector.attempted_s
    await until(lambda: elector.attempted_s > before_s)
    task.cancel()


async def until(condition: Callable[[], Any], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)

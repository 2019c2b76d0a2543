"""A cascade that nothing happens to is not written to, loaded or not."""

import time

import pytest

from cluster.lab import writes as recorded_writes
from cluster.lab.cascades import Cascade
from cluster.lab.clients import Load
from cluster.lab.lengths import Lengths
from cluster.lab.releases import Release
from cluster.lab.waiting import until
from cluster.lab.writes import CALM_S, Writes
from hadis_operator import kube

CALM_WITHIN_S = 240.0


@pytest.mark.parametrize("rate", [0.0, 0.4], ids=["at rest", "under a constant load"])
def test_nothing_is_written(
    scenes: Cascade, installed: Release, writes: Writes, lasting: Lengths, rate: float
) -> None:
    api = scenes.cluster.api
    with Load.on(scenes.url, rate) as load:
        loaded_s = time.monotonic()
        until(
            "nothing has been written for a while",
            lambda: time.monotonic() >= loaded_s + CALM_S and writes.are_calm(),
            CALM_WITHIN_S,
        )
        before, began_s = recorded_writes.requests(api), time.monotonic()
        assert before
        cycles = _cycles(installed, scenes)
        time.sleep(lasting.rest_s)
        told = [str(one) for one in writes.those(since_s=began_s) if one.kind is not kube.LEASES]
        sent = recorded_writes.requests(api) - before
        # It looked and planned all the while.
        assert _cycles(installed, scenes) - cycles >= lasting.rest_s / 5 / 2
        assert told == []
        assert not sent
        assert load.lost() == []
    assert rate == 0 or load.served() > 0


def _cycles(installed: Release, scenes: Cascade) -> float:
    leader = until("an operator leads", installed.leader, 30)
    return installed.cycles(leader, scenes.namespace)

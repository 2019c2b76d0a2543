"""Prometheus' answers as counters, and every way in which it can be of no use."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from hadis_operator import prometheus, sourcing
from hadis_operator.conditions import Source as Shown
from hadis_operator.kube import Kube
from hadis_operator.objects import Component
from hadis_operator.observing import View
from hadis_operator.prometheus import NoMetrics, Sample, Source, TooEarly, Trouble
from hadis_operator.sourcing import DemandReader
from support import clusters
from support.api_server import ApiServer
from support.pretended_prometheus import Prometheus, a_prometheus, an_answer, series

NOW_S = 10_000.0


def arrived(count: str, at_s: float = NOW_S - 1, **label: str) -> dict[str, Any]:
    return series(prometheus.DEMAND, {"step": "arrived", **label}, (at_s - 15, "1"), (at_s, count))


def test_a_query_is_about_one_cascade_and_the_authors_matchers() -> None:
    source = Source("http://p", matchers={"cluster": 'a"b', "namespace": "not mine"})
    asked = prometheus.query(source, "images", "photos")
    assert asked == (
        '{__name__=~"hadis_demand_images_total|hadis_slo_violations_total",'
        'cascade="photos",cluster="a\\"b",namespace="images"}[120s]'
    )


def test_the_newest_values_of_all_counters_are_one_sample_a_router() -> None:
    late = series(prometheus.VIOLATIONS, {"reason": "late"}, (NOW_S - 1, "3"))
    other = arrived("7", pod="router-2", instance="10.0.0.2:9090")
    got = prometheus.samples(an_answer(arrived("41"), late, other))
    assert got == [
        Sample("router", "10.0.0.1:9090", NOW_S - 1, {"arrived": 41, "late": 3}),
        Sample("router-2", "10.0.0.2:9090", NOW_S - 1, {"arrived": 7}),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"status": "error", "error": "too many samples"},
        {"status": "success", "data": {"resultType": "vector", "result": []}},
        {"status": "success", "data": {}},
        an_answer(arrived("NaN")),
        an_answer(arrived("+Inf")),
        an_answer(arrived("-1")),
        an_answer(arrived("many")),
        an_answer(arrived("1e300")),
        an_answer({"metric": {}, "values": [[1]]}),
        an_answer({"metric": {}, "values": [1]}),
        an_answer({"metric": {}, "values": {"1": "2"}}),
        an_answer({"metric": [], "values": [[1, "2"]]}),
        an_answer({"metric": None, "values": [[1, "2"]]}),
        an_answer({"metric": {"step": "arrived"}, "values": [["now", "2"]]}),
        an_answer({"metric": {"step": "arrived"}, "values": [[float("nan"), "2"]]}),
        an_answer({"metric": {"step": "arrived"}, "values": [[10**400, "2"]]}),
        an_answer({"metric": {"step": "arrived"}, "values": [[1, {}]]}),
        {"status": "success", "data": {"resultType": "matrix", "result": ["x"]}},
        {"status": "success", "data": {"resultType": "matrix", "result": 1}},
        {"status": "success", "data": []},
    ],
)
def test_what_is_no_counter_is_no_answer(answer: object) -> None:
    with pytest.raises(NoMetrics) as refused:
        prometheus.samples(answer)
    assert refused.value.trouble is Trouble.AWAY


def test_series_are_matched_by_pod_or_by_address() -> None:
    by_name = Sample("router", "", 1.0, {})
    by_address = Sample("", "10.0.0.2:9090", 2.0, {"arrived": 1})
    gone = Sample("router-of-yesterday", "10.0.0.9:9090", 3.0, {})
    newer = replace(by_name, at_epoch_s=5.0, instance="10.0.0.1:9090")
    routers = {"router": "10.0.0.1", "second": "10.0.0.2"}
    got = prometheus.by_router([newer, by_name, by_address, gone], routers)
    assert got == {"router": newer, "second": by_address}
    ipv6 = Sample("", "[fd00::1]:9090", 1.0, {})
    assert prometheus.by_router([ipv6], {"r": "fd00::1"}) == {"r": ipv6}


def test_a_router_that_is_not_scraped_any_more_makes_the_whole_answer_stale() -> None:
    chosen = {"a": Sample("a", "", NOW_S - 5, {}), "b": Sample("b", "", NOW_S - 61, {})}
    prometheus.require_fresh({"a": chosen["a"]}, {"a": 900.0, "new": 5.0}, NOW_S)
    for lived_s in ({"a": 900.0, "b": 900.0}, {"a": 900.0, "never": 900.0}):
        with pytest.raises(NoMetrics) as refused:
            prometheus.require_fresh(chosen, lived_s, NOW_S)
        assert refused.value.trouble is Trouble.STALE


@pytest.mark.parametrize("lived_s", [{}, {"new": 5.0}])
def test_routers_that_nobody_can_have_scraped_yet_are_no_fault(lived_s: dict[str, float]) -> None:
    with pytest.raises(TooEarly):
        prometheus.require_fresh({}, lived_s, NOW_S)


@pytest.fixture
async def running() -> AsyncIterator[Prometheus]:
    async with a_prometheus(an_answer(arrived("41"))) as pretended:
        yield pretended


async def test_it_is_asked_with_its_token_and_headers(
    running: Prometheus, session: aiohttp.ClientSession
) -> None:
    running.token = "sesame"
    source = Source(f"{running.url}/", token="sesame", headers={"X-Scope-OrgID": "team"})
    found = await prometheus.ask(session, source, "images", "photos")
    assert found[0].counts == {"arrived": 41}
    assert running.asked[0]["X-Scope-OrgID"] == "team"
    assert 'cascade="photos"' in running.asked[0]["query"]
    assert "sesame" not in repr(source)


FAULTS: list[tuple[dict[str, Any], Trouble]] = [
    ({"token": "other"}, Trouble.UNAUTHORIZED),
    ({"status": 403}, Trouble.UNAUTHORIZED),
    ({"status": 500}, Trouble.AWAY),
    ({"status": 422}, Trouble.AWAY),
    ({"answer": "<html>"}, Trouble.AWAY),
    ({"answer": {"status": "error"}}, Trouble.AWAY),
    ({"answer": "[" * 100_000}, Trouble.AWAY),
    ({"answer": an_answer({"metric": [1], "values": [[1]]})}, Trouble.AWAY),
    ({"answer": json.dumps(an_answer()) + " " * prometheus.MAX_BYTES}, Trouble.AWAY),
    ({"silent": True}, Trouble.AWAY),
]


@pytest.mark.parametrize(("fault", "want"), FAULTS)
async def test_every_fault_is_told_in_a_word_and_a_sentence(
    running: Prometheus,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, Any],
    want: Trouble,
) -> None:
    monkeypatch.setattr(prometheus, "TIMEOUT_S", 0.3)
    vars(running).update(fault)
    with pytest.raises(NoMetrics) as refused:
        await prometheus.ask(session, Source(running.url), "images", "photos")
    assert refused.value.trouble is want
    assert running.url in str(refused.value) or "Prometheus answered" in str(refused.value)


async def test_nobody_at_the_address_and_no_certificate_are_told(
    session: aiohttp.ClientSession,
) -> None:
    for source in (Source("http://127.0.0.1:1"), Source("https://127.0.0.1:1", ca="no PEM")):
        with pytest.raises(NoMetrics) as refused:
            await prometheus.ask(session, source, "images", "photos")
        assert refused.value.trouble is Trouble.AWAY


async def test_an_outage_that_changes_its_mood_is_told_as_it_began(
    running: Prometheus, reading: "Reading"
) -> None:
    """Each change of the message would be another write to the cascade."""
    await reading.arrived(1)
    running.status = 503
    await reading.arrived(1)
    await reading.arrived(1)
    first = reading.source
    assert first.trouble is Trouble.AWAY
    running.answer = "<html>"
    running.status = 200
    await reading.arrived(1)
    assert reading.source == first
    # Another kind of trouble is told at once, and so is the end of all.
    running.status = 401
    await reading.arrived(1)
    assert reading.source.trouble is Trouble.UNAUTHORIZED
    running.status, running.answer = 200, an_answer(arrived("41"))
    await reading.arrived(1)
    assert reading.source.trouble is None


# Which source is asked, and what stands in for it.


@pytest.mark.parametrize(
    ("metrics", "default", "want"),
    [
        ({}, "", ""),
        ({}, "http://chart", "http://chart"),
        ({"source": "Direct"}, "http://chart", ""),
        ({"source": "Prometheus"}, "", ""),
        (
            {"source": "Prometheus", "prometheus": {"url": "http://own"}},
            "http://chart",
            "http://own",
        ),
        ({"prometheus": {"url": "http://own"}}, "", "http://own"),
    ],
)
def test_prometheus_is_asked_where_one_is_known(
    metrics: dict[str, Any], default: str, want: str
) -> None:
    assert sourcing.wanted({"metrics": metrics}, default).url == want


def a_view(
    arrived_count: int, *, running_pod: bool = True, started: str = "1970-01-01T00:10:00Z"
) -> View:
    since = [{"restartCount": 0, "state": {"running": {"startedAt": started}}}]
    pod = clusters.a_pod("router", component=Component.ROUTER, containerStatuses=since)
    pods = (pod,) if running_pod else ()
    status = clusters.a_router_status(demand={"arrived": arrived_count, "planned": 1})
    return View(0.0, pods, {}, {"router": status})


class Reading:
    """A reader of one cascade's demand, and what it was last told."""

    def __init__(self, reader: DemandReader, **metrics: Any) -> None:
        self.reader = reader
        self.given = clusters.a_given(("metrics", metrics)) if metrics else clusters.a_given()

    async def arrived(self, told: int) -> int:
        [router] = await self.reader.read(self.given, a_view(told))
        return router.arrived

    @property
    def source(self) -> Shown:
        return self.reader.source


@pytest.fixture
def reading(running: Prometheus, session: aiohttp.ClientSession, api: Kube) -> Reading:
    return Reading(DemandReader(session, api, running.url, epoch=lambda: NOW_S))


async def test_prometheus_counts_when_it_answers(running: Prometheus, reading: Reading) -> None:
    assert await reading.arrived(1000) == 0  # the first look: a base
    running.answer = an_answer(arrived("51", NOW_S))
    assert await reading.arrived(1000) == 10
    assert (reading.source.is_prometheus, reading.source.trouble) == (True, None)


async def test_the_routers_stand_in_and_prometheus_comes_back_alone(
    running: Prometheus, reading: Reading
) -> None:
    await reading.arrived(41)
    running.status = 500
    # One lost answer is no news, but the counts go on.
    assert await reading.arrived(60) == 19
    assert reading.source.trouble is None
    assert await reading.arrived(61) == 20
    assert reading.source.trouble is Trouble.AWAY
    running.status = 200
    # It lags behind what the routers said: nothing is taken back, nothing is counted twice.
    running.answer = an_answer(arrived("55", NOW_S))
    assert await reading.arrived(61) == 20
    assert reading.source.trouble is None
    running.answer = an_answer(arrived("70", NOW_S + 1))
    assert await reading.arrived(61) == 29


@pytest.mark.parametrize("was_scraped", [False, True])
async def test_a_router_is_not_told_stale_before_it_can_have_been_scraped(
    running: Prometheus, reading: Reading, was_scraped: bool
) -> None:
    """Neither the first of a cascade nor one that replaces the only one."""
    if was_scraped:
        await reading.arrived(41)
    shown = reading.source
    assert shown == Shown(is_prometheus=was_scraped)
    running.answer = an_answer(arrived("41", pod="another"))
    young = "1970-01-01T02:46:00Z"  # 40 s ago
    for view in (a_view(0, running_pod=False), a_view(5, started=young), a_view(8, started=young)):
        told = await reading.reader.read(reading.given, view)
        assert reading.source == shown
    assert told[0].arrived == 3  # by its own word, from when it was met
    for _ in range(sourcing.FAILS_AFTER):
        await reading.reader.read(reading.given, a_view(9, started="1970-01-01T02:45:00Z"))
    assert reading.source.trouble is Trouble.STALE


async def test_prometheus_is_not_said_to_answer_before_it_has(
    running: Prometheus, reading: Reading
) -> None:
    running.status = 500
    await reading.arrived(1)
    assert reading.source == Shown()
    await reading.arrived(1)
    assert reading.source.trouble is Trouble.AWAY


async def test_a_number_that_is_none_is_a_fall_back_too(
    running: Prometheus, reading: Reading
) -> None:
    running.answer = an_answer(arrived("NaN"))
    await reading.arrived(5)
    assert await reading.arrived(8) == 3
    assert reading.source.trouble is Trouble.AWAY
    assert "NaN" in reading.source.message


async def test_a_silent_router_keeps_its_last_counts(
    session: aiohttp.ClientSession, api: Kube
) -> None:
    reader = DemandReader(session, api, "", epoch=lambda: NOW_S)
    [first] = reader.read_direct(a_view(100))
    silent = replace(a_view(0), routers={})
    [second] = reader.read_direct(silent)
    assert second.arrived == first.arrived
    assert reader.read_direct(a_view(0, running_pod=False)) == ()


async def test_a_token_comes_from_its_secret_and_a_new_one_is_noticed(
    running: Prometheus, server: ApiServer, session: aiohttp.ClientSession, api: Kube
) -> None:
    def secret(token: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "prometheus", "namespace": "images"},
            "data": {"token": base64.b64encode(token.encode()).decode()},
        }

    server.objects[("secrets", "images", "prometheus")] = secret("wrong")
    running.token = "sesame"
    reading = Reading(
        DemandReader(session, api, "", epoch=lambda: NOW_S),
        prometheus={"url": running.url, "bearerTokenSecret": {"name": "prometheus"}},
    )
    await reading.arrived(1)
    await reading.arrived(1)
    assert reading.source.trouble is Trouble.UNAUTHORIZED
    assert "bearerTokenSecret" in reading.source.message
    server.objects[("secrets", "images", "prometheus")] = secret("sesame\n")
    await reading.arrived(1)
    assert reading.source.trouble is None


async def test_a_missing_secret_names_its_field(
    running: Prometheus, session: aiohttp.ClientSession, api: Kube
) -> None:
    reading = Reading(
        DemandReader(session, api, "", epoch=lambda: NOW_S),
        prometheus={"url": running.url, "caSecret": {"name": "absent"}},
    )
    await reading.arrived(1)
    await reading.arrived(1)
    assert reading.source.trouble is Trouble.UNAUTHORIZED
    assert "caSecret" in reading.source.message
    assert "absent" in reading.source.message

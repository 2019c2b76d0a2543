"""Clients that go away: their work ends at the workers too, and counts as cancelled."""

import asyncio
import socket

import pytest

from support.router_fixtures import a_lane, learn_latency

BODY = b'{"prompt": "a red circle"}'


@pytest.fixture
def slow(fleet):
    fleet.light.renew(latency_s={"tiny": 20.0, "big": 20.0})
    fleet.heavy.renew(latency_s={"tiny": 20.0, "big": 20.0})
    fleet.use_cascade(slo_s=3600.0)
    learn_latency(fleet, "tiny", 20.0)
    fleet.route(a_lane(2.0, 0.0))
    return fleet


def connect(fleet, body=BODY):
    host, port = fleet.router.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(
        b"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        + f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return connection


def in_flight(fleet):
    return fleet.router.status()["demand"]["counts"]["in_flight"]


@pytest.mark.parametrize("extra", [b"", b', "stream": true', b', "n": 3'])
def test_a_client_that_leaves_cancels_its_images(slow, eventually, extra):
    before = slow.outcomes()["cancelled"]
    images = 3 if b"n" in extra.split(b'"') else 1
    connection = connect(slow, BODY[:-1] + extra + b"}")
    eventually(lambda: slow.light.counts["received"] == images)
    connection.close()
    eventually(lambda: slow.light.counts["aborted"] == images)
    eventually(lambda: slow.outcomes()["cancelled"] == before + images)
    assert in_flight(slow) == 0


def test_fifty_clients_that_leave_empty_the_queue_within_a_second(slow, eventually):
    connections = [connect(slow) for _ in range(50)]
    eventually(lambda: slow.light.counts["received"] == 50, within_s=20)
    for connection in connections:
        connection.close()
    eventually(lambda: slow.light.counts["aborted"] == 50, within_s=5)
    eventually(lambda: slow.light.counts["batches stopped"] >= 1, within_s=5)
    assert in_flight(slow) == 0
    slow.light.renew()
    slow.route(a_lane(2.0, 0.0))
    assert slow.told()["path"] == "light"


def test_a_client_that_leaves_while_it_sends_leaves_nothing_behind(slow):
    connection = connect(slow, BODY)
    connection.close()
    host, port = slow.router.url.removeprefix("http://").split(":")
    partial = socket.create_connection((host, int(port)))
    partial.sendall(
        b"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{"
    )
    partial.close()
    assert slow.router.status()["cascade"] == "pair"


async def test_a_client_that_gives_up_by_itself_is_noticed(slow, eventually):
    async with slow.router.async_client() as client:
        request = asyncio.create_task(client.images.generate(prompt="a red circle"))
        while not slow.light.counts["received"]:
            await asyncio.sleep(0.01)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    eventually(lambda: slow.light.counts["aborted"] == 1)

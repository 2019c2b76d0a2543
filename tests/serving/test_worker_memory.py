"""A worker tells how much memory it uses."""

import psutil
import pytest

from support.live_workers import LiveWorker

MB = 10**6


def test_the_process_is_seen_as_the_machine_sees_it(worker: LiveWorker) -> None:
    told = worker.metric("hadis_worker_memory_bytes", cascade="tiny", kind="resident")
    assert told > 50 * MB  # torch alone is larger
    assert told == pytest.approx(psutil.Process().memory_info().rss, abs=50 * MB)


def test_it_is_read_anew_at_each_scrape(worker: LiveWorker) -> None:
    before = worker.metric("hadis_worker_memory_bytes", kind="resident")
    ballast = bytearray(200 * MB)
    ballast[::4096] = b"x" * len(ballast[::4096])
    after = worker.metric("hadis_worker_memory_bytes", kind="resident")
    assert after - before > 150 * MB
    del ballast


def test_without_a_gpu_there_is_no_memory_of_one(worker: LiveWorker) -> None:
    assert 'kind="device"' not in worker.probe("/metrics").text

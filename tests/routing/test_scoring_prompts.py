"""The hardness thread before it can score, and when it never will."""

from pathlib import Path

import pytest

from hadis_router import hardness_thread
from hadis_router.hardness_thread import HardnessThread
from hadis_router.service import Router
from hadis_router.settings import Settings
from support.router_fixtures import TINY, a_cascade, a_lane, a_profile, call


async def test_until_it_is_loaded_it_says_so():
    thread = HardnessThread({})
    try:
        assert thread.trouble == "the hardness features are loading"
        await thread.load()
        assert thread.trouble is None
        assert 0 < (await thread.score("a red circle")).score < 1
    finally:
        thread.close()


async def test_what_keeps_it_from_loading_is_told_as_the_reason_for_not_being_ready(monkeypatch):
    def fail():
        raise ImportError("no module named spacy")

    monkeypatch.setattr(hardness_thread, "_warm", fail)
    router = Router(Settings(Path("cascade.yaml")), a_cascade(), a_profile())
    with pytest.raises(ImportError):
        await router.hardness.load()
    want = "hardness cannot be scored: no module named spacy"
    assert router.hardness.trouble == want
    router.hardness.close()


def test_a_request_that_cannot_be_scored_is_refused_with_the_reason(fleet, monkeypatch):
    fleet.router.route([(fleet.light, TINY)], a_lane(2.0, 0.0))
    monkeypatch.setattr(HardnessThread, "trouble", "the hardness features are loading")
    error = fleet.refused()
    assert error.status_code == 503
    assert error.body["hadis"]["outcome"] == "rejected"
    assert "loading" in error.message
    assert 1 <= int(error.response.headers["retry-after"]) <= 60
    status, told, _ = call("GET", f"{fleet.router.url}/readyz")
    assert (status, told) == (503, "the hardness features are loading\n")


def test_a_plan_without_workers_is_not_ready_and_says_so(fleet):
    fleet.router.route([], a_lane())
    status, told, _ = call("GET", f"{fleet.router.url}/readyz")
    assert (status, told) == (503, "the plan has no workers yet\n")

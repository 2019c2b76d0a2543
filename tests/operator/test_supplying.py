"""Where models are: cached, on their way, behind a gate, or nowhere."""

import datetime
from dataclasses import replace
from typing import Any

import pytest

from hadis.wire.reports import ModelState
from hadis_operator import supplying
from hadis_operator.objects import Component
from hadis_operator.slots import Pod
from hadis_operator.supplying import SupplyState
from support import clusters

GATED = (
    "Access to model example/large is restricted. You must have access to it and be authenticated"
)


def models(**errors: str | None) -> dict[str, Any]:
    return {
        "models": {
            name: ModelState(resident=error is None, error=error) for name, error in errors.items()
        }
    }


NOW_S = 1_900_000_000.0


def a_fetcher(message: str = "", code: int = 1, *, runs_since_s: float | None = None) -> Pod:
    """A fetching pod whose container has failed and waits for its next try, or is in it."""
    state: dict[str, Any] = {"waiting": {"reason": "CrashLoopBackOff"}}
    if runs_since_s is not None:
        started = datetime.datetime.fromtimestamp(NOW_S - runs_since_s, datetime.UTC)
        state = {"running": {"startedAt": started.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    ended = {"terminated": {"exitCode": code, "message": message}}
    return clusters.a_pod(
        "fetch",
        component=Component.FETCHER,
        # Without a readiness probe a container is ready as soon as it runs.
        ready=runs_since_s is not None,
        containerStatuses=[{"state": state, "lastState": ended}],
    )


def judge(*fetchers: Pod, job: bool | None = None, **workers: dict[str, Any]) -> supplying.Supply:
    statuses = {slot: clusters.a_worker_status(slot, **told) for slot, told in workers.items()}
    return supplying.judge(statuses, fetchers, job_is_complete=job, now_epoch_s=NOW_S)


@pytest.mark.parametrize(
    ("job", "want"),
    [
        (None, SupplyState.DOWNLOADING),
        (False, SupplyState.DOWNLOADING),
        (True, SupplyState.CACHED),
    ],
)
def test_before_any_worker_answers_the_job_decides(job: bool | None, want: SupplyState) -> None:
    assert judge(job=job).state is want


def test_a_loaded_model_without_a_job_is_there() -> None:
    assert judge(w0=models(tiny=None)).state is SupplyState.CACHED
    assert judge(w0=models()).state is SupplyState.DOWNLOADING


def test_bad_weights_in_one_slot_are_named_while_the_others_serve() -> None:
    found = judge(w0=models(tiny=None), w1=models(tiny="models/tiny is truncated\ntraceback"))
    assert found.state is SupplyState.NOT_FOUND
    assert "w1: model tiny: models/tiny is truncated" in found.message
    assert "traceback" not in found.message
    assert "spec.models[].source" in found.message


def test_an_error_that_says_what_to_do_is_told_as_it_is() -> None:
    for fix in (" - use a smaller spec.models[].dtype", "; correct spec.models[].pipeline"):
        found = judge(w0=models(large=f"model large does not fit{fix}"))
        assert found.state is SupplyState.NOT_FOUND
        assert found.message.endswith(fix)


def test_a_gate_is_told_from_a_missing_model_with_its_own_fix() -> None:
    for text in (GATED, "401 Client Error", "403 Forbidden", "Repo model x is gated"):
        found = judge(w0=models(large=text))
        assert found.state is SupplyState.GATED, text
        assert "huggingFace.tokenSecret" in found.message
    assert judge(w0=models(large="404: no such repository")).state is SupplyState.NOT_FOUND


@pytest.mark.parametrize(
    ("code", "want"),
    [
        (supplying.EXIT_GATED, SupplyState.GATED),
        (supplying.EXIT_NOT_FOUND, SupplyState.NOT_FOUND),
        (1, SupplyState.DOWNLOADING),
        (12, SupplyState.DOWNLOADING),
    ],
)
def test_a_job_that_fails_says_why_in_its_own_words(code: int, want: SupplyState) -> None:
    found = judge(a_fetcher("progress\nexample/large: do this about it", code), job=False)
    assert found.state is want
    assert "example/large: do this about it" in found.message
    assert "progress" not in found.message
    # One that succeeded after all is of no interest.
    assert judge(a_fetcher("sorry", code), job=True).state is SupplyState.CACHED


@pytest.mark.parametrize(
    ("code", "want_words"),
    [
        (supplying.EXIT_GATED, "huggingFace.tokenSecret"),
        (supplying.EXIT_NOT_FOUND, "spec.models[].source"),
        (1, "exit code 1"),
    ],
)
def test_a_job_that_fails_without_a_word_is_told_with_a_fix_too(code: int, want_words: str) -> None:
    assert want_words in judge(a_fetcher("", code), job=False).message


def test_a_failure_stands_through_the_next_tries_until_one_outlasts_it() -> None:
    code = supplying.EXIT_GATED
    paused = judge(a_fetcher("licence!", code), job=False)
    trying = judge(a_fetcher("licence!", code, runs_since_s=5.0), job=False)
    # The status is not written anew with each try.
    assert trying == paused
    fetching = judge(
        a_fetcher("licence!", code, runs_since_s=supplying.RETRY_LASTS_S + 1), job=False
    )
    assert fetching.state is SupplyState.DOWNLOADING
    assert "licence!" not in fetching.message


@pytest.mark.parametrize("code", supplying.ENDED_FROM_OUTSIDE)
def test_a_fetch_that_was_ended_from_outside_has_not_failed(code: int) -> None:
    found = judge(a_fetcher("ended by signal 15", code), job=False)
    assert found.state is SupplyState.DOWNLOADING
    assert "signal" not in found.message


UNBOUND = '0/2 nodes are available: persistentvolumeclaim "cache" not found.'


def test_a_fetch_whose_pod_cannot_start_is_no_missing_model() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "message": UNBOUND}
    unbound = clusters.a_pod(
        "fetch", component=Component.FETCHER, ready=False, conditions=[scheduled]
    )
    found = judge(unbound, job=False)
    assert found.state is SupplyState.DOWNLOADING
    assert UNBOUND in found.message
    assert "modelCache" in found.message
    waiting = {"waiting": {"reason": "ImagePullBackOff"}}
    unpulled = clusters.a_pod(
        "fetch",
        component=Component.FETCHER,
        ready=False,
        containerStatuses=[{"state": waiting, "image": "x.example/y:z"}],
    )
    found = judge(unpulled, job=False)
    assert "image x.example/y:z cannot be pulled" in found.message
    assert "modelCache" not in found.message


def test_the_newest_pod_of_a_job_speaks_for_it() -> None:
    lost = replace(a_fetcher("licence!", supplying.EXIT_GATED), name="lost", born="2029")
    fresh = clusters.a_pod("new", component=Component.FETCHER)
    assert judge(lost, fresh, job=False).state is SupplyState.DOWNLOADING
    assert judge(lost, job=False).state is SupplyState.GATED


def test_a_discriminator_counts_as_a_model() -> None:
    found = judge(w0={"discriminator_error": "no file", **models(tiny=None)})
    assert found.state is SupplyState.NOT_FOUND
    assert "discriminator: no file" in found.message

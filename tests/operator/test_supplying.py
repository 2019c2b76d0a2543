"""Where models are: cached, on their way, behind a gate, or nowhere."""

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


def a_fetcher(message: str = "", code: int = 1) -> Pod:
    ended = {"exitCode": code, "message": message}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    return clusters.a_pod(
        "fetch",
        component=Component.FETCHER,
        ready=False,
        containerStatuses=[{"state": state, "lastState": {"terminated": ended}}],
    )


def judge(*fetchers: Pod, job: bool | None = None, **workers: dict[str, Any]) -> supplying.Supply:
    statuses = {slot: clusters.a_worker_status(slot, **told) for slot, told in workers.items()}
    return supplying.judge(statuses, fetchers, job_is_complete=job)


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


def test_a_gate_is_told_from_a_missing_model_with_its_own_fix() -> None:
    for text in (GATED, "401 Client Error", "403 Forbidden", "Repo model x is gated"):
        found = judge(w0=models(large=text))
        assert found.state is SupplyState.GATED, text
        assert "huggingFace.tokenSecret" in found.message
    assert judge(w0=models(large="404: no such repository")).state is SupplyState.NOT_FOUND


def test_a_job_that_fails_says_why() -> None:
    found = judge(a_fetcher(f"progress\n{GATED}"), job=False)
    assert found.state is SupplyState.GATED
    assert "Access to model" in found.message
    # One that succeeded after all is of no interest.
    assert judge(a_fetcher(GATED), job=True).state is SupplyState.CACHED


def test_a_discriminator_counts_as_a_model() -> None:
    found = judge(w0={"discriminator_error": "no file", **models(tiny=None)})
    assert found.state is SupplyState.NOT_FOUND
    assert "discriminator: no file" in found.message

"""Whether the models are where workers can load them, from the fetching Job and the workers' words.

The Job says by its exit status what kind of failure it met and by its last line what to do; workers
that fetch for themselves say it as the error of a model. Both are told apart once, in this module.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hadis.wire.reports import WorkerStatus
from hadis_operator.slots import Ending, Plight, Pod


class SupplyState(StrEnum):
    """Where the models are; the values are the reasons of the condition ModelsAvailable."""

    CACHED = "Cached"  # every model is loaded by, or ready for, every worker that answers
    DOWNLOADING = "Downloading"  # being fetched or loaded for the first time
    GATED = "Gated"  # the hub wants a token, or a licence to be accepted
    NOT_FOUND = "NotFound"  # missing, or not what it should be


GATED_FIX = (
    "accept the model's licence on its page and give a token that may read it: put it into the "
    "Secret that the chart's huggingFace.tokenSecret names, in this namespace"
)
NOT_FOUND_FIX = "correct spec.models[].source, or put the weights where it points to"
POD_FIX = (
    "give the pod that fetches a node and its claim: see nodeSelector, tolerations and modelCache "
    "in spec.workers.template"
)
EXIT_GATED, EXIT_NOT_FOUND = 10, 11
"""Exit statuses of the Job's container, as `hadis_server.troubles` has them. Whatever else fails
may pass by itself."""
ENDED_FROM_OUTSIDE = (137, 143)
"""By the kernel or a node that is drained: the next try goes on from there."""
RETRY_LASTS_S = 60.0
"""A try that runs for this long has come further than the last, which failed."""
_KINDS = {
    EXIT_GATED: (SupplyState.GATED, GATED_FIX),
    EXIT_NOT_FOUND: (SupplyState.NOT_FOUND, NOT_FOUND_FIX),
}
_GATED = re.compile(
    r"gated|\b401\b|\b403\b|unauthori[sz]ed|forbidden|access to model", re.IGNORECASE
)
_HAS_FIX = re.compile(r"; | - ")
"""A worker that knows what to do about it says so behind one of these."""


@dataclass(frozen=True, slots=True)
class Supply:
    """The judgement with its message."""

    state: SupplyState
    message: str


def judge(
    workers: Mapping[str, WorkerStatus],
    fetchers: Iterable[Pod],
    *,
    job_is_complete: bool | None,
    now_epoch_s: float,
) -> Supply:
    """Return where the models are. `job_is_complete` is None where no Job fetches."""
    troubles = sorted(set(_troubles(workers)))
    if troubles:
        told = "; ".join(troubles[:4])
        if any(_GATED.search(trouble) for trouble in troubles):
            return Supply(SupplyState.GATED, f"{told} - {GATED_FIX}")
        fix = "" if all(map(_HAS_FIX.search, troubles)) else f" - {NOT_FOUND_FIX}"
        return Supply(SupplyState.NOT_FOUND, told + fix)
    if job_is_complete is False:
        return _fetched(fetchers, now_epoch_s)
    loaded = any(state.resident for status in workers.values() for state in status.models.values())
    if job_is_complete or loaded:
        return Supply(SupplyState.CACHED, "the models are where workers load them from")
    return Supply(SupplyState.DOWNLOADING, "no worker has loaded a model yet")


def _fetched(fetchers: Iterable[Pod], now_epoch_s: float) -> Supply:
    """Return how far the Job is, by its newest pod."""
    pod = max(fetchers, key=lambda one: (one.born, one.name), default=None)
    ending = None if pod is None else _failure(pod, now_epoch_s)
    if ending is not None:
        state, fix = _KINDS.get(ending.status, (SupplyState.DOWNLOADING, ""))
        told = f"fetching fails: {ending.last_words or fix or ending}"
        again = "" if fix else " - it is tried again, every five minutes at least"
        return Supply(state, told + again)
    if pod is not None and pod.plight is Plight.UNSCHEDULABLE:
        return Supply(SupplyState.DOWNLOADING, f"nothing is fetched: {pod.why} - {POD_FIX}")
    # One that has run before was ended from outside, and only waits for its next try.
    if pod is not None and pod.plight is Plight.CRASHING and pod.ending is None:
        return Supply(SupplyState.DOWNLOADING, f"nothing is fetched: {pod.why}")
    return Supply(
        SupplyState.DOWNLOADING,
        "the models are being fetched into the cache, once for all workers",
    )


def _failure(pod: Pod, now_epoch_s: float) -> Ending | None:
    """Return how the last try failed; None once another has outlasted it."""
    if pod.ending is None or pod.ending.status in ENDED_FROM_OUTSIDE:
        return None
    began_s = pod.process.started_epoch_s
    runs_on = began_s is not None and now_epoch_s - began_s >= RETRY_LASTS_S
    return None if runs_on else pod.ending


def _troubles(workers: Mapping[str, WorkerStatus]) -> Iterable[str]:
    for slot, status in sorted(workers.items()):
        for name, model in sorted(status.models.items()):
            if model.error is not None:
                yield f"{slot}: model {name}: {_first_line(model.error)}"
        if status.discriminator_error is not None:
            yield f"{slot}: discriminator: {_first_line(status.discriminator_error)}"


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0][:300]

"""Whether the models are where workers can load them, from the fetching Job and the workers' words.

Hugging Face tells a missing model from a gated one by status and text; both arrive here as the last
line of a log or the error of a model, and are told apart once, in this module.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hadis.wire.reports import WorkerStatus
from hadis_operator.slots import Pod


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
_GATED = re.compile(
    r"gated|\b401\b|\b403\b|unauthori[sz]ed|forbidden|access to model", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Supply:
    """The judgement with its message."""

    state: SupplyState
    message: str


def judge(
    workers: Mapping[str, WorkerStatus], fetchers: Iterable[Pod], *, job_is_complete: bool | None
) -> Supply:
    """Return where the models are. `job_is_complete` is None where no Job fetches."""
    troubles = list(_troubles(workers))
    if job_is_complete is False:
        troubles += [f"fetching fails: {pod.why}" for pod in fetchers if pod.plight and pod.why]
    if troubles:
        told = "; ".join(sorted(set(troubles))[:4])
        if any(_GATED.search(trouble) for trouble in troubles):
            return Supply(SupplyState.GATED, f"{told} - {GATED_FIX}")
        return Supply(SupplyState.NOT_FOUND, f"{told} - {NOT_FOUND_FIX}")
    if job_is_complete is False:
        return Supply(
            SupplyState.DOWNLOADING,
            "the models are being fetched into the cache, once for all workers",
        )
    loaded = any(state.resident for status in workers.values() for state in status.models.values())
    if job_is_complete or loaded:
        return Supply(SupplyState.CACHED, "the models are where workers load them from")
    return Supply(SupplyState.DOWNLOADING, "no worker has loaded a model yet")


def _troubles(workers: Mapping[str, WorkerStatus]) -> Iterable[str]:
    for slot, status in sorted(workers.items()):
        for name, model in sorted(status.models.items()):
            if model.error is not None:
                yield f"{slot}: model {name}: {_first_line(model.error)}"
        if status.discriminator_error is not None:
            yield f"{slot}: discriminator: {_first_line(status.discriminator_error)}"


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0][:300]

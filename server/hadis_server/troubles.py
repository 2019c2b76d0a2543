"""Why fetching failed, told apart in one place: a status for programs, one line for people.

The hub's errors arrive wrapped by its client and by diffusers, so the whole chain of causes is
looked at, the outermost first.
"""

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RevisionResolutionError,
)

from hadis.errors import ModelUnavailable
from hadis_server import caches, hub

MAX_REASON_CHARS = 100
"""The whole line must fit into a condition, of which a quarter page is shown."""
FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
BUSY = 429


class Trouble(IntEnum):
    """Kinds of failures; the values are the exit statuses of `hadis_server.prefetching`."""

    UNEXPECTED = 1  # a fault of ours: the log has more
    USAGE = 2  # the command line is wrong
    GATED = 10  # the hub wants a token, another token, or a licence to be accepted
    NOT_FOUND = 11  # no such repository, revision or file, or not what it should be
    NO_SPACE = 12  # the cache is full
    UNREACHABLE = 13  # no network, no hub, or forbidden to ask it
    UNWRITABLE = 14  # the cache may not be written


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure: its kind, and what is wrong with the fix, in one line."""

    trouble: Trouble
    message: str

    @property
    def concerns_all(self) -> bool:
        """Whether whatever is fetched next would fail as well."""
        return self.trouble not in (Trouble.GATED, Trouble.NOT_FOUND)


def judge(error: BaseException, repository: str) -> Failure:
    """Return what `error`, raised while `repository` was fetched, means."""
    cache = caches.folder()
    links = list(_chain(error))
    for link in links:
        found = _of_space(link, cache) or _of_hub(link, repository)
        if found is not None:
            return found
    for link in links:
        # Before errors of the system: a refused connection may be told as a forbidden one.
        if isinstance(link, hub.TransportError):
            return _unreachable(repository, str(link) or type(link).__name__)
    for link in links:
        if isinstance(link, OSError) and link.errno in FORBIDDEN:
            return _unwritable(link, cache)
    if any(isinstance(link, LocalEntryNotFoundError | RevisionResolutionError) for link in links):
        return _unreachable(repository, str(error))
    if isinstance(error, ModelUnavailable | HFValidationError | OSError | ValueError):
        # diffusers says in such words what a repository lacks, e.g. safetensors weights.
        return Failure(
            Trouble.NOT_FOUND,
            f"{repository} cannot be used: {_short(error)} - a model is a complete diffusers "
            "pipeline with safetensors weights",
        )
    return Failure(
        Trouble.UNEXPECTED, f"{repository}: {type(error).__name__}: {_short(error)} - see the log"
    )


def worst(failures: list[Failure]) -> Trouble:
    """Return the kind that all of them together count as: people are needed for a token first."""
    kinds = [failure.trouble for failure in failures]
    return next((kind for kind in kinds if kind is not Trouble.NOT_FOUND), Trouble.NOT_FOUND)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__]


def _of_space(error: BaseException, cache: Path) -> Failure | None:
    number = error.errno if isinstance(error, OSError) else None
    # Downloads that do not run in Python tell the same in words only.
    if number not in FULL and "No space left on device" not in str(error):
        return None
    return Failure(
        Trouble.NO_SPACE,
        f"no space is left in the cache {cache} ({_room(cache)}): enlarge the claim, or delete "
        "models from it that nobody uses",
    )


def _unwritable(error: OSError, cache: Path) -> Failure:
    return Failure(
        Trouble.UNWRITABLE,
        f"the cache {cache} cannot be written ({_short(error)}): make the claim writable for group "
        "10001, or set huggingFace.offline and fill it by hand",
    )


def _of_hub(error: BaseException, repository: str) -> Failure | None:
    if isinstance(error, OfflineModeIsEnabled) and constants.is_offline_mode():
        return _unreachable(repository, "HF_HUB_OFFLINE is set in spec.workers.template.env")
    if not isinstance(error, HfHubHTTPError):
        return None
    status = error.response.status_code
    if isinstance(error, GatedRepoError) or status in (401, 403):
        return Failure(Trouble.GATED, _refused(repository, status))
    if status == BUSY or status >= 500:
        return _unreachable(repository, f"it answers {status}")
    return Failure(
        Trouble.NOT_FOUND,
        f"{repository}: {_missing(error)} ({status}): correct the repository or its revision, or "
        "give a token that may see it",
    )


def _refused(repository: str, status: int) -> str:
    licence = f"accept the licence on {constants.ENDPOINT}/{repository}"
    if get_token() is None:
        return (
            f"{repository}: the hub wants a token ({status}), or the name is wrong: {licence} and "
            "put a token into the Secret of huggingFace.tokenSecret in this namespace"
        )
    return (
        f"{repository}: the hub refuses the token ({status}): {licence} with the token's account, "
        "or give a token that may read it"
    )


def _missing(error: HfHubHTTPError) -> str:
    match error.response.headers.get("X-Error-Code"):
        case "RevisionNotFound":
            return "the hub has no such revision"
        case "EntryNotFound":
            # The one file that is asked for by name rather than out of the listing.
            return "the repository lacks model_index.json"
        case _:
            return "the hub has no such repository"


def _unreachable(repository: str, why: str) -> Failure:
    return Failure(
        Trouble.UNREACHABLE,
        f"{repository}: the hub {constants.ENDPOINT} cannot be asked ({_cut(why)}): check egress "
        "and HTTPS_PROXY; without a way out set huggingFace.offline and fill the claim by hand",
    )


def _room(cache: Path) -> str:
    try:
        usage = shutil.disk_usage(cache)
    except OSError:
        return "its size cannot be read"
    return f"{caches.in_words(usage.free)} free of {caches.in_words(usage.total)}"


def _short(error: BaseException) -> str:
    return _cut(str(error) or type(error).__name__)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_REASON_CHARS else f"{line[: MAX_REASON_CHARS - 1]}…"

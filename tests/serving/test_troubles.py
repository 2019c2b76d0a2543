"""Why fetching fails, by the errors that a hub, a disk and the network really raise."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.utils import httpx

from hadis.errors import ModelUnavailable
from hadis_server import troubles
from hadis_server.troubles import Failure, Trouble
from hadis_serving import ports
from support.pretended_hub import OUTSIDERS_TOKEN, TOKEN, PretendedHub

MODEL = "tiny/model"


@pytest.fixture(scope="module")
def hub() -> Iterator[PretendedHub]:
    with PretendedHub() as running:
        running.add(MODEL, {"model_index.json": b"{}"})
        running.add("tiny/gated", {"model_index.json": b"{}"}, gated=True)
        yield running


@pytest.fixture(autouse=True)
def _a_place_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def raised(call: Callable[[], object]) -> BaseException:
    """What a call raises, as it comes out of a library that wraps it once more."""
    try:
        try:
            call()
        except Exception as error:
            raise OSError("cannot load it") from error
    except OSError as error:
        return error
    raise AssertionError("nothing was raised")


def asking(hub: PretendedHub, repository: str, token: str = "", file: str = "") -> Failure:
    """What it means that the hub refuses a repository, or one of its files."""

    def ask() -> None:
        if file:
            hf_hub_download(repository, file, endpoint=hub.url, token=token or False)
        else:
            HfApi(endpoint=hub.url, token=token or False).model_info(repository)

    return troubles.judge(raised(ask), repository)


def test_a_licence_without_a_token(hub: PretendedHub) -> None:
    failure = asking(hub, "tiny/gated", file="model_index.json")
    assert failure.trouble is Trouble.GATED
    assert "the hub wants a token (401)" in failure.message
    assert "huggingFace.tokenSecret" in failure.message


def test_a_licence_that_the_tokens_account_has_not_accepted(
    hub: PretendedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", OUTSIDERS_TOKEN)
    failure = asking(hub, "tiny/gated", OUTSIDERS_TOKEN, "model_index.json")
    assert failure.trouble is Trouble.GATED
    assert "the hub refuses the token (403)" in failure.message


def test_a_token_that_the_hub_does_not_know(
    hub: PretendedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    failure = asking(hub, MODEL, "hf_expired")
    assert failure.trouble is Trouble.GATED
    assert "the hub refuses the token (401)" in failure.message
    assert "hf_expired" not in failure.message


def test_a_name_that_may_be_wrong_or_private(hub: PretendedHub) -> None:
    failure = asking(hub, "tiny/nothing")
    assert failure.trouble is Trouble.GATED
    assert "or the name is wrong" in failure.message


@pytest.mark.parametrize(
    ("repository", "file", "want"),
    [
        ("tiny/nothing", "", "the hub has no such repository (404)"),
        (MODEL, "unet.json", "lacks model_index.json (404)"),
    ],
)
def test_what_is_not_there(hub: PretendedHub, repository: str, file: str, want: str) -> None:
    failure = asking(hub, repository, TOKEN, file)
    assert failure.trouble is Trouble.NOT_FOUND
    assert want in failure.message
    assert not failure.concerns_all


def test_a_full_disk() -> None:
    def write() -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    failure = troubles.judge(raised(write), MODEL)
    assert failure.trouble is Trouble.NO_SPACE
    assert "no space is left in the cache" in failure.message
    assert " free of " in failure.message
    assert failure.concerns_all


def test_a_full_disk_told_in_words_only() -> None:
    error = RuntimeError("Data processing error: No space left on device (os error 28)")
    assert troubles.judge(error, MODEL).trouble is Trouble.NO_SPACE


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_cache_that_may_not_be_written(number: int) -> None:
    def write() -> None:
        raise OSError(number, os.strerror(number), "/var/cache/huggingface/hub")

    failure = troubles.judge(raised(write), MODEL)
    assert failure.trouble is Trouble.UNWRITABLE
    assert "group 10001" in failure.message


def test_a_hub_that_does_not_listen() -> None:
    with ports.bind("127.0.0.1", 0) as closed:
        url = f"http://127.0.0.1:{ports.port_of(closed)}"
    failure = troubles.judge(raised(lambda: HfApi(endpoint=url).model_info(MODEL)), MODEL)
    assert failure.trouble is Trouble.UNREACHABLE
    assert "check egress" in failure.message
    assert failure.concerns_all


def test_a_connection_that_a_policy_forbids_is_no_fault_of_the_cache() -> None:
    def connect() -> None:
        try:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        except PermissionError as error:
            raise httpx.ConnectError("[Errno 1] Operation not permitted") from error

    assert troubles.judge(raised(connect), MODEL).trouble is Trouble.UNREACHABLE


def test_a_repository_without_safe_weights() -> None:
    error = OSError("Could not find the necessary `safetensors` weights in {'unet/model.bin'}")
    failure = troubles.judge(error, MODEL)
    assert failure.trouble is Trouble.NOT_FOUND
    assert "safetensors" in failure.message


def test_a_class_that_diffusers_lacks() -> None:
    failure = troubles.judge(ModelUnavailable("diffusers has no pipeline 'Nope'"), MODEL)
    assert failure.trouble is Trouble.NOT_FOUND
    assert "'Nope'" in failure.message


def test_a_fault_of_ours_is_no_fault_of_the_model() -> None:
    failure = troubles.judge(ZeroDivisionError("division by zero"), MODEL)
    assert failure.trouble is Trouble.UNEXPECTED
    assert failure.concerns_all


def test_lines_are_single_and_short(hub: PretendedHub) -> None:
    failures = [
        asking(hub, "tiny/gated", file="model_index.json"),
        troubles.judge(OSError("many\nlines " * 100), MODEL),
        troubles.judge(ZeroDivisionError("x" * 1000), MODEL),
    ]
    for failure in failures:
        assert "\n" not in failure.message
        assert len(failure.message) < 300


@pytest.mark.parametrize(
    ("kinds", "want"),
    [
        ([Trouble.NOT_FOUND], Trouble.NOT_FOUND),
        ([Trouble.NOT_FOUND, Trouble.GATED], Trouble.GATED),
        ([Trouble.GATED, Trouble.NO_SPACE], Trouble.GATED),
        ([Trouble.NOT_FOUND, Trouble.NO_SPACE], Trouble.NO_SPACE),
    ],
)
def test_several_failures_count_as_one_kind(kinds: list[Trouble], want: Trouble) -> None:
    assert troubles.worst([Failure(kind, "") for kind in kinds]) is want

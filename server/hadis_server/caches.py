"""The cache on its disk: who may fill it, what is left over in it, how much of it is there."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

log = logging.getLogger(__name__)

LOCK_NAME = "lock"
LOCK_POLL_S = 1.0
STILL_WAITING_S = 60.0
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
PROGRESS_S = 10.0
ABANDONED_S = 600.0
"""A partial file that nobody has written to for so long is left over from a pod that was ended."""
GROUP_WRITABLE = 0o664
"""Temporary files are their owner's alone; pods that share a claim share but the group."""


def folder() -> Path:
    """Return the folder in which the hub's client keeps repositories."""
    return Path(constants.HF_HUB_CACHE)


def repository(name: str) -> Path:
    """Return the folder of a repository."""
    return folder() / repo_folder_name(repo_id=name, repo_type="model")


def blobs(name: str) -> Path:
    """Return the folder in which a repository's files lie, under their hashes."""
    return repository(name) / "blobs"


@contextlib.contextmanager
def sole_writer(lock_folder: Path) -> Iterator[None]:
    """Wait until no other Job fetches into this cache; one that is killed holds no lock."""
    lock_folder.mkdir(parents=True, exist_ok=True)
    with (lock_folder / LOCK_NAME).open("a") as file:
        _lock(file)
        yield


def _lock(file: IO[str]) -> None:
    told_s = -STILL_WAITING_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() - told_s >= STILL_WAITING_S:
                log.info("another Job fetches into this cache; waiting for its end")
                told_s = time.monotonic()
            time.sleep(LOCK_POLL_S)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            # Files are renamed into place, so two Jobs at once waste traffic and no more.
            log.warning("this volume has no locks (%s); going on without", error)
            return


def write_marker(marker: Path, content: object) -> None:
    """Write the marker in one go, after all that it speaks of is on the disk."""
    with tempfile.NamedTemporaryFile("w", dir=marker.parent, delete=False) as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), GROUP_WRITABLE)
    Path(file.name).replace(marker)


def sweep(now_s: float | None = None) -> None:
    """Delete partial downloads of pods that were ended: nothing takes them up again.

    A partial file is `ETAG.RANDOM.incomplete` beside `ETAG`, the whole one. It is left over when
    the whole one is there, or when nobody has written to it for long; one that grows may be
    somebody's who fills the cache by hand.
    """
    now_s = time.time() if now_s is None else now_s
    for partial in folder().glob("models--*/blobs/*.incomplete"):
        with contextlib.suppress(FileNotFoundError):
            whole = partial.with_name(partial.name.partition(".")[0])
            status = partial.stat()
            if whole.exists() or now_s - status.st_mtime > ABANDONED_S:
                log.info("deleting %s, left over: %s", partial.name, in_words(status.st_size))
                partial.unlink()


@contextlib.contextmanager
def progress(where: str, name: str) -> Iterator[None]:
    """Tell in the log, every few seconds, how much there is and how fast it comes."""
    done = threading.Event()

    def tell() -> None:
        before, at_s = size_of(name), time.monotonic()
        while not done.wait(PROGRESS_S):
            now, now_s = size_of(name), time.monotonic()
            rate = in_words(max(0, now - before) / (now_s - at_s))
            log.info("%s: %s so far, %s/s", where, in_words(now), rate)
            before, at_s = now, now_s

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def size_of(name: str) -> int:
    """Return the bytes of a repository that are on the disk, partial files among them."""
    total = 0
    for file in blobs(name).glob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def in_words(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"

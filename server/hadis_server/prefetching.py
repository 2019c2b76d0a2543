"""`python -m hadis_server.prefetching`: fetch a cascade's models into the cache, once for all.

The operator's Job runs it beside the claim that workers mount. It fetches exactly what they load
without asking the hub, and says so by a marker, written last: workers wait for it. Files that are
there are not fetched again, so that a Job that was ended goes on where it was. What fails is told
in the last line of the log and as the pod's termination message, its kind by the exit status
(`troubles.Trouble`).
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hadis.errors import InvalidInput
from hadis_server import caches, errands, hub, troubles
from hadis_server.errands import Errand
from hadis_server.troubles import Failure, Trouble
from hadis_serving import logs

log = logging.getLogger(__name__)

TERMINATION_LOG = Path("/dev/termination-log")
ENDED_BY_SIGNAL = 128 + signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    sources: str
    """What the operator's `weights.sources` returns, as JSON."""
    marker: Path
    """File that says that all of it is there. Its folder holds the lock, too."""
    termination_log: Path = TERMINATION_LOG
    """File that is told why fetching failed, where it exists: a pod's termination message."""


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch what is missing; return the exit status."""
    logs.configure("fetch")
    # The first process of a container ignores signals that it does not handle.
    signal.signal(signal.SIGTERM, _end)
    options = _parse(argv)
    failures = _run(options)
    if not failures:
        return 0
    _report(failures, options.termination_log)
    return int(troubles.worst(failures))


def _parse(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="hadis_server.prefetching", description=__doc__)
    parser.add_argument("--sources", required=True, metavar="JSON")
    parser.add_argument("--marker", required=True, type=Path, metavar="FILE")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, metavar="FILE")
    return Options(**vars(parser.parse_args(argv)))


def _run(options: Options) -> list[Failure]:
    try:
        cascade = errands.read(options.sources)
        if options.marker.exists():
            log.info("%s is there: nothing to fetch", options.marker)
            return []
        with caches.sole_writer(options.marker.parent):
            if options.marker.exists():
                log.info("another Job has written %s meanwhile", options.marker)
                return []
            caches.sweep()
            todo = errands.plan(cascade)
            failures = fetch(todo)
            if not failures:
                caches.write_marker(options.marker, {"fetched": _fetched(todo)})
                log.info("everything is there: %s", options.marker)
            caches.sweep()
            return failures
    except InvalidInput as error:
        return [Failure(Trouble.USAGE, str(error))]
    except OSError as error:
        log.exception("the cache fails")
        return [troubles.judge(error, str(options.marker))]


def fetch(todo: Sequence[Errand]) -> list[Failure]:
    """Go on all errands and return what failed.

    What concerns one repository alone keeps no other back: the next try has less to do.
    """
    hub.quiet()
    failures: list[Failure] = []
    for number, errand in enumerate(todo, start=1):
        where = f"{errand.repository} ({number} of {len(todo)})"
        log.info("fetching %s", where)
        began_s = time.monotonic()
        try:
            with caches.progress(where, errand.repository):
                errand.fetch()
        except Exception as error:
            # The outermost edge: whatever a library raises becomes a line and an exit status.
            failure = troubles.judge(error, errand.repository)
            is_ours = failure.trouble is Trouble.UNEXPECTED
            log.error("%s", failure.message, exc_info=is_ours)
            failures.append(failure)
            if failure.concerns_all:
                break
            continue
        there = caches.in_words(caches.size_of(errand.repository))
        log.info("%s is there after %.1f s: %s", where, time.monotonic() - began_s, there)
    return failures


def _fetched(todo: Sequence[Errand]) -> list[dict[str, str | None]]:
    """Return what the marker tells people: which commit of each repository is there."""
    return [
        {
            "repository": errand.repository,
            "revision": errand.revision,
            "commit": hub.commit(errand.repository, errand.revision),
        }
        for errand in todo
    ]


def _report(failures: Sequence[Failure], termination_log: Path) -> None:
    line = "; ".join(dict.fromkeys(failure.message for failure in failures))
    if termination_log.is_file() and os.access(termination_log, os.W_OK):
        termination_log.write_text(f"{line}\n", encoding="utf-8")
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command's last word


def _end(number: int, _frame: object) -> None:
    """End at once: threads that download would hold a tidy exit up beyond the pod's grace."""
    os.write(sys.stderr.fileno(), f"ended by signal {number}; the next try goes on\n".encode())
    os._exit(ENDED_BY_SIGNAL)


if __name__ == "__main__":
    sys.exit(main())

"""Waiting for what comes about: by asking again, never by sleeping for as long as it may take."""

import time
from collections.abc import Callable
from typing import TypeVar

from cluster.lab.commands import Refused

T = TypeVar("T")
ASK_EVERY_S = 0.2


class NotYet(Exception):
    """What is waited for is not there; the text says what is there instead."""


class Unanswered(Exception):
    """Somebody did not answer, which may pass."""


def until(what: str, ask: Callable[[], T], within_s: float, *, every_s: float = ASK_EVERY_S) -> T:
    """Return the first true answer; fail with `what` and the last trouble when time is up.

    A refusal, a silence and NotYet are no answers.
    """
    give_up_s = time.monotonic() + within_s
    while True:
        trouble = ""
        try:
            found = ask()
            if found:
                return found
        except (NotYet, Unanswered, Refused) as error:
            trouble = f"\n{error}"
        if time.monotonic() > give_up_s:
            raise AssertionError(f"not within {within_s:g} s: {what}{trouble}")
        time.sleep(every_s)


def holds_for(what: str, ask: Callable[[], bool], for_s: float, *, every_s: float = 0.5) -> None:
    """Fail as soon as something that must go on holding does not."""
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        assert ask(), what
        time.sleep(every_s)

"""What the paper says of a figure, what came out here, and the verdict on it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a claim fared."""

    CONFIRMED = "confirmed"  # at least as strong as the paper says
    WEAKER = "weaker"  # the same direction, but less of it
    NOT_REPRODUCED = "not reproduced"  # absent, or the other way round
    NOT_MEASURED = "not measured"  # nothing here can tell


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim in our own words, with the finding that decides about it."""

    says: str
    found: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Story:
    """What a figure's section of the page holds: claims, then paragraphs that explain them."""

    claims: Sequence[Claim]
    notes: Sequence[str] = ()


def judged(*, full: bool, partly: bool) -> Verdict:
    """Return the verdict for a claim that holds in full, or at least in its direction."""
    if full:
        return Verdict.CONFIRMED
    return Verdict.WEAKER if partly else Verdict.NOT_REPRODUCED


def percent(share: float, digits: int = 1) -> str:
    """Return a share for people; what is not zero never reads as zero."""
    smallest = 10.0**-digits
    if 0 < 100 * share < smallest / 2:
        return f"< {smallest:g} %"
    return f"{round(100 * share, digits) + 0.0:.{digits}f} %"


def fid(value: float | None) -> str:
    """Return a FID for people; none where nothing was served."""
    return "no picture" if value is None else f"FID {value:.2f}"


def times(more: float, less: float) -> str:
    """Return how many times `more` is `less`."""
    if less <= 0.0:
        return "none against " + percent(more) if more > 0 else "none on either side"
    ratio = more / less
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


def listed(words: Iterable[str]) -> str:
    """Return words as an enumeration."""
    found = list(words)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)

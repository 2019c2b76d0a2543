"""docs/paper-results.md, written from the figures' numbers."""

import os
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.paper import claims, files, overheads
from benchmarks.paper.catalogue import PLATES
from benchmarks.paper.claims import Story, Verdict

HEAD = Path(__file__).with_name("head.md")
WIDTH = 140
WRAP: Mapping[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
TOOK = "ten to twenty minutes"


def write(out: Path, page: Path) -> list[str]:
    """Write the page, unless figures are missing; return which."""
    lost = missing(out)
    if not lost:
        folder = Path(os.path.relpath(out, page.parent)).as_posix()
        page.write_text(compose(out, folder), encoding="utf-8")
    return lost


def missing(out: Path) -> list[str]:
    """Return what the page needs and `out` lacks."""
    lost = [str(number) for number in PLATES if files.read(out, number) is None]
    return lost + ([] if files.read_numbers(out / files.OVERHEADS) else ["of section 5.8"])


def compose(out: Path, folder: str) -> str:
    """Return the page's text, with pictures shown from `folder`; nothing may be missing."""
    told = {number: files.read(out, number) or {} for number in PLATES}
    stories = {number: PLATES[number].story(numbers) for number, numbers in told.items()}
    last = overheads.story(files.read_numbers(out / files.OVERHEADS) or {})
    head = HEAD.read_text(encoding="utf-8")
    parts = [
        head.format(seeds=told[7]["seeds"], minutes=TOOK),
        _summary([*stories.values(), last]),
    ]
    for number, story in stories.items():
        parts.append(f"## Figure {number}: {PLATES[number].title}")
        parts += [f"![figure {number}]({folder}/{name})" for name in files.pictures_of(out, number)]
        parts.append(_told(story))
    parts += ["## Section 5.8: overheads", _told(last)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _told(story: Story) -> str:
    rows = [(claim.says, claim.found, f"**{claim.verdict.value}**") for claim in story.claims]
    told = claims.table(("the paper", "here", ""), rows)
    notes = (note if "\n" in note else textwrap.fill(note, WIDTH, **WRAP) for note in story.notes)
    return "\n\n".join((told, *notes))


def _summary(stories: list[Story]) -> str:
    counts = Counter(claim.verdict for story in stories for claim in story.claims)
    total = sum(counts.values())
    words = [f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]]
    return f"Of {total} claims {claims.listed(words)}."

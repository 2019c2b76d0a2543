"""docs/paper-results.md, written from the figures' numbers."""

import os
from collections import Counter
from pathlib import Path

from benchmarks.paper import claims, files, overheads
from benchmarks.paper.catalogue import PLATES
from benchmarks.paper.claims import Story, Verdict

HEAD = Path(__file__).with_name("head.md")
TOOK = "about ten minutes"


def write(out: Path, page: Path) -> list[str]:
    """Write the page, or return the figures that are still missing."""
    told = {number: files.read(out, number) for number in PLATES}
    times = files.read_numbers(out / files.OVERHEADS)
    missing = [str(number) for number, numbers in told.items() if numbers is None]
    missing += [] if times else ["of section 5.8"]
    if missing:
        return missing
    stories = {
        number: PLATES[number].story(numbers)
        for number, numbers in told.items()
        if numbers is not None
    }
    if times is not None:
        last = overheads.story(times)
    folder = Path(os.path.relpath(out, page.parent)).as_posix()
    parts = [HEAD.read_text(encoding="utf-8").format(seeds=(told[7] or {}).get("seeds", "?"), minutes=TOOK)]
    parts.append(_summary([*stories.values(), last]))
    for number, story in stories.items():
        parts.append(f"## Figure {number}: {PLATES[number].title}")
        parts += [
            f"![figure {number}]({folder}/{name.name})"
            for name in sorted(out.glob(f"figure-{number}*.png"))
            if name.stem.split("-")[1] == str(number)
        ]
        parts.append(_told(story))
    parts.append("## Section 5.8: overheads")
    parts.append(_told(last))
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    return []


def _told(story: Story) -> str:
    rows = [(claim.says, claim.found, f"**{claim.verdict.value}**") for claim in story.claims]
    told = claims.table(("the paper", "here", ""), rows)
    return "\n\n".join((told, *story.notes))


def _summary(stories: list[Story]) -> str:
    counts = Counter(claim.verdict for story in stories for claim in story.claims)
    total = sum(counts.values())
    words = [f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]]
    return f"Of {total} claims {claims.listed(words)}."

"""The page says what the committed numbers say, and shows pictures that are there."""

import json
import re
from pathlib import Path

import pytest
from benchmarks.paper import catalogue, files, page
from benchmarks.paper.claims import Verdict

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images" / "paper"
PAGE = ROOT / "docs" / "paper-results.md"


def test_the_page_is_what_the_committed_numbers_make_of_it() -> None:
    assert PAGE.read_text(encoding="utf-8") == page.compose(IMAGES, "images/paper")


def test_every_figure_has_its_picture_on_the_page() -> None:
    shown = re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8"))
    assert all((PAGE.parent / name).is_file() for name in shown)
    for number in catalogue.PLATES:
        assert f"images/paper/figure-{number}.png" in shown


def test_every_claim_has_a_verdict() -> None:
    stories = [
        plate.story(numbers)
        for number, plate in catalogue.PLATES.items()
        if (numbers := files.read(IMAGES, number)) is not None
    ]
    assert len(stories) == len(catalogue.PLATES)
    for story in stories:
        assert story.claims
        for claim in story.claims:
            assert isinstance(claim.verdict, Verdict)
            assert claim.found.endswith(".")
            assert "nan" not in claim.found.split()


def test_the_page_waits_for_figures_that_are_missing(tmp_path: Path) -> None:
    missing = page.write(tmp_path, tmp_path / "page.md")
    assert missing == [*map(str, catalogue.PLATES), "of section 5.8"]
    assert not (tmp_path / "page.md").exists()


@pytest.mark.parametrize("number", list(catalogue.PLATES))
def test_pictures_are_drawn_from_the_committed_numbers_alone(number: int, tmp_path: Path) -> None:
    (tmp_path / f"figure-{number}.json").write_bytes(
        (IMAGES / f"figure-{number}.json").read_bytes()
    )
    files.draw(tmp_path, number)
    assert (tmp_path / f"figure-{number}.png").stat().st_size > 5_000


def test_numbers_are_written_as_they_are_read(tmp_path: Path) -> None:
    told = {"a": {"b": [1, 2.5, None], "c": {"d": {"e": {"f": 1.23456789}}}}, "g": (1, "x")}
    files.write_numbers(tmp_path / "n.json", told)
    want = {"a": {"b": [1, 2.5, None], "c": {"d": {"e": {"f": 1.234568}}}}, "g": [1, "x"]}
    assert files.read_numbers(tmp_path / "n.json") == want
    assert json.loads((tmp_path / "n.json").read_text()) == want

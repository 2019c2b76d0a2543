"""The page itself: self-contained, clean, usable by keyboard, on a phone, in the dark."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from hadis_router import playground
from support.browser_journal import Journal
from support.scripted_router import EXAMPLES, Script

pytestmark = pytest.mark.browser
Ask = Callable[[str], None]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_it_loads_without_an_error_and_without_leaving_its_origin(
    page: Page, ask: Ask, journal: Journal
) -> None:
    expect(page.locator("#link-state")).to_have_text("Connected")
    expect(page.locator("#fact-cascade")).to_contain_text("scenes")
    expect(page.locator("#fact-slo")).to_contain_text("10 s")
    ask("a red circle")
    expect(page.locator("#frame")).to_have_attribute("data-state", "done")
    assert journal.messages == []
    assert journal.strangers == []
    assert len(journal.requests) > 10


def test_its_files_name_no_other_host() -> None:
    named = {
        (file.name, url)
        for file in playground.directory().iterdir()
        for url in re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}", file.read_text("utf-8"))
    }
    assert {url for _, url in named} <= {"http://www.w3.org"}


def test_its_policy_forbids_inline_scripts_and_styles(page: Page) -> None:
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1';"
        " document.head.append(s); }"
    )
    assert page.evaluate("window.broken") is None
    colour = page.locator("#headline").evaluate(
        "node => { node.setAttribute('style', 'color: rgb(1, 2, 3)');"
        " return getComputedStyle(node).color; }"
    )
    assert colour != "rgb(1, 2, 3)"


def test_the_examples_go_from_easy_to_hard_and_draw_at_a_click(page: Page, script: Script) -> None:
    headings = page.locator("#example-groups h3")
    expect(headings).to_have_text([group["title"] for group in EXAMPLES["groups"]])
    page.get_by_role("button", name="a large blue square", exact=True).click()
    expect(page.locator("#frame")).to_have_attribute("data-state", "done")
    assert script.generations[0]["prompt"] == "a large blue square"


class TestWithoutExamples:
    @pytest.fixture
    def script(self) -> Script:
        return Script(examples=False)

    def test_the_section_is_absent(self, page: Page) -> None:
        expect(page.locator("#link-state")).to_have_text("Connected")
        expect(page.locator("#workers li").first).to_be_visible()
        expect(page.locator("#examples")).to_be_hidden()


def test_the_gallery_keeps_pictures_over_a_reload_and_shows_their_details_again(
    page: Page, ask: Ask, script: Script
) -> None:
    script.path = "heavy"
    ask("a red circle")
    expect(page.locator("#gallery li")).to_have_count(1)
    script.path = "light"
    ask("a large blue square")
    expect(page.locator("#gallery li")).to_have_count(2)
    page.reload()
    expect(page.locator("#gallery li")).to_have_count(2)
    page.locator("#gallery button").nth(1).click()
    expect(page.locator("#headline")).to_have_text("Straight to the heavy model")
    with page.expect_download() as download:
        page.click("#download")
    assert re.fullmatch(r"hadis-a-red-circle-\d+\.png", download.value.suggested_filename)
    page.click("#gallery-clear")
    expect(page.locator("#gallery li")).to_have_count(0)


def test_the_gallery_keeps_the_newest_pictures_that_fit(page: Page) -> None:
    kept = page.evaluate(
        """async () => {
          const { withPictures } = await import('/gallery.js');
          const items = ['aaaa', 'bbb', 'cc', 'd'].map((image) => ({ image, prompt: 'p' }));
          return withPictures(items, 7).map(({ image, prompt }) => [image, prompt]);
        }"""
    )
    assert kept == [["aaaa", "p"], ["bbb", "p"], [None, "p"], [None, "p"]]


def test_a_picture_that_is_no_longer_kept_can_be_drawn_again(page: Page, ask: Ask) -> None:
    ask("a red circle")
    expect(page.locator("#gallery li")).to_have_count(1)
    page.evaluate(
        """() => {
          const [item] = JSON.parse(sessionStorage.getItem('hadis.gallery'));
          sessionStorage.setItem('hadis.gallery', JSON.stringify([{ ...item, image: null }]));
        }"""
    )
    page.reload()
    expect(page.locator("#model option")).not_to_have_count(1)
    page.get_by_role("button", name=re.compile("no longer kept")).click()
    expect(page.locator("#prompt")).to_have_value("a red circle")
    expect(page.locator("#seed")).to_have_value(re.compile(r"^\d+$"))
    expect(page.locator("#model")).to_have_value("spark")


def test_everything_can_be_reached_and_done_by_keyboard(page: Page, script: Script) -> None:
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type("a red circle")
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert reached[:5] == ["generate", "quality", "n", "seed", "model"]
    page.focus("#prompt")
    page.keyboard.press("Shift+Enter")
    assert script.generations == []
    page.keyboard.press("Enter")
    expect(page.locator("#frame")).to_have_attribute("data-state", "done")
    expect(page.locator("#announce")).to_contain_text("Picture ready")


def test_every_control_has_a_name(page: Page) -> None:
    expect(page.locator("#load-slider")).to_be_visible()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea, a[href]')]
        .filter((node) => node.checkVisibility() && !(node.getAttribute('aria-label')
          || node.textContent.trim() || node.labels?.length))
        .map((node) => node.outerHTML)"""
    )
    assert nameless == []


class TestInTheDark:
    @pytest.fixture
    def view(self) -> dict[str, object]:
        return {"color_scheme": "dark", "reduced_motion": "reduce"}

    def test_it_follows_the_system_until_told_otherwise(self, page: Page) -> None:
        brightness = (
            "parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0], 10)"
        )
        assert page.evaluate(brightness) < 60
        page.click("#theme-button")
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        assert page.evaluate(brightness) > 200
        page.reload()
        assert page.evaluate(brightness) > 200

    def test_nothing_moves_when_less_motion_is_wanted(
        self, page: Page, ask: Ask, script: Script
    ) -> None:
        script.light_s = 60.0
        ask("a red circle")
        expect(page.locator("#frame")).to_have_attribute("data-state", "busy")
        assert page.evaluate("document.getAnimations().length") == 0


class TestOnAPhone:
    @pytest.fixture
    def view(self) -> dict[str, object]:
        return PHONE

    def test_nothing_is_wider_than_the_screen(self, page: Page, ask: Ask) -> None:
        ask("a purple triangle above a cyan square")
        expect(page.locator("#frame")).to_have_attribute("data-state", "done")
        expect(page.locator("#load-stop")).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        picture = page.locator("#frame").bounding_box()
        assert picture is not None
        assert picture["width"] > 300


def test_small_pictures_are_enlarged_as_the_person_likes(page: Page, ask: Ask) -> None:
    ask("a red circle")
    expect(page.locator("#frame")).to_have_attribute("data-state", "done")
    rendering = "getComputedStyle(document.getElementById('picture')).imageRendering"
    assert page.evaluate(rendering) == "auto"
    page.locator("input[name=scaling][value=pixelated]").check(force=True)
    assert page.evaluate(rendering) == "pixelated"


def test_the_snippets_carry_this_router_s_address(page: Page, base_url: str) -> None:
    page.click("#api-button")
    snippets = page.locator("#snippets pre")
    expect(snippets.first).to_contain_text(f"curl -s {base_url}v1/images/generations")
    expect(snippets.nth(1)).to_contain_text(f'base_url="{base_url}v1"')
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#snippets").get_by_role("button").nth(1).click()
    expect(page.locator("#snippets [role=status]").nth(1)).to_have_text("copied")
    assert "from openai import OpenAI" in page.evaluate("navigator.clipboard.readText()")
    page.keyboard.press("Escape")
    expect(page.locator("#api-dialog")).to_be_hidden()

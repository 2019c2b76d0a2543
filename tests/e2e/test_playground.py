"""The playground in a real browser on the real fleet: real pictures, the real plan, real load."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from support.browser_journal import Journal
from support.browsers import PATIENCE_MS, launch, require_chromium
from support.images import largest_difference, pixels
from support.scenes_fleet import ScenesFleet

pytestmark = [pytest.mark.fleet, pytest.mark.browser, pytest.mark.timeout(600)]
LIGHT, HEAVY = "scenes-xs", "scenes-s"
NEVER, ALWAYS = 1000.0, -1000.0
TRIES = 5
Drive = Callable[[Callable[[Page], Any]], Any]


@pytest.fixture(scope="module")
def journal(fleet: ScenesFleet) -> Journal:
    return Journal(fleet.url)


@pytest.fixture(scope="module")
def drive(fleet: ScenesFleet, journal: Journal) -> Iterator[Drive]:
    """Runs a function with the open page, in the one thread that owns the browser.

    Playwright's synchronous API leaves an event loop running in its thread, which the asyncio
    tests of this process could not bear in theirs.
    """
    require_chromium()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="browser") as thread:
        playwright = thread.submit(lambda: sync_playwright().start()).result()
        browser = thread.submit(launch, playwright).result()

        def arrive() -> Page:
            expect.set_options(timeout=PATIENCE_MS)
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.set_default_timeout(PATIENCE_MS)
            journal.follow(page)
            page.goto(fleet.url, timeout=3 * PATIENCE_MS)
            expect(page.locator("#link-state")).to_have_text("Connected")
            return page

        page = thread.submit(arrive).result()
        yield lambda body: thread.submit(body, page).result()
        thread.submit(browser.close).result()
        thread.submit(playwright.stop).result()


def draw(page: Page, prompt: str) -> str:
    """Type a prompt and wait for its picture; return the badge.

    A machine that is too busy to draw within the deadline is told so by the router and shown; a
    person would try again, and so does this.
    """
    for _ in range(TRIES):
        page.fill("#prompt", prompt)
        page.press("#prompt", "Enter")
        expect(page.locator("#cancel")).to_be_hidden()
        if page.locator("#error").is_hidden():
            expect(page.locator("#frame")).to_have_attribute("data-state", "done")
            return page.locator("#badge").inner_text()
        expect(page.locator("#error")).to_contain_text(re.compile("outcome: (expired|failed|reje)"))
        page.wait_for_timeout(2000)
    raise AssertionError(f"no picture in {TRIES} tries: {page.locator('#error').inner_text()}")


def detail(page: Page, term: str) -> Locator:
    """The value of one term among the details of the picture."""
    entry = page.locator("#details div").filter(
        has=page.locator("dt", has_text=re.compile(f"^{term}$"))
    )
    return entry.locator("dd")


@pytest.mark.parametrize(
    ("hardness", "quality", "want_badges", "want_drawn_by"),
    [
        (NEVER, ALWAYS, {"Light"}, {LIGHT}),
        (ALWAYS, ALWAYS, {"Heavy"}, {HEAVY}),
        (NEVER, NEVER, {"Escalated", "Light kept"}, {LIGHT, HEAVY}),
    ],
    ids=["light", "heavy", "escalated"],
)
def test_a_typed_prompt_becomes_a_picture_with_its_path_scores_and_seed(
    fleet: ScenesFleet,
    client: openai.OpenAI,
    drive: Drive,
    hardness: float,
    quality: float,
    want_badges: set[str],
    want_drawn_by: set[str],
) -> None:
    prompt = "a red circle above a blue square"

    def tour(page: Page) -> dict[str, str]:
        for _ in range(TRIES):
            badge = draw(page, prompt)
            if badge != "Degraded":  # the machine was too busy for the heavy model
                break
        assert badge in want_badges
        assert page.locator("#picture").evaluate("image => image.naturalWidth") == 64
        expect(page.locator("#timing")).to_contain_text(re.compile(r"of 10 s allowed"))
        expect(detail(page, "Hardness")).to_have_text(re.compile(r"^-?\d+\.\d{3}$"))
        if badge != "Heavy":
            expect(detail(page, "Quality score")).to_have_text(re.compile(r"^\d\.\d{3}$"))
        expect(detail(page, "Plan")).to_have_text(re.compile(r"^\d+$"))
        return {
            "model": detail(page, "Model").inner_text(),
            "seed": detail(page, "Seed").inner_text(),
            "image": page.locator("#picture").get_attribute("src") or "",
        }

    fleet.pin(LIGHT, HEAVY, hardness=hardness, quality=quality)
    try:
        shown = drive(tour)
    finally:
        fleet.unpin()
    assert shown["model"] in want_drawn_by
    again = client.images.generate(
        prompt=prompt, model=shown["model"], extra_body={"seed": int(shown["seed"])}
    )
    assert again.data is not None
    assert again.data[0].b64_json is not None
    seen = pixels(shown["image"].partition("base64,")[2])
    assert largest_difference(seen, pixels(again.data[0].b64_json)) <= 1


def test_a_word_that_the_models_do_not_know_is_named_under_the_picture(drive: Drive) -> None:
    def tour(page: Page) -> None:
        draw(page, "a red circle riding a bicycle")
        expect(page.locator("#unknown")).to_contain_text("do not know “riding” and “bicycle”")
        draw(page, "a red circle")
        expect(page.locator("#unknown")).to_be_hidden()

    drive(tour)


def test_an_example_prompt_is_drawn_at_a_click_and_joins_the_gallery(drive: Drive) -> None:
    def tour(page: Page) -> None:
        example = page.locator("#example-groups button").first
        before = page.locator("#gallery li").count()
        for _ in range(TRIES):
            example.click()
            expect(page.locator("#cancel")).to_be_hidden()
            if page.locator("#error").is_hidden():
                break
        expect(page.locator("#gallery li")).to_have_count(before + 1)
        expect(page.locator("#picture")).to_have_attribute("alt", example.inner_text())

    drive(tour)


def test_plan_and_workers_are_those_of_the_fleet(
    fleet: ScenesFleet, drive: Drive, journal: Journal
) -> None:
    def tour(page: Page) -> None:
        chips = page.locator("#plan-body .chip b")
        expect(chips).to_have_text([LIGHT, HEAVY])
        expect(page.locator(".limit.theta strong")).to_have_text("0.50")
        expect(page.locator(".limit.tau strong")).to_have_text("0.25")
        expect(page.locator("#plan-note")).to_have_text(re.compile(r"^version \d+"))
        workers = page.locator("#workers li")
        expect(workers).to_have_count(len(fleet.workers()))
        expect(page.locator("#workers-note")).to_have_text("2 of 2 ready")
        expect(workers.first).to_contain_text("scenes-")
        expect(page.locator(".chart-value").nth(2)).to_have_text("θ 0.50, τ 0.25")
        expect(page.locator(".chart-value").nth(3)).to_have_text("2 workers")

    fleet.pin(LIGHT, HEAVY, hardness=0.5, quality=0.25)
    try:
        drive(tour)
    finally:
        fleet.unpin()
    assert journal.strangers == []


def test_the_slider_raises_the_demand_that_the_page_shows_and_stops_it_again(
    fleet: ScenesFleet, drive: Drive
) -> None:
    asked = re.compile(r"^[1-9]\d*(\.\d)?/s asked$")

    def raise_load(page: Page) -> None:
        page.focus("#load-slider")
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        expect(page.locator(".load-rate")).to_have_text("2/s")
        expect(page.locator(".chart-value").first).to_have_text(asked)
        expect(page.locator(".load-counts")).not_to_contain_text(re.compile(r"Pictures0"))

    def stop_load(page: Page) -> None:
        page.click("#load-stop")
        expect(page.locator(".load-rate")).to_have_text("off")
        expect(page.locator(".chart-value").first).to_have_text("0/s asked")
        sent = page.locator(".load-counts dd").first.inner_text()
        page.wait_for_timeout(3000)
        assert page.locator(".load-counts dd").first.inner_text() == sent

    before = sum(fleet.outcomes().values())
    try:
        drive(raise_load)
        drive(stop_load)
    finally:
        set_load(fleet, 0)
    fleet.wait_until(
        "everything that was sent has ended",
        lambda status: status["demand"]["counts"]["in_flight"] == 0,
    )
    assert sum(fleet.outcomes().values()) > before
    assert load_of(fleet)["rate"] == 0


def set_load(fleet: ScenesFleet, rate: float) -> None:
    """Set the rate as the slider does."""
    request = urllib.request.Request(
        f"{fleet.url}/playground/load", json.dumps({"rate": rate}).encode(), method="PUT"
    )
    urllib.request.urlopen(request, timeout=30).close()


def load_of(fleet: ScenesFleet) -> dict[str, Any]:
    with urllib.request.urlopen(f"{fleet.url}/playground/load", timeout=30) as reply:
        told: dict[str, Any] = json.load(reply)
    return told

"""The live view: plan, workers, charts and the load slider follow the router once a second."""

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from support.scripted_router import Script

pytestmark = pytest.mark.browser


def until(page: Page, condition: Callable[[], bool]) -> None:
    """Wait until the script tells that something came about; half a minute at most."""
    until_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until_s, "the condition did not come about"
        page.wait_for_timeout(50)


def test_the_plan_is_told_with_its_reasons(page: Page, script: Script) -> None:
    plan = page.locator("section.plan")
    expect(plan).to_contain_text("optimal")
    expect(plan).to_contain_text("version")
    expect(plan.locator(".limit.theta")).to_contain_text(re.compile(r"0\.\d\d"))
    expect(plan).to_contain_text("Expected fulfilment89 %")
    expect(plan.locator(".lane")).to_have_count(2)
    expect(plan.locator(".why")).to_contain_text("More quality would need more workers.")
    expect(plan.locator(".why")).to_contain_text("it needs 5 workers of 3")
    script.reasons = {"notes": ["demand is rising"], "margin_s": 2.5}
    expect(plan.locator(".why li")).to_have_text(
        ["Demand rose.", "Demand is rising.", "Margin: 2.50 s"]
    )


def test_a_plan_of_one_model_is_told_as_what_it_is(page: Page, script: Script) -> None:
    chips = page.locator("#plan-body .chip")
    expect(chips).to_have_text([re.compile("light$"), re.compile("heavy$")])
    script.plan_changes = {"light": "canvas", "heavy": "canvas"}
    expect(chips).to_have_text(["canvasfirst try", "canvassecond try"])
    script.plan_changes |= {"quality_threshold": None, "hardness_threshold": None}
    expect(chips).to_have_text(["canvasalone"])


def test_what_the_person_folded_stays_folded_when_the_plan_changes(
    page: Page, script: Script
) -> None:
    why = page.locator(".why")
    expect(why).to_have_attribute("open", "")
    why.locator("summary").click()
    expect(why).not_to_have_attribute("open", "")
    script.plan_changes = {"planned_demand": 77.0}
    expect(page.locator(".plan-facts")).to_contain_text("77/s")
    expect(why).not_to_have_attribute("open", "")
    expect(why.locator("summary")).to_be_focused()


def test_a_router_without_a_plan_says_so(page: Page, script: Script) -> None:
    script.plan = False
    expect(page.locator("#plan-body")).to_contain_text("Waiting for the controller's first plan")
    script.plan = True
    expect(page.locator("#plan-body .chip")).to_have_count(2)


def test_every_worker_has_a_tile_with_its_model_and_queue(page: Page, script: Script) -> None:
    tiles = page.locator("#workers li")
    expect(tiles).to_have_count(3)
    expect(tiles.first).to_contain_text(re.compile(r"\d running, \d waiting"))
    script.worker_state = "unreachable"
    expect(page.locator("#workers .away")).to_have_count(3)
    expect(page.locator("#workers-note")).to_have_text("0 of 3 ready")


def test_the_charts_move_on_with_the_router(page: Page) -> None:
    charts = page.locator(".chart")
    expect(charts).to_have_count(4)
    expect(page.locator(".bars rect").first).to_be_attached()
    plot = page.locator(".plot svg").first
    before = plot.evaluate("node => node.innerHTML")
    page.wait_for_timeout(2500)
    assert plot.evaluate("node => node.innerHTML") != before


def test_a_change_of_plan_is_marked_with_what_it_changed(page: Page, script: Script) -> None:
    marks = page.locator(".chart").first.locator("[data-plan-change] title")
    expect(marks.filter(has_text="Plan change: θ")).not_to_have_count(0)  # before the page was open
    script.plan_offset += 1
    want_text = re.compile(r"^Plan \d+: \w+ → \w+, θ 0\.\d\d, τ 0\.\d\d \(demand rose\)$")
    expect(marks.filter(has_text=want_text)).not_to_have_count(0)


def test_the_charts_are_read_by_keyboard(page: Page) -> None:
    expect(page.locator(".plot svg")).to_have_count(4)
    page.locator(".plot").first.focus()
    page.keyboard.press("End")
    expect(page.locator("#tooltip")).to_contain_text("now")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tooltip")).to_contain_text("5 s ago")
    for want_row in ("demand", "light", "escalated", "heavy", "degraded"):
        expect(page.locator("#tooltip")).to_contain_text(want_row)
    expect(page.locator("#announce")).to_contain_text(re.compile(r"5 s ago, demand \d"))
    page.keyboard.press("Escape")
    expect(page.locator("#tooltip")).to_be_hidden()


def test_the_pointer_reads_all_charts_at_the_same_second(page: Page) -> None:
    expect(page.locator(".plot svg")).to_have_count(4)
    page.locator(".plot").nth(1).hover()
    expect(page.locator(".plot .cursor")).to_have_count(4)
    expect(page.locator("#tooltip")).to_contain_text("s ago")


def test_the_slider_sets_the_rate_and_the_big_button_stops_it(page: Page, script: Script) -> None:
    slider = page.locator("#load-slider")
    expect(page.locator("#load-stop")).to_be_disabled()
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".load-rate")).to_have_text("3/s")
    expect(slider).to_have_attribute("aria-valuetext", "3 requests a second")
    expect(page.locator(".load-counts")).to_contain_text("Sent120")
    expect(page.locator(".load-counts")).to_contain_text("Pictures116Late2 (")
    expect(page.locator(".load-counts")).to_contain_text("No picture3 (")
    expect(page.locator(".outcomes")).to_contain_text("turned away 3")
    assert script.rates[-1] == 3
    expect(page.locator(".outcomes")).to_contain_text("light 72")
    page.click("#load-stop")
    expect(page.locator(".load-rate")).to_have_text("off")
    expect(page.locator(".load-counts")).to_contain_text("Sent0")
    assert script.rates[-1] == 0


def test_a_stop_is_not_overtaken_by_a_slower_change_before_it(page: Page, script: Script) -> None:
    slider = page.locator("#load-slider")
    slider.focus()
    script.load_s = 3.0
    page.keyboard.press("End")
    expect(page.locator(".load-rate")).to_have_text("200/s")
    until(page, lambda: script.asked_rates == [200])  # the change is on its way
    page.click("#load-stop")
    expect(page.locator(".load-rate")).to_have_text("off")
    until(page, lambda: len(script.rates) == 2)
    assert script.rates == [200, 0]
    expect(page.locator(".load-rate")).to_have_text("off")


class TestWithoutALoadProcess:
    @pytest.fixture
    def script(self) -> Script:
        return Script(load=False)

    def test_the_slider_gives_way_to_an_explanation(self, page: Page) -> None:
        expect(page.locator("#load-body")).to_contain_text("hadis up")
        expect(page.locator("#load-slider")).to_have_count(0)


def test_a_lost_router_is_noticed_and_found_again(page: Page) -> None:
    expect(page.locator("#link-state")).to_have_text("Connected")
    page.context.set_offline(True)
    expect(page.locator("#link-state")).to_have_text("Reconnecting")
    expect(page.locator("#live")).to_have_class(re.compile("stale"))
    page.context.set_offline(False)
    expect(page.locator("#link-state")).to_have_text("Connected")
    expect(page.locator("#live")).not_to_have_class(re.compile("stale"))


def test_a_router_that_accepts_and_never_answers_is_away_too(page: Page, script: Script) -> None:
    expect(page.locator("#link-state")).to_have_text("Connected")
    script.silent_s = 3600
    expect(page.locator("#link-state")).to_have_text("Reconnecting")
    expect(page.locator("#link-state")).to_have_attribute("title", re.compile("Last heard of"))
    script.silent_s = 0
    expect(page.locator("#link-state")).to_have_text("Connected")


def test_a_router_that_comes_back_is_asked_anew_for_load_and_examples(
    page: Page, script: Script
) -> None:
    script.load = script.examples = False
    page.reload()
    expect(page.locator("#load-body")).to_contain_text("hadis up")
    page.context.set_offline(True)
    expect(page.locator("#link-state")).to_have_text("Reconnecting")
    script.load = script.examples = True
    page.context.set_offline(False)
    expect(page.locator("#load-slider")).to_be_visible()
    expect(page.locator("#examples")).to_be_visible()

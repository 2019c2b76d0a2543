"""A prompt goes in, a picture with its path, scores and timing comes out; or a clear error."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from support.browser_journal import Journal
from support.scripted_router import MODELS, Script
from support.scripted_router import failure as _failure

pytestmark = pytest.mark.browser
Ask = Callable[[str], None]

TAKEN = "#flow .edge.taken"
BUSY = {
    "message": "512 images are in flight already",
    "type": "rate_limit_error",
    "code": "rate_limit_exceeded",
    "hadis": {"outcome": "rejected", "status": 429, "retry_after_s": 2},
}


def taken_edges(page: Page) -> set[str | None]:
    return {edge.get_attribute("data-edge") for edge in page.locator(TAKEN).all()}


def wait_for_path(page: Page, badge: str) -> None:
    expect(page.locator("#frame")).to_have_attribute("data-state", "done")
    expect(page.locator("#badge")).to_have_text(badge)


def test_an_easy_prompt_shows_its_picture_its_path_and_its_times(
    page: Page, ask: Ask, script: Script
) -> None:
    script.path = "light"
    ask("a red circle")
    wait_for_path(page, "Light")
    assert page.locator("#picture").evaluate("image => image.naturalWidth") == 64
    expect(page.locator("#headline")).to_have_text("The light model was enough")
    expect(page.locator("#explanation")).to_contain_text("quality score of 0.91")
    assert taken_edges(page) == {"router-light", "light-judge", "judge-out"}
    details = page.locator("#details")
    for want_term in ("Model", "Seed", "Plan", "Lane", "Hardness", "Quality score"):
        expect(details).to_contain_text(want_term)
    for want_part in ("waiting", "drawing", "routing and the rest"):
        expect(page.locator("#timing")).to_contain_text(want_part)
    [body] = script.generations
    assert body == {
        "prompt": "a red circle", "n": 1, "quality": "auto", "stream": True, "partial_images": 1,
    }  # fmt: skip


def test_the_light_picture_comes_first_and_the_heavy_one_replaces_it(
    page: Page, ask: Ask, script: Script
) -> None:
    script.path, script.heavy_s = "light>heavy", 3.0
    ask("a green cross and a yellow circle")
    expect(page.locator("#badge")).to_have_text("Light picture, being drawn again")
    expect(page.locator("#headline")).to_have_text("A first picture is here")
    expect(page.locator("[data-node=heavy]")).to_have_class(re.compile("active"))
    first = page.locator("#picture").get_attribute("src")
    wait_for_path(page, "Escalated")
    assert page.locator("#picture").get_attribute("src") != first
    assert taken_edges(page) == {"router-light", "light-judge", "judge-heavy", "heavy-out"}
    expect(page.locator("#explanation")).to_contain_text("0.31 was below the limit")


@pytest.mark.parametrize(
    ("path", "want_badge", "want_words", "want_edges"),
    [
        ("heavy", "Heavy", "looked hard", {"router-heavy", "heavy-out"}),
        (
            "kept",
            "Light kept",
            "scored 0.52, so the first picture was delivered",
            {"router-light", "light-judge", "judge-heavy", "heavy-out", "judge-out"},
        ),
        (
            "degraded",
            "Degraded",
            "would not have finished before the deadline",
            {"router-light", "light-judge", "judge-out"},
        ),
    ],
)
def test_each_path_is_drawn_and_told_in_words(
    page: Page,
    ask: Ask,
    script: Script,
    path: str,
    want_badge: str,
    want_words: str,
    want_edges: set[str],
) -> None:
    script.path, script.heavy_s = path, 0.2
    ask("a purple triangle above a cyan square")
    wait_for_path(page, want_badge)
    expect(page.locator("#explanation")).to_contain_text(want_words)
    assert taken_edges(page) == want_edges


def test_a_named_model_is_asked_by_name_and_shown_as_pinned(
    page: Page, ask: Ask, script: Script
) -> None:
    expect(page.locator("#model option")).to_have_count(1 + len(MODELS))
    page.select_option("#model", "fresco")
    ask("a red circle")
    wait_for_path(page, "Pinned")
    assert script.generations[0]["model"] == "fresco"
    expect(page.locator("#headline")).to_have_text("Drawn by fresco")


def test_four_images_come_at_once_and_each_shows_its_own_seed(
    page: Page, ask: Ask, script: Script
) -> None:
    page.locator("input[name=n][value='4']").check(force=True)
    page.locator("input[name=quality][value=high]").check(force=True)
    page.fill("#seed", "7")
    ask("a red circle")
    expect(page.locator("#takes button")).to_have_count(4)
    [body] = script.generations
    assert body == {"prompt": "a red circle", "n": 4, "quality": "high", "seed": 7}
    page.locator("#takes button").nth(2).click()
    expect(page.locator("#details")).to_contain_text("Seed9")


def test_comparing_draws_the_same_prompt_and_seed_by_every_model(
    page: Page, ask: Ask, script: Script
) -> None:
    script.path, script.light_s = "light", 0.05
    page.fill("#seed", "11")
    ask("a red circle")
    wait_for_path(page, "Light")
    page.click("#compare")
    expect(page.locator("#takes button")).to_have_count(len(MODELS))
    others = script.generations[1:]
    assert {body["model"] for body in others} | {"spark"} == set(MODELS)
    assert {body["seed"] for body in others} == {11}


def test_unknown_words_are_said_under_the_picture(page: Page, ask: Ask, script: Script) -> None:
    script.unknown_words = ["zebra", "dancing"]
    ask("a dancing zebra")
    expect(page.locator("#unknown")).to_contain_text("do not know “zebra” and “dancing”")
    expect(page.locator("#announce")).to_contain_text("do not know “zebra”")
    picture = page.locator("#frame").bounding_box()
    words = page.locator("#unknown").bounding_box()
    assert picture is not None
    assert words is not None
    assert words["x"] == pytest.approx(picture["x"], abs=2)
    assert 0 <= words["y"] - (picture["y"] + picture["height"]) < 40


def test_markup_in_prompts_and_errors_stays_text(
    page: Page, ask: Ask, script: Script, journal: Journal
) -> None:
    evil = '"><img src=x onerror="window.broken=1"><b>bold</b>'
    script.unknown_words = [evil]
    ask(evil)
    wait_for_path(page, "Light")
    expect(page.locator("#picture")).to_have_attribute("alt", evil)
    expect(page.locator("#unknown")).to_contain_text(evil)
    script.error = (400, {"message": evil, "code": evil}, {})
    ask(evil)
    expect(page.locator("#error")).to_contain_text(evil)
    page.reload()
    expect(page.locator("#gallery li")).to_have_count(1)
    assert page.evaluate("window.broken") is None
    assert page.locator("main b", has_text="bold").count() == 0
    assert journal.strangers == []


def test_a_picture_picked_while_another_is_drawn_takes_its_place(
    page: Page, ask: Ask, script: Script
) -> None:
    script.light_s = 60.0
    ask("a slow circle")
    expect(page.locator("#frame")).to_have_attribute("data-state", "busy")
    script.light_s = 0.05
    page.get_by_role("button", name="a large blue square", exact=True).click()
    expect(page.locator("#frame")).to_have_attribute("data-state", "done")
    expect(page.locator("#picture")).to_have_attribute("alt", "a large blue square")
    assert [body["prompt"] for body in script.generations] == [
        "a slow circle", "a large blue square",
    ]  # fmt: skip


def test_nothing_below_the_picture_jumps_while_the_next_one_is_drawn(
    page: Page, ask: Ask, script: Script
) -> None:
    expect(page.locator("#examples")).to_be_visible()
    script.path = "light"
    ask("a red circle")
    wait_for_path(page, "Light")
    top = "document.getElementById('examples').getBoundingClientRect().top"
    before = page.evaluate(top)
    script.light_s = 60.0
    ask("a blue circle")
    expect(page.locator("#frame")).to_have_attribute("data-state", "busy")
    expect(page.locator("#details")).not_to_be_visible()
    assert page.evaluate(top) == before


def test_a_seed_is_put_into_the_form_with_the_model_that_drew_it(
    page: Page, ask: Ask, script: Script
) -> None:
    script.path = "heavy"
    ask("a red circle")
    wait_for_path(page, "Heavy")
    page.locator("#details button").click()
    expect(page.locator("#model")).to_have_value("canvas")
    page.press("#prompt", "Enter")
    wait_for_path(page, "Pinned")
    assert script.generations[1]["model"] == "canvas"
    page.get_by_role("button", name="a large blue square", exact=True).click()
    wait_for_path(page, "Heavy")
    assert {"seed", "model"}.isdisjoint(script.generations[2])


def test_a_full_router_is_told_with_the_time_to_wait(page: Page, ask: Ask, script: Script) -> None:
    script.error = (429, BUSY, {"Retry-After": "2"})
    ask("a red circle")
    error = page.locator("#error")
    expect(error).to_contain_text("Too busy right now")
    expect(error).to_contain_text("512 images are in flight already")
    expect(error).to_contain_text("outcome: rejected")
    again = error.get_by_role("button")
    expect(again).to_be_disabled()
    expect(again).to_have_text(re.compile(r"Try again in \d s"))
    script.error = None
    expect(again).to_be_enabled()
    again.click()
    expect(page.locator("#frame")).to_have_attribute("data-state", "done")
    expect(error).to_be_hidden()


def test_an_error_names_its_field(page: Page, ask: Ask, script: Script) -> None:
    wrong = {"message": "prompt: longer than 32000 characters", "param": "prompt"}
    script.error = (400, wrong, {})
    ask("a red circle")
    expect(page.locator("#error")).to_contain_text("Please check the prompt")
    expect(page.locator("#prompt")).to_have_attribute("aria-invalid", "true")
    page.locator("#prompt").press("End")
    page.locator("#prompt").type("s")
    expect(page.locator("#error")).to_be_hidden()


def test_a_wrong_seed_and_an_empty_prompt_never_reach_the_router(
    page: Page, ask: Ask, script: Script
) -> None:
    ask("")
    expect(page.locator("#error")).to_contain_text("Describe the picture")
    page.fill("#seed", "seven")
    ask("a red circle")
    expect(page.locator("#error")).to_contain_text("whole number from 0 to 4294967295")
    expect(page.locator("#seed")).to_be_focused()
    assert script.generations == []


def test_an_empty_prompt_leaves_the_picture_and_its_words_as_they_are(
    page: Page, ask: Ask, script: Script
) -> None:
    expect(page.locator("#headline")).to_have_text("Ask for a picture")
    ask("")
    expect(page.locator("#error")).to_contain_text("Describe the picture")
    expect(page.locator("#headline")).to_have_text("Ask for a picture")
    ask("a red circle")
    expect(page.locator("#frame")).to_have_attribute("data-state", "done")
    told = page.locator("#headline").inner_text()
    ask("")
    expect(page.locator("#error")).to_contain_text("Describe the picture")
    assert page.locator("#headline").inner_text() == told


def test_an_answer_that_is_cut_off_is_an_error_that_can_be_tried_again(
    page: Page, ask: Ask, script: Script
) -> None:
    script.path, script.heavy_s, script.cut = "light>heavy", 0.1, True
    ask("a red circle")
    error = page.locator("#error")
    expect(error).to_contain_text("Cut off")
    script.cut = False
    page.fill("#prompt", "a blue circle")  # what failed is tried again, not what stands there now
    error.get_by_role("button").click()
    expect(page.locator("#picture")).to_have_attribute("alt", "a red circle")
    expect(error).to_be_hidden()


def test_an_error_inside_the_stream_is_shown_like_any_other(
    page: Page, ask: Ask, script: Script
) -> None:
    script.stream_error = {
        "message": "the deadline passed", "type": "server_error", "code": "deadline_exceeded",
        "hadis": {"outcome": "expired", "status": 504, "retry_after_s": None},
    }  # fmt: skip
    ask("a red circle")
    expect(page.locator("#error")).to_contain_text("It did not finish in time")
    expect(page.locator("#error")).to_contain_text("outcome: expired")


def test_escape_cancels_and_the_router_notices(page: Page, ask: Ask, script: Script) -> None:
    script.path, script.heavy_s = "light>heavy", 30.0
    ask("a red circle")
    expect(page.locator("#badge")).to_have_text("Light picture, being drawn again")
    page.keyboard.press("Escape")
    expect(page.locator("#generate")).to_be_visible()
    for _ in range(100):
        if script.cancelled:
            break
        page.wait_for_timeout(100)
    assert script.cancelled == 1


def test_a_missing_key_is_asked_for_once_and_kept_for_the_tab(
    page: Page, ask: Ask, script: Script
) -> None:
    script.api_key = "correct-horse"
    dialog = page.locator("#key-dialog")
    expect(dialog).to_be_visible()
    page.fill("#key", "wrong-horse")
    page.press("#key", "Enter")
    expect(page.locator("#key-error")).to_be_visible()
    page.fill("#key", "correct-horse")
    page.press("#key", "Enter")
    expect(page.locator("#link-state")).to_have_text("Connected")
    ask("a red circle")
    expect(page.locator("#frame")).to_have_attribute("data-state", "done")
    assert page.evaluate("sessionStorage.getItem('hadis.api-key')") == "correct-horse"
    assert page.evaluate("Object.values(localStorage).join()").find("correct-horse") == -1


def test_the_scripted_errors_have_the_api_s_shape() -> None:
    body = bytes(_failure(429, BUSY, {}).body)
    assert b'"param":null' in body
    assert b'"outcome":"rejected"' in body

"""The playground in a real browser: streaming, candidates, sliders, branches, all of it by keyboard too."""

import json
import re

import pytest

pytestmark = pytest.mark.browser
TOKENS = ".tokens .token"


def generate(page, count=20):
    """Write `count` tokens from a prompt, and wait for the last."""
    page.get_by_label("Prompt").fill("We the people")
    field = page.get_by_label("Tokens at most, as a number")
    field.fill(str(count))
    field.press("Tab")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.get_by_text(f"{count} tokens ·").wait_for()


def rows(page):
    """The shown candidates: their names and whether they are kept. Waits for the server's own answer."""
    page.locator(".candidates:not(.estimated) button:enabled").first.wait_for()
    found = page.locator(".candidates button")
    return [
        (
            found.nth(place).locator(".piece").inner_text(),
            "cut" not in (found.nth(place).get_attribute("class") or "").split(),
        )
        for place in range(found.count())
    ]


def test_writes_and_colours(open_page):
    page = open_page()
    generate(page)
    assert page.locator(TOKENS).count() == 20
    classes = page.locator(TOKENS).evaluate_all("found => found.map(each => each.className)")
    assert all(re.search(r"\bp[0-7]\b", each) for each in classes)
    assert page.locator(".tokens .prompt").inner_text() == "We the people"


def test_stop_keeps_what_came_and_write_on_goes_on(open_page, pretend):
    pretend.pause = 0.05
    page = open_page()
    page.get_by_label("Tokens at most, as a number").fill("60")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator(TOKENS).nth(5).wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Generate", exact=True).wait_for()
    kept = page.locator(TOKENS).count()
    assert 6 <= kept < 60
    pretend.pause = 0.001
    page.get_by_role("button", name="Write on").click()
    page.get_by_role("button", name="Generate", exact=True).wait_for()
    assert page.locator(TOKENS).count() == kept + 60
    first, last = [body for path, body in pretend.asked if path == "/v1/completions"]
    assert isinstance(last["prompt"], list) and len(last["prompt"]) == len(first["prompt"].split()) + kept


def test_hover_shows_ten_and_the_entropy(open_page):
    page = open_page()
    generate(page)
    page.locator(TOKENS).nth(3).hover()
    page.get_by_role("heading", name=re.compile("Token 4")).wait_for()
    assert len(rows(page)) == 10
    assert re.search(r"\d\.\d\d bits", page.locator(".inspector").inner_text())


def test_a_slider_shows_at_once_what_it_cuts(open_page, pretend):
    page = open_page()
    generate(page)
    page.locator(TOKENS).nth(2).click()
    assert sum(kept for _, kept in rows(page)) > 3
    slider = page.get_by_label("Top-k", exact=True)
    slider.focus()
    pretend.asked.clear()
    for _ in range(3):
        slider.press("ArrowRight")
    # before the server was asked: the bars follow what is known
    assert page.locator(".candidate.cut").count() >= 7
    page.locator(".facts dd", has_text=re.compile("^3$")).wait_for()
    assert [kept for _, kept in rows(page)] == [True] * 3 + [False] * 7
    asked = [body for path, body in pretend.asked if path == "/v1/candidates"]
    assert len(asked) <= 2, "the slider asks when it stands still, not at each step"
    assert asked[-1]["top_k"] == 3
    assert asked[-1]["resumed"] == 2


def test_a_server_that_cannot_resume_is_asked_without(open_page, pretend):
    """As vLLM, which refuses `resumed` beside a seed."""
    refusal = {"error": {"message": "vLLM cannot go on with a seed", "type": "x", "param": "resumed", "code": None}}

    def refuse(route):
        refused = "resumed" in route.request.post_data_json
        route.fulfill(status=400, body=json.dumps(refusal)) if refused else route.fallback()

    page = open_page()
    generate(page)
    page.route("**/v1/completions", refuse)
    page.get_by_role("button", name="Write on").click()
    page.get_by_text("40 tokens ·").wait_for()
    assert page.locator(".work [role=alert]").count() == 0


def test_a_candidate_branches_and_undo_goes_back(open_page, pretend):
    page = open_page()
    generate(page)
    before = page.locator(".tokens").inner_text()
    page.locator(TOKENS).nth(4).click()
    name = next(name for name, _ in rows(page)[3:] if "‹" not in name)
    pretend.asked.clear()
    page.locator(".candidates button").filter(has=page.get_by_text(name, exact=True)).click()
    page.get_by_text("25 tokens ·").wait_for()
    asked = next(body for path, body in pretend.asked if path == "/v1/completions")
    assert (len(asked["prompt"]), asked["resumed"]) == (3 + 5, 5)
    assert page.locator(f"{TOKENS}.chosen").count() == 1
    assert page.locator(".branches li li").count() == 1
    page.locator(".branches .line button").first.click()
    assert page.locator(".tokens").inner_text() == before
    page.get_by_role("button", name="Undo").click()
    assert page.locator(".branches li").count() == 1
    assert page.locator(".tokens").inner_text() == before


def test_regenerate_adds_a_sibling(open_page):
    page = open_page()
    generate(page)
    page.get_by_role("button", name="Regenerate").click()
    page.get_by_role("button", name="Generate", exact=True).wait_for()
    assert page.locator(".branches > ul > li").count() == 2


def test_everything_by_keyboard(open_page):
    page = open_page()
    generate(page)
    prompt = page.get_by_label("Prompt")
    prompt.focus()
    prompt.press("Control+Enter")
    page.locator(".branches > ul > li").nth(1).wait_for()
    page.get_by_text("20 tokens ·").wait_for()
    page.locator(".tokens .end").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.get_by_role("heading", name=re.compile("Token 18")).wait_for()
    rows(page)
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('.candidates') !== null")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.place") == "17"
    page.keyboard.press("2")
    page.locator(".branches li li").wait_for()


def test_tab_reaches_every_control(open_page):
    page = open_page()
    generate(page, 5)
    controls = "button:enabled, input:enabled, select:enabled, textarea, a[href]"
    wanted = page.locator(f"header :is({controls}), main :is({controls})").count()
    page.evaluate("document.activeElement.blur()")
    seen = set()
    for _ in range(3 * wanted):
        page.keyboard.press("Tab")
        place = f"[...document.querySelectorAll('{controls}')].indexOf(document.activeElement)"
        seen.add(page.evaluate(place))
    assert len(seen - {-1}) >= wanted


def test_characters_of_several_tokens(open_page, pretend):
    """The euro sign is two tokens here; wherever both come in order the text has it whole."""
    page = open_page()
    generate(page, 200)
    shown = page.locator(TOKENS).evaluate_all("found => found.map(each => each.textContent)")
    assert "◌" in shown
    assert not any("bytes:" in each for each in shown)


@pytest.mark.parametrize(("label", "start"), [("Copy as curl", "curl "), ("Copy as Python", "import os")])
def test_copies_the_request(open_page, server, label, start):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Prompt").fill("It's <b>")
    page.get_by_role("button", name=label).click()
    page.get_by_text("copied").first.wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith(start)
    assert server.key not in text


def test_state_is_kept_and_the_key_leaves_the_address(open_page, server):
    page = open_page()
    page.get_by_label("Prompt").fill("kept prompt")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Seed").press("Tab")
    assert "key" not in page.url
    page.reload()
    assert page.get_by_label("Prompt").input_value() == "kept prompt"
    assert page.get_by_label("Seed").input_value() == "7"
    stored = json.dumps(page.evaluate("({...localStorage})"))
    assert server.key not in stored

"""Compare, chat and runs in a real browser; every page at phone width, in the dark, and by axe-core; hostile text."""

import json
import re

import pytest

from tests.browser.conftest import AXE
from tests.browser.said import HOSTILE

pytestmark = pytest.mark.browser
PAGES = ["playground", "compare", "chat", "runs", "runs/demo"]


def fill(page, name):
    """Put something on a page, so that it is not judged empty."""
    if name == "playground":
        page.get_by_role("button", name="Generate", exact=True).click()
        page.get_by_text("64 tokens ·").wait_for()
        page.locator(".tokens .token").nth(3).click()
        page.locator(".candidates:not(.estimated) button:enabled").first.wait_for()
    elif name == "compare":
        page.get_by_role("button", name="Generate", exact=True).click()
        page.locator(".readings").wait_for()
    elif name == "chat":
        say(page, "maths, please")
    elif name == "runs/demo":
        page.locator(".uplot").nth(3).wait_for()


def say(page, text, end=".turn.assistant .tools"):
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()
    page.locator(end).last.wait_for()


def use_model(page, name):
    page.get_by_label("Model", exact=True).first.select_option(name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.usefixtures("pretend")
def test_page_is_sound(open_page, tmp_path, name, width, scheme):
    """axe-core finds nothing, nothing is cut off at the side, and the page goes by the system's colours."""
    page = open_page("playground", viewport={"width": width, "height": 740}, color_scheme=scheme, reduced_motion="reduce")
    if name == "chat":
        use_model(page, "smollm2")
    page.evaluate(f"location.hash = '#/{name}'")
    page.locator(f"main.page-{name.split('/')[0]} > *").nth(1).wait_for()
    fill(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = float(re.search(r"[\d.]+", light).group())
    assert (lightness > 0.5) == (scheme == "light")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; run npm ci in ui/")
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    told = [(each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"]) for each in found]
    assert not told, json.dumps(told, indent=1)


def test_theme_switch(open_page):
    page = open_page(color_scheme="light")
    page.get_by_label("Theme").select_option("dark")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_compare_writes_side_by_side_and_reads_the_first(open_page, pretend):
    page = open_page("compare")
    page.get_by_role("button", name="Add a column").click()
    columns = page.locator(".columns section")
    for column, model in enumerate(["demo", "demo-early", "smollm2"]):
        columns.nth(column).get_by_label("Model").select_option(model)
    page.get_by_role("button", name="Generate", exact=True).click()
    reading = page.locator(".reading")
    reading.nth(1).wait_for()
    assert reading.count() == 2
    assert reading.nth(0).locator(".token").count() == 64
    assert "nats a token" in reading.nth(0).inner_text()
    assert "another tokenizer" in reading.nth(1).inner_text()
    asked = [body for path, body in pretend.asked if path == "/v1/completions"]
    assert {body["seed"] for body in asked if "seed" in body} == {1}
    scored = [body for body in asked if body.get("echo")]
    assert [(body["model"], body["max_tokens"], len(body["prompt"])) for body in scored] == [("demo-early", 0, 5 + 64)]
    mine = columns.nth(0).locator(".token").first.get_attribute("aria-label")
    score = float(re.search(r"log-probability (-[\d.]+)", mine).group(1))
    theirs = reading.nth(0).locator(".token").first.get_attribute("aria-label")
    first, second, difference = re.search(r"column 1 (-[\d.]+), column 2 (-[\d.]+), difference (.[\d.]+)", theirs).groups()
    assert float(first) == score
    assert float(difference.replace("−", "-")) == pytest.approx(float(second) - score, abs=0.006)


def test_chat_answers_in_markdown_with_maths(open_page, pretend):
    page = open_page("chat")
    use_model(page, "smollm2")
    page.get_by_label("System prompt").fill("Be brief.")
    say(page, "maths, please")
    answer = page.locator(".turn.assistant")
    assert answer.locator("strong").inner_text() == "products"
    answer.locator("math").nth(2).wait_for()
    assert answer.locator("math").count() == 3
    assert "$5 and $6" in answer.inner_text()
    assert answer.locator("td").count() == 4
    body = [body for path, body in pretend.asked if path == "/v1/chat/completions"][-1]
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_katex_is_fetched_only_for_maths(open_page, pretend):
    page = open_page("chat")
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    use_model(page, "smollm2")
    say(page, "hello")
    assert not [url for url in fetched if "katex" in url]
    say(page, "maths")
    page.locator("math").first.wait_for()
    assert [url for url in fetched if "katex" in url]


def test_chat_edits_regenerates_stops_and_remembers(open_page, pretend):
    page = open_page("chat")
    use_model(page, "smollm2")
    say(page, "first")
    say(page, "second", ".turn.assistant >> nth=1")
    page.get_by_role("button", name="Edit").first.click()
    page.get_by_role("textbox", name="Question").fill("other")
    page.get_by_role("button", name="Ask again").click()
    page.get_by_text("You said: other").wait_for()
    assert page.locator(".turn.user").count() == 1
    page.get_by_role("button", name="Regenerate").click()
    page.get_by_text("You said: other").wait_for()
    pretend.pause = 0.05
    page.get_by_label("Message").fill("long")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("All of it").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.", exact=True).first.wait_for()
    page.reload()
    page.get_by_text("Stopped.", exact=True).first.wait_for()
    assert page.locator(".turn.user").count() == 2
    page.get_by_role("button", name="New", exact=True).click()
    assert page.locator(".turn").count() == 0


def test_a_model_that_is_not_made_for_chat(open_page, pretend):
    page = open_page("chat")
    use_model(page, "demo")
    page.get_by_text("demo is not made for chat").wait_for()
    say(page, "hello", "[role=alert] a")
    page.locator("[role=alert] a").click()
    page.get_by_label("Prompt").wait_for()


def test_runs_grow_while_they_are_looked_at(open_page, pretend):
    page = open_page("runs")
    pretend.grown = 40
    page.get_by_role("link", name=re.compile("demo")).click()
    page.locator(".uplot").nth(3).wait_for()
    assert "Loss over steps" in page.locator(".chart [role=img]").first.get_attribute("aria-label")
    page.get_by_text("at step 40").first.wait_for()
    pretend.grown = 90
    page.get_by_text("at step 90").first.wait_for()
    assert page.locator(".samples li").count() == 3
    assert page.get_by_role("heading", name="2026-11-21T10:00Z start").count() == 1


@pytest.mark.parametrize(("run", "label"), [("early", "left behind 5.195"), ("demo", "")])
@pytest.mark.usefixtures("pretend")
def test_runs_show_apart_what_they_left(open_page, run, label):
    page = open_page(f"runs/{run}")
    page.locator(".uplot").nth(3).wait_for()
    said = page.locator(".chart figcaption").first.inner_text()
    assert label in said and ("left behind" in said) == bool(label)


def test_hostile_text_is_only_text(open_page, pretend):
    """Dialogs, requests to elsewhere and policy violations fail in the fixture; here: no element came of any text."""
    made = "main :is(img, script, iframe, svg, object, embed), main [onerror], main [onload], main [href^='javascript' i]"
    page = open_page("playground")
    use_model(page, HOSTILE)
    page.get_by_label("Prompt").fill(f"{HOSTILE}</textarea><script>alert(0)</script>")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.get_by_text("64 tokens ·").wait_for()
    page.locator(".tokens .token").nth(3).click()
    page.locator(".candidates:not(.estimated) button:enabled").first.wait_for()
    assert page.locator(made).count() == 0
    page.evaluate("location.hash = '#/chat'")
    say(page, f"hostile {HOSTILE}")
    page.locator(".turn.assistant code", has_text="last").wait_for()
    page.locator(".turn.assistant .maths math").first.wait_for()
    assert page.locator(made).count() == 0
    page.evaluate("location.hash = '#/runs/odd'")
    page.locator(".uplot").first.wait_for()
    page.get_by_text("alert(9)").wait_for()
    assert page.locator(made).count() == 0
    page.evaluate("location.hash = '#/compare'")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator(".readings").wait_for()
    assert page.locator(made).count() == 0

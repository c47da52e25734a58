"""Ask with sources in a real browser, against the real application with a tiny model: by mouse, by keyboard, on a phone."""

import re

import pytest

from genus.engine.model import load
from genus.retrieve.verify.coverage import Coverage
from tests.browser.conftest import AXE, Served
from tests.browser.pretend import PAGES
from tests.retrieve.answering import BEARS, ORDERS, WRITTEN, hostile_search
from tests.serve.here import KEY, serving

pytestmark = pytest.mark.browser
QUOTE, WRITE = "Quote the corpus", "Let the model write"
ELSEWHERE = "How do I reset the password of my router?"


@pytest.fixture(scope="module")
def search():
    return hostile_search()


@pytest.fixture(scope="module")
def server(search, answer_writer):
    if not (PAGES / "index.html").is_file():
        pytest.skip("the pages are not built; run `make pages`")
    with serving(load(answer_writer), answer_writer) as here:
        here.state.search, here.state.verifier = search, Coverage()
        yield Served(here.url, KEY, None)
        assert here.settled()


@pytest.fixture
def ask(open_page):
    def asked(question=BEARS, mode=QUOTE, **options):
        page = open_page("answer", **options)
        page.get_by_label(mode).check()
        page.get_by_label("Ask with sources").fill(question)
        page.get_by_role("button", name="Ask", exact=True).click()
        page.locator(".said-answer[aria-busy=false]").wait_for()
        return page

    return asked


def shown(source) -> str:
    """The text of a source as the page has it."""
    return source.locator(".passage").evaluate("element => element.textContent")


def test_a_number_opens_its_passage_with_the_quotation_marked(ask, search):
    page = ask()
    first = page.locator(".sentence").first
    assert "quoted" in first.get_attribute("class")
    number = re.search(r"\[(\d)\]", first.inner_text())[1]
    first.get_by_role("button").click()
    source = page.locator(f"#source-{number}")
    assert source.evaluate("element => element === document.activeElement")
    (kept,) = [each for each in search.corpus.get(["bears:1"]) if each.text == shown(source)]
    quote = source.locator("mark").evaluate("element => element.textContent")
    assert first.locator(".text").evaluate("element => element.textContent") == f"“{quote}”"
    assert quote in kept.text and kept.sha256 in source.inner_text()
    assert f"characters {kept.start} to {kept.end}" in source.inner_text()
    page.keyboard.press("Escape")
    assert first.get_by_role("button").evaluate("element => element === document.activeElement")
    assert page.locator("mark").count() == 0


def test_what_a_model_wrote_is_told_apart(ask):
    page = ask(mode=WRITE)
    said = {each.locator(".text").inner_text(): each for each in page.locator(".sentence").all()}
    assert set(said) == set(WRITTEN.values())
    unsupported = said[WRITTEN["seals"]]
    assert unsupported.get_by_text("unsupported", exact=True).is_visible() and unsupported.get_by_role("button").count() == 0
    style = "element => getComputedStyle(element).borderLeftStyle"
    assert unsupported.evaluate(style) == "dotted" and said[WRITTEN["bears"]].evaluate(style) == "solid"
    said[WRITTEN["bears"]].get_by_role("button").click()
    assert "Polar bears eat ringed seals" in page.locator("mark").evaluate("element => element.textContent")


def test_without_an_answer_it_says_so(ask):
    for mode in (QUOTE, WRITE):
        page = ask(ELSEWHERE, mode)
        page.get_by_text("I did not find this in the corpus.").first.wait_for()
        assert page.locator(".sentence").count() == 0 and page.locator(".source").count() == 5


def test_all_by_keyboard(open_page):
    page = open_page("answer")
    page.get_by_label("Ask with sources").focus()
    page.keyboard.type(BEARS)
    page.keyboard.press("Tab")  # the button
    page.keyboard.press("Tab")  # the chosen mode
    page.keyboard.press("ArrowRight")
    assert page.get_by_label(WRITE).is_checked()
    page.get_by_label("Ask with sources").focus()
    page.keyboard.press("Enter")
    page.locator(".sentence").first.wait_for()
    page.locator(".said-answer[aria-busy=false]").wait_for()
    page.locator(".cite").first.focus()
    page.keyboard.press("Enter")
    page.locator(".source.held mark").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # back to the answer
    assert page.locator(".cite").first.evaluate("element => element === document.activeElement")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_the_page_is_sound(ask, tmp_path, width, scheme):
    page = ask(mode=WRITE, viewport={"width": width, "height": 740}, color_scheme=scheme, reduced_motion="reduce")
    page.locator(".cite").first.click()
    page.locator("mark").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / f"answer-{width}-{scheme}.png", full_page=True)
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; run `npm ci` in ui")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []


def test_passages_are_text(ask):
    """Dialogs, requests to elsewhere and policy violations fail in the fixture."""
    page = ask()
    evil = next(each for each in page.locator(".source").all() if "script" in shown(each))
    assert shown(evil) == ORDERS
    assert page.locator("main :is(img, script, iframe, a)").count() == 0


def test_a_server_without_an_index_says_so(open_page, server, search):
    page = open_page("playground")
    assert page.get_by_role("link", name="Ask", exact=True).count() == 1
    page.route("**/v1/models", lambda route: route.fulfill(json={"data": [{"id": "tiny", "genus": {}}]}))
    page.evaluate("location.hash = '#/answer'")
    page.reload()
    page.get_by_text("No index is served here.").wait_for()
    assert page.get_by_role("link", name="Chat").count() == 1

"""Pages become the text that a reader sees, and no page stops the run."""

import re
import time
from html.parser import HTMLParser

import pytest

from genus.data.sources import Document
from genus.data.steps.extract import _DEEPEST, Extract, _extremes

PAGE = """<!doctype html><html><head><title>Of  whales &amp; men</title>
<script>if (a < b) document.write("<p>no</p>")</script>
<style>p { color: red }</style></head><body><nav><a href="/home">Home</a> <a href="/shop">Shop</a></nav>
<main><h1>Whales</h1><p>Call me <b>Ishmael</b>. Some years ago&mdash;never mind how long.</p>
<p>Having little money.</p></main><footer>Copyright notice</footer></body></html>"""


def page(html: str, **meta: str) -> Document:
    return Document("a", html, "web", meta={"format": "html", **meta})


def test_a_page_gives_its_main_text_and_title() -> None:
    fate = Extract().open()(page(PAGE, url="https://example.org/"))
    assert fate.document is not None
    told = "Whales\n\nCall me Ishmael. Some years ago—never mind how long.\n\nHaving little money."
    assert fate.document.text == told
    assert fate.document.meta == {"url": "https://example.org/", "title": "Of whales & men"}
    assert (fate.document.id, fate.document.source, fate.reason) == ("a", "web", "")


def test_everything_visible_is_kept_where_asked_for() -> None:
    fate = Extract(main=False, links=True).open()(page(PAGE))
    assert fate.document is not None
    assert {"Home", "Copyright"} <= set(re.findall(r"\w+", fate.document.text))
    assert "/shop" in fate.document.text
    assert "document.write" not in fate.document.text


def test_what_is_not_html_passes_as_it_is() -> None:
    document = Document("a", PAGE, "files", meta={"title": "t"})
    assert Extract().open()(document).document is document


def test_a_title_that_the_source_states_is_kept() -> None:
    fate = Extract().open()(page(PAGE, title="Moby-Dick"))
    assert fate.document is not None
    assert fate.document.meta["title"] == "Moby-Dick"


@pytest.mark.parametrize("html", ["", " ", "<html></html>", "<script>let a = 1</script>", "<!--" * 1000, "<nav>menu</nav>"])
def test_a_page_without_text_is_dropped(html: str) -> None:
    fate = Extract().open()(page(html))
    assert (fate.document, fate.reason) == (None, "no text in the page")


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "<p>deep",
        "<div>" * 100_000 + "<p>deep" + "</div>" * 100_000,
        "<div><i></div>" * 100_000 + "<p>deep",
        "<div title='</div>'>" * 100_000 + "<p>deep",
        '<i ="> ' + "<div>" * 100_000 + '<p>deep" ',
        "<div!></div>" * 100_000 + "<p>deep",
        "<table><tr><td>" * 33_000 + "deep",
        "<ul><li>" * 50_000 + "deep",
        "<!-->" + "<div>" * 100_000 + "<!-- -->deep",
        "<div><!x </div>" * 100_000 + "deep",
        "<div></ </div>" * 100_000 + "deep",
        "<svg><style>" + "<div>" * 100_000 + "</style>deep",
        "<script a='</script><!--'></script>" + "<div>" * 100_000 + "deep",
        "<div>" * 500 + "<p>a</p>" * 300_000,
    ],
    ids=range(14),
)
def test_deep_nesting_neither_crashes_nor_hangs(html: str) -> None:
    began = time.process_time()
    fate = Extract().open()(page(html))
    assert (fate.document, fate.reason) == (None, "page nested too deep")
    assert time.process_time() - began < 10


def test_many_attributes_neither_crash_nor_hang() -> None:
    began = time.process_time()
    fate = Extract().open()(page("<div " + " ".join(f"a{i}=1" for i in range(200_000)) + ">words</div>"))
    assert (fate.document, fate.reason) == (None, "tag with too many attributes")
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "html",
    [
        "<" * 10**6,
        "<a" * 10**6,
        "<a b=" * 10**5,
        "<a '" * 10**5,
        "<!--" * 10**5,
        "<script>" * 10**5,
        "&" * 10**6,
        "</q>" * 10**5,
    ],
    ids=lambda html: html[:8],
)
def test_broken_pages_take_time_in_proportion(html: str) -> None:
    began = time.process_time()
    Extract().open()(page(html))
    assert time.process_time() - began < 10


def test_a_page_of_10_mb_is_read_and_a_larger_one_may_be_refused() -> None:
    html = "<main>" + "<p>Some words of a paragraph stand here.\n" * 250_000
    fate = Extract().open()(page(html))
    assert fate.document is not None
    assert fate.document.text.count("paragraph") == 250_000
    fate = Extract(largest=10_000_000).open()(page(html))
    assert (fate.document, fate.reason) == (None, "page too large")


class _Depth(HTMLParser):
    """The standard library's own reading of the tags, to compare with."""

    def __init__(self) -> None:
        super().__init__()
        self.open = self.deepest = self.most = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += 1
        self.deepest, self.most = max(self.deepest, self.open), max(self.most, len(attrs))

    def handle_endtag(self, tag: str) -> None:
        self.open -= 1


def test_depth_is_counted_as_another_parser_counts_it() -> None:
    html = (
        "<div class='a>b' id=x><script>for (i<3;;) '<div><div>'</script><!-- <div> --><section><b>text</b></section></div>"
        * 3
    )
    other = _Depth()
    other.feed(html)
    assert _extremes("<div>" * 20 + html)[0] == other.deepest + 20
    assert _extremes("<br><img src=a><p>one<p>two<li>three<li>four")[0] == 0
    assert _extremes("<div>" * (_DEEPEST + 1))[0] > _DEEPEST
    assert _extremes("<div " + "a " * 1500 + ">")[2] > 1000
    assert _extremes("<div>" * 3 + "<p>" * 4)[1] == 0 + 1 + 2 + 4 * 3

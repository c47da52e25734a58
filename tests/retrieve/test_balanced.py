"""Wikitext made to hang its parser is read as the characters it is; ordinary wikitext is left as it stands."""

import time

import pytest

from genus.retrieve.balanced import balanced
from genus.retrieve.wikipedia import plain

ORDINARY = """{{convert|330|m|}} [[tall|high]].<ref name="a">{{cite web|url=http://x.org/a |title=A}}</ref><ref name=a />
{| class="x"
|-
| a || b<br>c [http://x.org Title]
|}
<ref name=O'Brien>x</ref> 3 > 2, and [1] is a note; [[File:x.jpg|thumb|[[a]] {{b|{{c}}}}]] {{{1|}}}"""


def test_ordinary_wikitext_is_left_as_it_stands():
    assert balanced(ORDINARY) == ORDINARY
    assert balanced("a<!-- {{ -->b<!-- never closed") == "ab&#60;!-- never closed"


def test_what_is_never_closed_is_written_as_the_characters_it_is():
    assert balanced("{{a [[b]] <i>c") == "&#123;&#123;a [[b]] &#60;i>c"
    assert balanced("a}} ]] </ref> 1 < 2") == "a&#125;&#125; &#93;&#93; &#60;/ref> 1 &#60; 2"
    assert balanced("{{a [[b}} c]]") == "{{a &#91;&#91;b}} c&#93;&#93;"


@pytest.mark.parametrize(
    "piece", ["<a ", "{{a|", "[[a|", "<ref name='a", "<ref name=a>x", "{|\n|", "[http://a.b ", "<!--", "<b>", "}}"]
)
def test_reading_takes_no_time_in_the_square_of_what_is_never_closed(piece):
    pytest.importorskip("mwparserfromhell", reason="needs the extra wikipedia")

    def seconds(count: int) -> float:
        took = []
        for _ in range(3):
            began = time.process_time()
            plain(piece * count)
            took.append(time.process_time() - began)
        return min(took)

    assert seconds(4000) < 30 * max(seconds(500), 0.01)  # 8 times as many

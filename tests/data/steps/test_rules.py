"""The step as a whole: which sets judge which documents, in which order, and the same verdicts as datatrove's filters."""

import random
import re
import warnings
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.rules import CODE_SETS, TEXT_SETS, Rules, Set
from genus.data.steps.rules_c4 import C4
from genus.data.steps.rules_quality import FineWeb, GopherQuality
from genus.data.steps.rules_repetition import GopherRepetition
from genus.data.steps.rules_view import Drop, Text

PROSE = (
    "The first settlers of the valley came with the spring of that year, and they built their houses of stone. To be far "
    "from the river was to have no water, so most of them stayed near it.\n"
    "Many of the later families, who arrived with the railway, lived in the town instead and worked in its mills.\n"
    "In the winter of the great flood the bridge fell. It was rebuilt within four months, and nobody has doubted it since!"
)
SHORT = "Too few words."


def document(text: str, **fields: Any) -> Document:
    return Document("a", text, "s", **fields)


def reason(rules: Rules, item: Document) -> str:
    return rules.open()(item).reason


def test_prose_goes_on_unchanged_and_its_words_are_counted() -> None:
    item = document(PROSE)
    fate = Rules().open()(item)
    assert fate.document is item
    assert (fate.reason, fate.measured) == ("", {"words": 80})


def test_a_drop_has_its_reason_its_numbers_and_the_limit() -> None:
    fate = Rules().open()(document(SHORT))
    assert (fate.document, fate.reason, fate.detail) == (None, "gopher: too few words", "3 words, at least 50")
    assert fate.measured == {"words": 3}


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (("gopher_quality",), "gopher: too few words"),
        (("c4",), "c4: too few sentences"),
        (("c4", "gopher_quality"), "c4: too few sentences"),
        (("fineweb",), "fineweb: too many short lines"),
        (("code_pile",), ""),
        ((), ""),
    ],
)
def test_sets_are_tried_in_the_order_named(sets: tuple[Set, ...], expected: str) -> None:
    assert reason(Rules(sets=sets), document(SHORT)) == expected


def test_sets_after_c4_see_only_the_lines_it_keeps() -> None:
    item = document(PROSE + "\n" + "menu\n" * 9)
    assert reason(Rules(sets=("c4", "fineweb")), item) == ""
    assert reason(Rules(sets=("fineweb", "c4")), item) == "fineweb: too many short lines"
    kept = Rules(sets=("c4",)).open()(item)
    assert kept.document == document(PROSE)
    assert kept.measured["removed_characters"] == len("\n" + "menu\n" * 9)


def test_code_is_judged_by_the_sets_for_code_alone() -> None:
    generated = "# This file is generated.\nx = 1\n"
    assert reason(Rules(), document(generated)) == "gopher: too few words"
    assert reason(Rules(), document(generated, meta={"code": "python"})) == "code: generated file"
    assert reason(Rules(), document("x = 1\n", meta={"code": "python"})) == ""


@pytest.mark.parametrize(
    ("language", "languages", "judged"),
    [("", ("en",), True), ("en-GB", ("en",), True), ("fr", ("en",), False), ("fr", (), True), ("fr", ("en", "fr"), True)],
)
def test_text_is_judged_in_the_languages_named(language: str, languages: tuple[str, ...], judged: bool) -> None:
    assert bool(reason(Rules(languages=languages), document(SHORT, language=language))) == judged


def test_unknown_and_repeated_sets_are_named() -> None:
    with pytest.raises(GenusError, match=r"rules\.sets has 'gofer'; choose among gopher_quality, "):
        Rules(sets=("gofer",)).open()  # type: ignore[arg-type]
    with pytest.raises(GenusError, match="names c4 twice"):
        Rules(sets=("c4", "c4")).open()


AWKWARD = st.text(st.sampled_from("aB1 \n.-•…#{}[]é中\x00\u2028\x85\ud800\U0001f600"), max_size=60)


@settings(deadline=None, max_examples=100)
@given(st.lists(AWKWARD, min_size=1, max_size=4), st.booleans())
def test_any_text_has_one_fate_whatever_came_before(texts: list[str], code: bool) -> None:
    lenient = GopherQuality(least_words=0, least_mean_length=0, least_stop_words=0, least_alphabetic=0, most_symbols=9)
    rules = Rules(sets=(*TEXT_SETS, *CODE_SETS), gopher_quality=lenient, fineweb=FineWeb(most_breaks=1.0, least_ended=0))
    items = [document(text, meta={"code": "c"} if code else {}) for text in texts]
    judge = rules.open()
    forwards = [judge(item) for item in items]
    assert [rules.open()(item) for item in reversed(items)] == forwards[::-1]
    assert all((fate.document is None) == bool(fate.reason) for fate in forwards)


def trove() -> tuple[Any, Any]:
    """datatrove's filters, and a tokeniser for them whose words are ours."""
    pytest.importorskip("datatrove")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datatrove.pipeline import filters
        from datatrove.utils.word_tokenizers import WordTokenizer

    class White(WordTokenizer):  # type: ignore[misc]
        def __init__(self) -> None: ...

        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return [text] * text.count(". ") + [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [each.span() for each in re.finditer(r"\S+", text)]

    return filters, White()


def texts(seed: int, count: int) -> list[str]:
    """Texts that break now one rule and now another, with nothing in them that the two define differently.

    datatrove takes as a word what is not all of its own list of punctuation, here every word has a letter or digit or is on
    the list; it splits lines at other separators too, and counts blank ones in some rules; it compares n-grams of words
    without the spaces, so that "a bc" repeats "ab c"; and a limit of 0 turns a rule off.
    """
    draw = random.Random(seed)
    stock = ["the", "of", "and", "to", "that", "a", "I", "river", "1984", "#", "...", "-", "—", "incomprehensibilities"]
    stock += [f"word{i}" * draw.choice((1, 1, 2)) for i in range(60)]
    found = []
    for _ in range(count):
        few = draw.sample(stock, draw.randint(4, len(stock)))
        lines = []
        for _ in range(draw.randint(2, 12)):
            words = draw.choices(few, k=draw.randint(1, 25))
            lines += [
                draw.choice(("", "", "- ", "• ")) + " ".join(words) + draw.choice((".", ".", "", "...", "…", "?", "।"))
            ]
            lines += lines[:1] * draw.choice((0, 0, 0, 1))
        gap = draw.choice(("\n", "\n", "\n\n"))
        if gap == "\n\n":  # of marked lines in several paragraphs the two count different shares
            lines = [line for line in lines if line[0] not in "-•" and not line.endswith(("...", "…"))]
        found.append(gap.join(lines) or "none")
    return found


@pytest.mark.parametrize(
    ("kind", "ours", "theirs"),
    [
        ("GopherQualityFilter", GopherQuality(), {}),
        ("GopherRepetitionFilter", GopherRepetition(), {}),
        ("FineWebQualityFilter", FineWeb(most_repeated=0.01, most_breaks=0.3), {}),
        ("FineWebQualityFilter", FineWeb(), {"char_duplicates_ratio": 0.1, "new_line_ratio": 1e9}),
    ],
)
def test_verdicts_are_those_of_datatrove(kind: str, ours: Any, theirs: dict[str, float]) -> None:
    filters, white = trove()
    from datatrove.data import Document as TroveDocument

    theirs_of, ours_of = getattr(filters, kind)(language=white, **theirs), ours.open()
    reasons: dict[bool, set[str]] = {True: set(), False: set()}
    for text in texts(seed=1, count=250):
        kept = theirs_of.filter(TroveDocument(text=text, id="a"))
        mine = ours_of(Text(text))
        assert isinstance(mine, Drop) == (kept is not True), (kept, mine, text)
        reasons[kept is True].add("" if kept is True else kept[1])
    assert reasons[True]
    assert len(reasons[False]) >= 3, reasons  # or the texts are too alike to say much


def test_c4_keeps_the_lines_that_datatrove_keeps() -> None:
    filters, white = trove()
    from datatrove.data import Document as TroveDocument

    theirs = filters.C4QualityFilter(language=white, min_num_sentences=-1, min_words_per_line=5)
    extra = [
        "Please enable JavaScript to see all of this page.",
        "By this you accept our cookie policy in full.",
        "Two words.",
        "She said [12] that it was so [citation needed].",
        "w" * 1001 + " a b c d.",
        "  An indented line is kept here. ",
    ]
    rules = replace(C4(), least_sentences=0).open()
    for seed, text in enumerate(texts(seed=2, count=100)):
        lines = [*text.split("\n"), *extra]
        random.Random(seed).shuffle(lines)
        item = TroveDocument(text="\n".join(line for line in lines if line), id="a")
        mine = rules(Text(item.text))
        theirs.filter(item)
        assert isinstance(mine, Text)
        assert mine.text == item.text

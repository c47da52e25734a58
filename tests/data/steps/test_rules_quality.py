"""Gopher's and FineWeb's rules, each at its limit and just beyond, counted by hand."""

from typing import Any

import pytest

from genus.data.steps import rules_quality
from genus.data.steps.rules_quality import FineWeb, GopherQuality
from genus.data.steps.rules_view import Drop, Text

FIFTY = "the of " + "word " * 48  # 50 words, 197 letters, two stop words


def broken(rules: Any, text: str) -> tuple[str, str]:
    found = rules.open()(Text(text))
    return (found.reason, found.detail) if isinstance(found, Drop) else ("", "")


@pytest.mark.parametrize(
    ("kept", "dropped", "reason", "detail"),
    [
        (FIFTY, FIFTY[:-5] + "--", "too few words", "49 words, at least 50"),
        (FIFTY + "word " * 99_950, FIFTY + "word " * 99_951, "too many words", "100,001 words, at most 100,000"),
        # 3 + 2 + 47 * 3 + 4 = 150 letters in 50 words, beside which the dashes do not count
        ("the of -- " + "abc " * 47 + "abcd", "the of -- " + "abc " * 48, "words too short",
         "2.98 characters a word, at least 3.0"),
        # 3 + 2 + 448 + 47 = 500 letters in 50 words
        ("the of" + " b" * 47 + " " + "a" * 448, "the of" + " b" * 47 + " " + "a" * 449, "words too long",
         "10.02 characters a word, at most 10.0"),
        (FIFTY + "#####", FIFTY + "######", "too many hashes", "0.1176 hashes a word, at most 0.1"),
        ("... … … … … " + FIFTY, "... … … … … … " + FIFTY, "too many ellipses", "0.1071 ellipses a word, at most 0.1"),
        (FIFTY + "1 " * 12, FIFTY + "1 " * 13, "too few words with letters",
         "0.7937 of the words have a letter, at least 0.8"),
        (FIFTY, "the The the " + "word " * 48, "too few stop words", "1 stop words, at least 2"),
        ("the of a b c d\n" + "- a b c d\n \n" * 9, "the of a b c d\n" + " •a b c d e\n" * 10, "too many bullets",
         "0.9091 of the lines begin with a bullet, at most 0.9"),
        (("the of word\n" * 6 + "word…\n") * 3 + "word…\nword...",
         ("the of word\n" * 2 + "word…\n") * 16, "too many lines cut short",
         "0.3333 of the lines end in an ellipsis, at most 0.3"),
    ],
)  # fmt: skip
def test_gopher(kept: str, dropped: str, reason: str, detail: str) -> None:
    rules = GopherQuality(most_symbols=9.0) if "cut short" in reason else GopherQuality()
    if "bullet" in reason:
        rules = GopherQuality(least_mean_length=0, least_words=10, least_alphabetic=0.5)
    assert broken(rules, kept) == ("", "")
    assert broken(rules, dropped) == ("gopher: " + reason, detail)


def numbered(count: int, end: str, width: int = 40) -> list[str]:
    """Lines of `width` characters, no two alike."""
    return [f"{number:{width - len(end)}}{end}" for number in range(count)]


@pytest.mark.parametrize(
    ("kept", "dropped", "reason", "detail"),
    [
        (numbered(22, "") + numbered(3, "."), numbered(23, "") + numbered(2, ".") + [" 9. "],
         "too few lines end with punctuation", "0.07692 of the lines, at least 0.12"),
        (numbered(67, ".", 30) + numbered(33, ".", 31), numbered(68, ".", 30) + numbered(32, ".", 31),
         "too many short lines", "0.68 of the lines, at most 0.67"),
        ([*numbered(9, "."), *numbered(1, ".")], [*numbered(9, "."), *numbered(1, "."), "\n", *numbered(1, ".")],
         "too many repeated lines", "0.1818 of the characters, at most 0.1"),
        (["a b c d e."], ["a b c", "d."], "too many line breaks", "0.25 line breaks a word, at most 0.2"),
    ],
)  # fmt: skip
def test_fineweb(kept: list[str], dropped: list[str], reason: str, detail: str) -> None:
    rules = FineWeb(most_breaks=0.2, most_short=1.0) if "breaks" in reason else FineWeb()
    assert broken(rules, "\n".join(kept)) == ("", "")
    assert broken(rules, "\n".join(dropped)) == ("fineweb: " + reason, detail)


def test_line_breaks_are_not_judged_by_default() -> None:
    assert broken(FineWeb(most_short=1.0), "a.\nb.\nc.") == ("", "")


def test_sentence_ends_are_those_of_unicode() -> None:
    regex = pytest.importorskip("regex")
    marks = {chr(code) for code in range(0x10000) if regex.match(r"\p{Sentence_Terminal}", chr(code))}
    newer = {
        "\u2024",
        "\u1b4e",
        "\u1b4f",
        "\u1b7f",
        "\u2cf9",
        "\u2cfa",
        "\u2cfb",
        "\ufe12",
        "\ufe15",
        "\ufe16",
    }  # Unicode 16 on
    assert marks ^ rules_quality._TERMINAL <= newer
    assert {".", "!", "?", "。", "।", "؟", "።", "။"} <= rules_quality._TERMINAL

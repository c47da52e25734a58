"""Gopher's rules on repetition: hand-worked shares, and the compiled loops against all n-grams counted one by one."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.data.steps.loops import most_frequent, repeated
from genus.data.steps.rules_repetition import GopherRepetition
from genus.data.steps.rules_view import Drop, Text


def broken(rules: GopherRepetition, text: str) -> tuple[str, str]:
    found = rules.open()(Text(text))
    return (found.reason, found.detail) if isinstance(found, Drop) else ("", "")


def words(first: int, count: int) -> str:
    """Words of five letters, each only once."""
    return " ".join(f"w{number:04}" for number in range(first, first + count))


ROWS = words(0, 40).replace(" ", "\n")
FOUR = words(0, 4)  # 23 characters


@pytest.mark.parametrize(
    ("kept", "dropped", "reason", "detail"),
    [
        (f"a\na\na\na\nb\nc\nd\ne\nf\n{words(0, 9)}", f"a\na\na\na\nb\nc\nd\ne\n{words(0, 9)}",
         "repeated lines", "0.3333 of the lines, at most 0.3"),
        (f"{FOUR}\n{FOUR}\n{words(10, 11)}\nx", f"{FOUR}\n{FOUR}\n{words(10, 8)}\nx",
         "characters in repeated lines", "0.2371 of them, at most 0.2"),
        (f"a\n\na\n\n\na\n\nb\n\nc\n\nd\n\n{ROWS}", f"\n\na\n\na\n\na\n\nb\n\nc\n\n{ROWS}\n",
         "repeated paragraphs", "0.3333 of the paragraphs, at most 0.3"),
        (f"{FOUR}\n\n{FOUR}\n\n{words(10, 11)}\n\nx", f"{FOUR}\n\n{FOUR}\n\n{words(10, 8)}\n\nx",
         "characters in repeated paragraphs", "0.23 of them, at most 0.2"),
    ],
)  # fmt: skip
def test_lines_and_paragraphs(kept: str, dropped: str, reason: str, detail: str) -> None:
    rules = GopherRepetition(most_frequent=(), most_repeated=())
    if "paragraphs" in reason:
        rules = GopherRepetition(most_frequent=(), most_repeated=(), most_lines=1.0, most_line_characters=1.0)
    assert broken(rules, kept) == ("", "")
    assert broken(rules, dropped) == ("gopher: " + reason, detail)


@pytest.mark.parametrize(
    ("text", "n", "characters"),
    [("a a a a", 2, 3 * len("a a")), ("a b long c a b long c", 2, 2 * len("a b")), ("a b c", 4, 0)],
)
def test_the_most_frequent_n_gram_counts_with_overlaps_and_of_equals_the_first(text: str, n: int, characters: int) -> None:
    _, lengths, numbers = Text(text).shapes
    assert most_frequent(numbers, lengths, n) == characters


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("a b c d e f a b c d e f", 5),  # a b c d e again, and not b c d e f, which overlaps it
        ("a b c d e a b c d e a b c d e", 10),
        ("ab c d e f a bc d e f", 0),
        ("a a a a a a a a a a a", 10),  # words 2 to 6, and 7 to 11
        ("a b", 0),
    ],
)
def test_repeated_n_grams_count_once(text: str, characters: int) -> None:
    _, lengths, numbers = Text(text).shapes
    assert repeated(numbers, lengths, 5) == characters


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        (f"{words(0, 20)}{' of the' * 7}", "gopher: frequent 2-gram", "0.25 of the characters, at most 0.2"),
        (f"{words(0, 30)} {words(100, 10)} {words(0, 30)}", "gopher: repeated 5-grams",
         "0.358 of the characters, at most 0.15"),
        # 5 letters a word: of 14 words two 5-grams, 10 words, repeat, or two 7-grams, 14 words
        (f"{words(0, 14)} {words(100, 60)} {words(0, 14)}", "gopher: repeated 7-grams",
         "0.1328 of the characters, at most 0.13"),
        (f"{words(0, 12)} {words(100, 70)} {words(0, 12)}", "", ""),
        (words(0, 100), "", ""),
        ("", "", ""),
        ("one", "", ""),
    ],
)  # fmt: skip
def test_n_grams(text: str, reason: str, detail: str) -> None:
    assert broken(GopherRepetition(), text) == (reason, detail)


def by_brute_force(text: str, rules: GopherRepetition) -> str:
    """The first n-gram rule that is broken, from every n-gram of the text."""
    found = text.split()
    for n, limit in enumerate(rules.most_frequent, 2):
        grams = [" ".join(found[i : i + n]) for i in range(len(found) - n + 1)]
        often = max(map(grams.count, grams), default=0)
        first = next((gram for gram in grams if grams.count(gram) == often), "")
        if often * len(first) / len(text) > limit:
            return f"gopher: frequent {n}-gram"
    for n, limit in enumerate(rules.most_repeated, 5):
        counted, seen, place = 0, [], 0
        while len(gram := found[place : place + n]) == n:
            if gram in seen:
                counted, place = counted + sum(map(len, gram)), place + n
            else:
                seen, place = [*seen, gram], place + 1
        if counted / len(text) > limit:
            return f"gopher: repeated {n}-grams"
    return ""


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.integers(2, 25), st.integers(2, 80), st.floats(0.02, 0.5), st.floats(0.02, 0.4))
def test_n_gram_rules_are_those_of_a_count_one_by_one(
    seed: int, different: int, count: int, frequent: float, again: float
) -> None:
    draw = random.Random(seed)
    stock = ["w" * draw.choice((1, 2, 5, 30)) + str(number) for number in range(different)]
    found = draw.choices(stock, k=count)
    for _ in range(draw.randint(0, 4)):  # copies of a stretch, so that long n-grams repeat too
        start = draw.randrange(count)
        found[draw.randrange(count) :] += found[start : start + draw.randint(3, 14)]
    rules = GopherRepetition(most_frequent=(frequent,) * 3, most_repeated=(again,) * 6)
    text = " ".join(found)
    assert broken(rules, text)[0] == by_brute_force(text, rules)

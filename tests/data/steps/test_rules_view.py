"""What rules look at: words as `str.split` finds them and their kinds, for every character; lines; repeats."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genus.data.steps.rules_view import _PLANES, Text, at_least, at_most, repeats


def kind(word: str) -> int:
    return 3 if any(map(str.isalpha, word)) else 2 if any(map(str.isalnum, word)) else 1


def counted(words: list[str]) -> list[list[int]]:
    """Words, and characters of words, of each kind."""
    kinds = [[word for word in words if kind(word) == number] for number in range(4)]
    return [[len(each), len("".join(each))] for each in kinds]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_character_has_its_kind(number: int) -> None:
    every = [chr(code) for code in range(_PLANES) if not chr(code).isspace() and kind(chr(code)) == number]
    kinds, lengths, _ = Text(" ".join(every)).shapes
    assert kinds[number] == [len(every), len(every)]
    assert (lengths == 1).all()


def test_behind_the_known_planes_nothing_has_a_kind() -> None:
    behind = "".join(map(chr, range(_PLANES, sys.maxunicode + 1)))
    assert re.search(r"[\w\s]", behind) is None
    assert Text(behind[:9] + behind[-9:]).shapes.kinds[1] == [1, 18]


@given(st.text() | st.text(st.sampled_from("ab1 -\ud800é中\U0001f600"), max_size=30))
def test_shapes_are_of_the_words_that_split_finds(text: str) -> None:
    kinds, lengths, numbers = Text(text).shapes
    words = text.split()
    assert kinds == counted(words)
    assert lengths.tolist() == list(map(len, words))
    assert dict(zip(words, numbers.tolist(), strict=True)) == {word: Text(word).shapes.numbers[0] for word in words}
    assert len(set(numbers.tolist())) == len(set(words))


def test_every_white_space_splits_words_in_both() -> None:
    spaces = "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1))))
    text = "a".join(["", *spaces, ""])
    assert len(spaces) > 20
    assert Text(text).shapes.lengths.tolist() == list(map(len, text.split())) == [1] * (len(spaces) + 1)


def test_blank_lines_are_no_lines_and_others_are_as_they_are() -> None:
    assert Text("\n a \n\n \t\nb\r\n").lines == [" a ", "b\r"]
    assert Text("").lines == []


def test_repeats_are_all_but_the_first() -> None:
    assert repeats(["ab", "c", "ab", "ab", "c", "d"]) == (3, 5)
    assert repeats(["ab", "c"]) == (0, 0)


def test_a_limit_is_the_last_value_kept() -> None:
    assert at_least(2, 2, "few", "words") is None
    assert at_most(0.5, 0.5, "many", "of the words") is None
    assert at_least(2000, 1999, "few", "words") == ("few", "1,999 words, at least 2,000")
    assert at_most(0.5, 2 / 3, "many", "of the words") == ("many", "0.6667 of the words, at most 0.5")

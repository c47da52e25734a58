"""Words and their numbers, against the same definition in plain Python."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.data.steps.loops import read_words, room, windows
from genus.data.steps.words import read_texts

MASK = 2**64 - 1
MULTIPLIER = 0x9E3779B97F4A7C15
texts = st.lists(st.text(st.sampled_from("aAzZéÉ .,-'\n\t\u00a0\u200d—“İßΣ中か๒ক\u09be😀0"), max_size=40), max_size=4)


def read(column: Sequence[str | None], plain: bool = False) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """The numbers and the places of the words of each text."""
    given_texts = read_texts(pa.array(column, pa.large_string()), plain)
    words, places = np.zeros(room(given_texts), np.uint64), np.zeros((room(given_texts), 2), np.int64)
    found = []
    for document in range(len(column)):
        count = read_words(given_texts, document, words, places)
        found.append((words[:count].tolist(), [(int(first), int(last)) for first, last in places[:count]]))
    return found


def mix(x: int) -> int:
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & MASK
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & MASK
    return x ^ x >> 33


def number(word: str) -> int:
    state = 0
    for character in word:
        state = (state ^ (ord(character) + 2)) * MULTIPLIER & MASK
    return mix(state)


def is_alone(character: str) -> bool:
    return character in "中か๒"


def lower(character: str) -> str:
    return character.lower() if len(character.lower()) == 1 else character


def reference(text: str) -> list[str]:
    """What the docstring says, in other words: spaces around what stands alone, then split, lower, strip."""
    apart = "".join(f" {character} " if is_alone(character) else character for character in text)
    kept = ("".join(lower(c) for c in word if unicodedata.category(c) not in DELETED) for word in apart.split())
    return [word for word in kept if word]


DELETED = {"Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Cc", "Cf"}


@settings(deadline=None)  # the first call compiles
@given(texts)
def test_words_are_as_defined(column: list[str]) -> None:
    for text, (numbers, places) in zip(column, read(column), strict=True):
        expected = reference(text.replace("😀", "x"))  # above U+10000 nothing is looked up: a symbol there is a letter
        assert numbers == [number(word.replace("x", "😀")) for word in expected]
        for (first, last), word in zip(places, expected, strict=True):
            assert reference(text[first:last].replace("😀", "x")) == [word]


@settings(deadline=None)  # the first call compiles
@given(texts)
def test_plain_words_are_those_of_split(column: list[str]) -> None:
    for text, (numbers, places) in zip(column, read(column, plain=True), strict=True):
        assert numbers == [number(word) for word in text.split()]
        assert [text[first:last] for first, last in places] == text.split()


def test_the_numbers_are_never_others() -> None:
    """They are kept in files: another number would make every copy of before unknown."""
    assert read(["Hello, world!"])[0][0] == [8205186103723867450, 11989291734314835653]


def test_case_and_punctuation_do_not_count() -> None:
    one, two, other = read(["Don't — STOP (here).", "dont stop here", "don t stop here"])
    assert one[0] == two[0] != other[0]


def test_missing_and_sliced_and_chunked_columns() -> None:
    whole = pa.array(["a", None, "b c", "", "d"])
    assert [len(numbers) for numbers, _ in read(["a", None, "b c"])] == [1, 0, 2]
    chunked = pa.chunked_array([whole.slice(2), pa.array([], pa.string()), whole.slice(0, 2)])
    found = read_texts(chunked, False)
    assert bytes(found.data[found.bounds[0] : found.bounds[-1]]) == b"b cda"
    assert np.diff(found.bounds).tolist() == [3, 0, 1, 1, 0]


@pytest.mark.parametrize("damaged", [b"a \xff\xfe", b"word \xe4\xb8", b"\xf0\x9f\x98", b"\xc3", b"\x80 b"])
def test_damaged_utf8_is_read_within_its_bounds(damaged: bytes) -> None:
    column = pa.array([damaged, b"after"], pa.large_binary()).view(pa.large_string())
    given_texts = read_texts(column, False)
    words, places = np.zeros(9, np.uint64), np.zeros((0, 2), np.int64)
    assert 0 <= read_words(given_texts, 0, words, places) <= room(given_texts)
    assert read_words(given_texts, 1, words, places) == 1
    assert words[0] == number("after")


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, MASK), max_size=12), st.integers(1, 6))
def test_windows(words: list[int], size: int) -> None:
    numbers = np.array(words, np.uint64)
    count = windows(numbers, len(words), size, numbers)  # in place, as it is used
    assert count == (max(1, len(words) - size + 1) if words else 0)
    for i in range(count):
        state = 0
        for word in words[i : i + size]:
            state = (state * MULTIPLIER + word) & MASK
        assert int(numbers[i]) == mix(state)

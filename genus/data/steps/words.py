"""The words of texts as 64-bit numbers, by loops that Numba compiles: what fuzzy.py and decontaminate.py compare.

A word is what white space delimits, in lower case and without punctuation or symbols (GPT-3, appendix C: "a lowercase,
whitespace delimited word with no punctuation"); in scripts that are written without spaces every character is one. The
numbers are defined here alone, in integers, so they are the same on every machine; nothing here decides what is a repeat.
"""

import unicodedata
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genus.data.steps.columns import utf8
from genus.data.steps.loops import ALONE, DELETED, SHIFT, SPACE, TABLE, write_windows

__all__ = ["Texts", "fold_table", "read_texts", "word_runs"]

_UNSPACED = (  # Thai and Lao; Myanmar; Khmer; kana; ideographs
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),
    *((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)),
)


class Texts(NamedTuple):
    """The UTF-8 bytes of texts, where each begins (documents + 1), and what becomes of each character."""

    data: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    fold: NDArray[np.uint32]


@cache
def fold_table(plain: bool) -> NDArray[np.uint32]:
    """What becomes of each character below U+10000. `plain`: words are as white space delimits them, as `str.split` does.

    Those above are letters and stay as they are, so does the one (U+0130) whose lower case is two characters.
    """
    table = np.append(np.arange(SHIFT, TABLE + SHIFT, dtype=np.uint32), np.uint32(0))
    for code in range(TABLE):
        character = chr(code)
        if character.isspace():
            table[code] = SPACE
        elif not plain and (unicodedata.category(character)[0] in "PS" or unicodedata.category(character) in ("Cc", "Cf")):
            table[code] = DELETED
        elif not plain and len(lower := character.lower()) == 1:
            table[code] = ord(lower) + SHIFT
    for first, last in () if plain else _UNSPACED:
        span = table[first : last + 1]
        span[span >= SHIFT] += np.uint32(ALONE)
    return table


def read_texts(column: Any, plain: bool) -> Texts:
    """An Arrow column of texts, to read the words of; `plain` as for `fold_table`."""
    return Texts(*utf8(column), fold_table(plain))


def word_runs(texts: Texts, size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A number for each run of `size` words (of all its words, for a shorter text) and where those of each text begin."""
    out = np.empty(int(texts.bounds[-1] - texts.bounds[0]) // 2 + len(texts.bounds), np.uint64)
    bounds = np.zeros(len(texts.bounds), np.int64)
    write_windows(texts, size, out, bounds)
    return out[: bounds[-1]], bounds

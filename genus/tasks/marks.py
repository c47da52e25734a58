"""The three tokens that GPT-1's forms add to a model: `_start_`, `_delimiter_` and `_classify_` (section 3.3).

They become special tokens of the tokenizer's files, which then also say how a text, or two, become a sequence, so that other
libraries make the same one; and rows of the model's tables. Nothing else of a model is new but its head.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from genus.core.errors import GenusError
from genus.data.loader import Ids
from genus.models.heads import LanguageModel
from genus.models.rows import new_rows
from genus.tasks.forms import Form, Record
from genus.tokenizers.specials import with_specials
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["MARKS", "Encoded", "encode", "mark", "pad_of"]

MARKS = _START, _DELIMITER, _CLASSIFY = "_start_", "_delimiter_", "_classify_"


class Encoded(NamedTuple):
    """The sequences of a record, as ids, and whether any text was cut to fit."""

    sequences: tuple[Ids, ...]
    cut: bool


def mark(model: LanguageModel, tokenizer: Tokenizer, seed: int) -> tuple[Tokenizer, dict[nn.Parameter, range]]:
    """Give `model` rows for the marks, in place; give the tokenizer that has them, and the tables with the new rows."""
    if any(tokenizer.id_of(name) is not None for name in MARKS):
        raise GenusError(f"the tokenizer has {', '.join(MARKS)} already; start from the model before it was tuned on a task")
    pad = tokenizer.end_of_text
    marked = with_specials(
        tokenizer,
        MARKS,
        (_START, "$A", _CLASSIFY),
        (_START, "$A", _DELIMITER, "$B", _CLASSIFY),
        _START if pad is None else tokenizer.token_bytes(pad).decode(),
    )
    rows = range(tokenizer.vocab, marked.vocab)
    return marked, dict.fromkeys(new_rows(model, rows, seed), rows)


def pad_of(tokenizer: Tokenizer) -> int:
    """What a marked tokenizer fills rows up with. No sequence ends in it, so that readers find where each ends."""
    pad = tokenizer.pad
    return _id(tokenizer, _START) if pad is None else pad


def encode(form: Form, records: Sequence[Record], tokenizer: Tokenizer, time: int) -> list[Encoded]:
    """Each record's sequences: start, its texts with the delimiter between them, and the token whose place is read.

    Each text is cut to time / texts - 2 tokens, as the released code does for two. Raises GenusError where nothing is left.
    """
    ways = [form.sequences(record) for record in records]
    ids = iter(tokenizer.encode_batch([text for sequences in ways for texts in sequences for text in texts]))
    found = []
    for sequences in ways:
        made, cut = [], False
        for texts in sequences:
            room = (time - len(tokenizer.start) + 1) // len(texts) - 2
            if room < 1:
                raise GenusError(f"no text fits into sequences of {time} tokens; raise max_tokens, or take a larger context")
            parts = [next(ids) for _ in texts]
            cut = cut or any(len(part) > room for part in parts)
            made.append(_join(tokenizer, [part[:room] for part in parts]))
        found.append(Encoded(tuple(made), cut))
    return found


def _join(tokenizer: Tokenizer, parts: list[list[int]]) -> Ids:
    joined = [*tokenizer.start]  # which ends in _start_
    for number, part in enumerate(parts):
        joined += [_id(tokenizer, _DELIMITER), *part] if number else part
    return np.array([*joined, _id(tokenizer, _CLASSIFY)], np.int64)


def _id(tokenizer: Tokenizer, name: str) -> int:
    number = tokenizer.id_of(name)
    if number is None:
        raise GenusError(f"the tokenizer lacks {name}; name the folder of a model that `genus tune` made")
    return number

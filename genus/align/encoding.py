"""Answers as token ids, in one form for all that learns from them: as the model itself would say them."""

from collections.abc import Sequence

import numpy as np

from genus.core.errors import GenusError
from genus.data.comparisons import Prompt
from genus.data.examples import Example
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["answer_example", "encode_answer", "end_of_answer"]


def encode_answer(tokenizer: Tokenizer, prompt: Prompt, answer: str) -> list[int]:
    """An answer and the token that ends it, which a model must learn to say."""
    return [*tokenizer.encode(answer), end_of_answer(tokenizer, prompt)]


def end_of_answer(tokenizer: Tokenizer, prompt: Prompt) -> int:
    """The token that ends an answer: of a chat what its template writes there, else the end of text."""
    ends = tokenizer.turn_ends if not isinstance(prompt, str) else frozenset()
    found = next(iter(sorted(ends - {tokenizer.end_of_text})), tokenizer.end_of_text)
    if found is None:
        raise GenusError("the tokenizer has no token that ends a text, so answers would never end; give it an eos_token")
    return found


def answer_example(prompt: Sequence[int], answer: Sequence[int]) -> Example:
    """Both as one text of which the answer is learned."""
    tokens = np.array([*prompt, *answer], np.int64)
    return Example(tokens, np.arange(len(tokens)) >= len(prompt))

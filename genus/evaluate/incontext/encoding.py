"""Context and completion as token ids. They are encoded as one text, as the model would have read it."""

from collections.abc import Sequence
from typing import NamedTuple

from genus.core.errors import GenusError
from genus.evaluate.likelihood import Request
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Encoded", "encode_pairs", "start_of"]


class Encoded(NamedTuple):
    """`merged` tells that a token spans the border; it counts to the completion."""

    request: Request
    merged: bool


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
    """Of each context and completion, in order. Spaces that end a context go to the completion, whose words begin with them.

    Raises GenusError for a completion that no token says.
    """
    moved = [_moved(context, completion) for context, completion in pairs]
    contexts = list(dict.fromkeys(context for context, _ in moved))
    known = dict(zip(contexts, tokenizer.encode_batch(contexts), strict=True))
    wholes = tokenizer.encode_batch([context + completion for context, completion in moved])
    start = start_of(tokenizer)
    found = []
    for (context, completion), whole in zip(moved, wholes, strict=True):
        before = known[context]
        shared = _shared(before, whole)
        if shared == len(whole):
            raise GenusError(f"the completion {completion[:60]!r} is no token of this tokenizer; choose other words")
        read = [*tokenizer.start, *whole[:shared]] or start
        found.append(Encoded(Request(tuple(read), tuple(whole[shared:])), shared < len(before)))
    return found


def start_of(tokenizer: Tokenizer) -> list[int]:
    """What starts a text: the tokenizer's own, or else the end of another."""
    if tokenizer.start:
        return list(tokenizer.start)
    if tokenizer.end_of_text is None:
        raise GenusError(
            "this tokenizer names no token that starts or ends a text; give its tokenizer_config.json an eos_token"
        )
    return [tokenizer.end_of_text]


def _moved(context: str, completion: str) -> tuple[str, str]:
    kept = context.rstrip()
    return kept, context[len(kept) :] + completion


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))

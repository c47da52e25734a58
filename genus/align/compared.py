"""Comparisons from files and stores as token ids, some of them held out by prompt."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from genus.align.encoding import answer_example, encode_answer
from genus.core.errors import GenusError
from genus.core.progress import say
from genus.data.chats import read_chats
from genus.data.comparisons import Comparison, Demonstration, Prompt, read_comparisons
from genus.data.encoding import encode_prompt
from genus.data.examples import Example
from genus.data.records import Wrong
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Ranked", "encode_comparisons", "find_comparisons", "find_demonstrations", "split_by_prompt"]


class _HasPrompt(Protocol):
    @property
    def prompt(self) -> Prompt: ...


_Asked = TypeVar("_Asked", bound=_HasPrompt)


class Ranked(NamedTuple):
    """A prompt's answers as examples, whose learned tokens are the answer's, and their ranks, 1 the best."""

    examples: tuple[Example, ...]
    ranks: tuple[int, ...]
    labeller: str

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each answer."""
        return tuple(int(example.learned.sum()) for example in self.examples)


def find_comparisons(sources: Iterable[str], wrong: Wrong = "refuse") -> list[Comparison]:
    """All of files (JSON lines) and feedback stores (a database's file or URL)."""
    found: list[Comparison] = []
    for source in sources:
        if _is_store(source):
            from genus.align.feedback import Feedback

            found += Feedback.open(source).comparisons()
        else:
            found += read_comparisons(Path(source), wrong)
    return found


def find_demonstrations(sources: Iterable[str], wrong: Wrong = "refuse") -> list[Demonstration]:
    """Answers that people wrote, of files of chats and of feedback stores."""
    found: list[Demonstration] = []
    for source in sources:
        if _is_store(source):
            from genus.align.feedback import Feedback

            found += Feedback.open(source).demonstrations()
        else:
            found += [Demonstration(chat.prompt, chat.answer) for chat in read_chats(Path(source), wrong)]
    return found


def _is_store(source: str) -> bool:
    return "://" in source or source.endswith((".db", ".sqlite", ".sqlite3"))


def split_by_prompt(items: Sequence[_Asked], share: float, seed: int) -> tuple[list[_Asked], list[_Asked]]:
    """Those to learn from and those held out: a prompt is wholly one or the other, whoever ranked it."""
    learned: list[_Asked] = []
    held_out: list[_Asked] = []
    for each in items:
        digest = hashlib.blake2b(f"{seed}:{_name(each.prompt)}".encode(), digest_size=8).digest()
        (held_out if int.from_bytes(digest) < share * 2**64 else learned).append(each)
    return learned, held_out


def encode_comparisons(comparisons: Sequence[Comparison], tokenizer: Tokenizer, most: int) -> list[Ranked]:
    """As token ids. Those with an answer beyond `most` tokens, prompt included, and those that are all ties are left out,
    and their number said. Raises GenusError when none is left."""
    found, long, tied = [], 0, 0
    for each in comparisons:
        prompt = encode_prompt(tokenizer, each.prompt)
        examples = tuple(answer_example(prompt, encode_answer(tokenizer, each.prompt, answer)) for answer in each.answers)
        if len(set(each.ranks)) < 2:
            tied += 1
        elif max(len(example.tokens) for example in examples) > most:
            long += 1
        else:
            found.append(Ranked(examples, each.ranks, each.labeller))
    if comparisons and not found:
        raise GenusError(
            f"of {len(comparisons):,} comparisons {long:,} are longer than {most:,} tokens and {tied:,} are all ties, so "
            "none is left to learn from; bring others, or a model with a longer context"
        )
    if long or tied:
        say(f"left out: {long:,} comparisons longer than {most:,} tokens, {tied:,} that are all ties")
    return found


def _name(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else json.dumps(list(map(dict, prompt)), sort_keys=True)

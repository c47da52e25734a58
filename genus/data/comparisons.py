"""What people, or a program, said of answers: which of several is better, and how they would answer themselves.

Reward models and DPO learn from comparisons, fine-tuning from demonstrations.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Comparison", "Demonstration", "Prompt"]

Prompt = str | Sequence[Mapping[str, str]]
"""A text that is gone on with, or the turns of a chat, each with "role" and "content", the last one the user's."""


class Comparison(NamedTuple):
    """Two or more answers to one prompt, as one labeller ranked them: 1 is the best, equal ranks are ties."""

    prompt: Prompt
    answers: tuple[str, ...]
    ranks: tuple[int, ...]
    labeller: str = ""


class Demonstration(NamedTuple):
    """An answer that a person wrote."""

    prompt: Prompt
    answer: str
    labeller: str = ""

"""Sums that GPT-3 was asked (arXiv 2005.14165, section 3.9.1): whoever makes them knows the answers, so that a program can
tell whether a model is right."""

import random
import re
from collections.abc import Callable
from typing import NamedTuple

from genus.core.errors import GenusError

__all__ = ["KINDS", "Problem", "is_right", "problem"]


class Problem(NamedTuple):
    """A question and its answer, as GPT-3 was shown them."""

    prompt: str
    answer: str


def _sum(digits: int) -> Callable[[random.Random], tuple[str, int]]:
    def make(draw: random.Random) -> tuple[str, int]:
        one, other = (draw.randrange(10**digits) for _ in range(2))
        return f"{one} plus {other}", one + other

    return make


def _difference(digits: int) -> Callable[[random.Random], tuple[str, int]]:
    def make(draw: random.Random) -> tuple[str, int]:
        one, other = (draw.randrange(10**digits) for _ in range(2))
        return f"{one} minus {other}", one - other

    return make


def _product(draw: random.Random) -> tuple[str, int]:
    one, other = (draw.randrange(100) for _ in range(2))
    return f"{one} times {other}", one * other


def _composite(draw: random.Random) -> tuple[str, int]:
    one, two, three = (draw.randrange(10) for _ in range(3))
    first, second = (draw.choice("+-*") for _ in range(2))
    inner = {"+": two + three, "-": two - three, "*": two * three}[second]
    return f"{one}{first}({two}{second}{three})", {"+": one + inner, "-": one - inner, "*": one * inner}[first]


KINDS: dict[str, Callable[[random.Random], tuple[str, int]]] = {
    **{f"add{digits}": _sum(digits) for digits in range(1, 6)},
    **{f"subtract{digits}": _difference(digits) for digits in range(1, 6)},
    "multiply2": _product,
    "composite1": _composite,
}
"""GPT-3's ten tasks, and sums and differences of one digit."""


def problem(kind: str, number: int, seed: int = 0) -> Problem:
    """The `number`-th problem of a kind. Raises GenusError for an unknown kind."""
    if kind not in KINDS:
        raise GenusError(f"{kind} is no kind of sum; choose of {', '.join(KINDS)}")
    asked, answer = KINDS[kind](random.Random(f"{seed} {kind} {number}"))
    return Problem(f"Q: What is {asked}?\nA:", f" {answer}")


def is_right(problem: Problem, said: str) -> bool:
    """Whether the first number of an answer is the right one, and nothing else stands before it."""
    found = re.match(r"\s*(-?\d+)", said)
    return found is not None and int(found[1]) == int(problem.answer)

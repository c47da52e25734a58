"""Words with their letters moved: GPT-3's five tasks (arXiv 2005.14165, section 3.9.2), made from a list of words."""

import random
from collections.abc import Callable

__all__ = ["SCRAMBLES", "scrambled", "wanted"]

_BETWEEN = " !#%&*+,-./:;=?@^_~"


def wanted(word: str) -> bool:
    """More than 4 and less than 15 letters, and nothing else."""
    return 4 < len(word) < 15 and word.isalpha()


def scrambled(word: str, seed: int = 0) -> dict[str, str]:
    """The word, and what each task makes of it, by name. The same seed makes the same."""
    return {"word": word, **{name: make(word, random.Random(f"{seed} {name} {word}")) for name, make in SCRAMBLES.items()}}


def _cycle(word: str, draw: random.Random) -> str:
    first = draw.randrange(1, len(word))
    return word[first:] + word[:first]


def _anagram(ends: int) -> Callable[[str, random.Random], str]:
    """All letters but the first and the last `ends` in another order, where there is another."""

    def make(word: str, draw: random.Random) -> str:
        inside = word[ends:-ends]
        letters = list(inside)
        while len(set(inside)) > 1 and "".join(letters) == inside:
            draw.shuffle(letters)
        return word[:ends] + "".join(letters) + word[-ends:]

    return make


def _insertion(word: str, draw: random.Random) -> str:
    return "".join(letter + draw.choice(_BETWEEN) for letter in word[:-1]) + word[-1]


SCRAMBLES: dict[str, Callable[[str, random.Random], str]] = {
    "cycle": _cycle,
    "anagram1": _anagram(1),
    "anagram2": _anagram(2),
    "insertion": _insertion,
    "reversed": lambda word, _: word[::-1],
}
"""Letters cycled; all but the first and last one or two shuffled; punctuation or a space between all; backwards."""

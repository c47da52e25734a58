"""Guessing the next tokens, from the text itself or by a smaller model. They are read along with the token that is known, in
one step, and kept as far as they are what the sampler chooses.

Because the sampler's noise depends on the place alone, the text is the same with guesses and without: no rule is needed for
when to take one. A draft model draws with that same noise, and so agrees more often than one that drew with its own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from genus.engine.sample import choose
from genus.engine.schedule import Branch, Work

if TYPE_CHECKING:
    from genus.engine.engine import Reader
    from genus.engine.telling import Telling

__all__ = ["Draft", "Guesser", "Repeats"]

_GRAMS = (4, 3, 2)  # tokens that must stand there again; the longest found counts


class Guesser(Protocol):
    """What guesses for the engine."""

    def guess(self, tellings: Sequence["Telling"], most: Sequence[int]) -> None:
        """Set the guesses of each choice, up to so many."""

    def drop(self, branch: Branch) -> None:
        """The choice is over."""


class Repeats:
    """What followed the last time that a text's newest tokens stood in it: for texts that copy."""

    def __init__(self) -> None:
        self.runs: dict[Branch, _Runs] = {}

    def guess(self, tellings: Sequence["Telling"], most: Sequence[int]) -> None:
        """See Guesser."""
        for telling, count in zip(tellings, most, strict=True):
            branch = telling.branch
            branch.guesses = self.runs.setdefault(branch, _Runs()).after(branch.tokens, count)

    def drop(self, branch: Branch) -> None:
        """See Guesser."""
        self.runs.pop(branch, None)


class _Runs:
    """Where each short run of tokens of one growing text was last followed by another."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, ...], int] = {}  # run -> place of the token after it
        self.known = 0  # tokens that were looked at
        self.guessed: list[int] = []  # what was said to follow them
        self.trust = 2  # guesses to make: what is guessed wrong is read for nothing

    def after(self, tokens: Sequence[int], most: int) -> list[int]:
        """Up to `most` guesses of what follows `tokens`, which begin with those of the call before."""
        if self.guessed:
            said = tokens[self.known : self.known + len(self.guessed)]
            right = next(
                (at for at, pair in enumerate(zip(self.guessed, said, strict=False)) if pair[0] != pair[1]), len(said)
            )
            self.trust = max(self.trust, 2 * right) if right == len(self.guessed) else max(1, right)
        for end in range(max(1, self.known), len(tokens)):
            for size in _GRAMS:
                if size <= end:
                    self.seen[tuple(tokens[end - size : end])] = end
        self.known = len(tokens)
        for size in _GRAMS:
            place = self.seen.get(tuple(tokens[-size:])) if size <= len(tokens) else None
            if place is not None and most > 0:
                self.guessed = list(tokens[place : place + min(most, self.trust)])
                return list(self.guessed)
        self.guessed = []
        return []


class Draft:
    """A small model of the same tokens, over a cache of its own. Who finds no room there goes without guesses."""

    def __init__(self, reader: "Reader") -> None:
        self.reader = reader
        self.shadows: dict[Branch, Branch] = {}  # what the draft has read of each choice, its own guesses among it

    def guess(self, tellings: Sequence["Telling"], most: Sequence[int]) -> None:
        """See Guesser."""
        for telling in tellings:
            telling.branch.guesses = []
        going = [
            (each, count) for each, count in zip(tellings, most, strict=True) if count > 0 and self._follow(each.branch)
        ]
        for done in range(max((count for _, count in going), default=0)):
            now = [each for each, count in going if count > done]
            shadows = [self.shadows[each.branch] for each in now]
            work = [Work(shadow, shadow.computed, len(shadow.tokens) - shadow.computed) for shadow in shadows]
            logits = self.reader.read(work, [1] * len(work))
            tokens = choose(logits, [each.rows(done + 1)[done] for each in now])
            for each, shadow, token in zip(now, shadows, tokens, strict=True):
                shadow.computed = len(shadow.tokens)
                shadow.tokens.append(max(token, 0))  # it may have none to choose; any is a guess
                each.branch.guesses.append(max(token, 0))

    def drop(self, branch: Branch) -> None:
        """See Guesser."""
        shadow = self.shadows.pop(branch, None)
        if shadow is not None and shadow.table is not None:
            self.reader.cache.release(shadow.table)

    def _follow(self, branch: Branch) -> bool:
        """Bring the shadow to what was really said; whether there is room for it."""
        cache, shadow = self.reader.cache, self.shadows.get(branch)
        if shadow is None:
            need = [-(-branch.request.most // cache.size)] * len(cache.groups)  # windows let nothing go here
            found = cache.admit(branch.tokens, branch.request.salt, need)
            if found is None:
                return False
            shadow = Branch(branch.number, branch.request, branch.choice, list(branch.tokens), found[1], found[0])
            self.shadows[branch] = shadow
        # all but the newest token were guessed right; what was read beyond them is read over
        shadow.tokens, shadow.computed = list(branch.tokens), min(shadow.computed, len(branch.tokens) - 1)
        assert shadow.table is not None
        return cache.grow(shadow.table, branch.request.most)

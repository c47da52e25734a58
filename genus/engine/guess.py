"""Guessing the next tokens from the text itself: what followed the last time that its newest tokens stood there.

Guesses are read along with the token that is known, in one step, and kept as far as they are what the sampler chooses.
Because the sampler's noise depends on the place alone, the text is the same with guesses and without.
"""

from collections.abc import Sequence

__all__ = ["Repeats"]

_GRAMS = (4, 3, 2)  # tokens that must stand there again; the longest found counts


class Repeats:
    """Where each short run of tokens of one growing text was last followed by another."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, ...], int] = {}  # run -> place of the token after it
        self.known = 0  # tokens that were looked at

    def after(self, tokens: Sequence[int], most: int) -> list[int]:
        """Up to `most` guesses of what follows `tokens`, which begin with those of the call before."""
        for end in range(max(1, self.known), len(tokens)):
            for size in _GRAMS:
                if size <= end:
                    self.seen[tuple(tokens[end - size : end])] = end
        self.known = len(tokens)
        for size in _GRAMS:
            place = self.seen.get(tuple(tokens[-size:])) if size <= len(tokens) else None
            if place is not None and most > 0:
                return list(tokens[place : place + most])
        return []

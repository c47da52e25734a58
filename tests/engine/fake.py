"""A model that needs no arithmetic: its logits are a hash of the tokens that it finds in the cache, page by page."""

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from genus.engine.pages import Cache
from genus.engine.schedule import Work

VOCAB = 13


class HashModel:
    """Reads tokens through the tables that the scheduler made, so that a wrong page shows in all that follows.

    Layers with a window see the window alone. `broken` are tokens at whose sight it raises or gives NaN.
    """

    def __init__(self, pages: int, size: int = 4, windows: Sequence[int | None] = (None,), sharing: bool = True) -> None:
        self.context, self.vocab = 10_000, VOCAB
        self.cache = Cache(size, windows, [pages] * len(windows), sharing)
        self.held = [[[-1] * size for _ in range(pages)] for _ in windows]
        self.broken: dict[int, str] = {}
        self.reads: list[list[tuple[int, int, int, int]]] = []  # request, choice, start, count of each step

    def read(self, work: Sequence[Work], wanted: Sequence[int]) -> Tensor:
        if any(self.broken.get(token) == "raises" for each in work for token in each.tokens):
            raise RuntimeError("a planted failure")
        self.reads.append([(each.branch.number, each.branch.choice, each.start, each.count) for each in work])
        rows = []
        for each, count in zip(work, wanted, strict=True):
            for place, token in enumerate(each.tokens, each.start):
                self._write(each, place, token)
            end = each.start + each.count
            rows += [self._logits(each, place) for place in range(end - count, end)]
        return torch.tensor(rows) if rows else torch.zeros(0, VOCAB)

    def copy(self, pages: Iterable[tuple[int, int, int]]) -> None:
        for group, source, target in pages:
            self.held[group][target] = list(self.held[group][source])

    def _write(self, work: Work, place: int, token: int) -> None:
        size = self.cache.size
        for group, held in enumerate(self.held):
            held[work.branch.table.pages[group][place // size]][place % size] = token

    def _logits(self, work: Work, place: int) -> list[float]:
        size, seen = self.cache.size, []
        for group, window in enumerate(self.cache.windows):
            first = 0 if window is None else max(0, place - window + 1)
            pages = work.branch.table.pages[group]
            seen.append([self.held[group][pages[at // size]][at % size] for at in range(first, place + 1)])
            assert all(pages[at // size] >= 0 for at in range(first, place + 1))
        if any(self.broken.get(token) == "nan" for token in seen[0]):
            return [float("nan")] * VOCAB
        return hashed(seen)


def hashed(seen: list[list[int]]) -> list[float]:
    """Logits for what each group of layers sees."""
    return [byte / 32 for byte in hashlib.blake2b(repr(seen).encode(), digest_size=VOCAB).digest()]

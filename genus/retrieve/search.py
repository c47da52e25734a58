"""Search of an index by words, by meaning, and by both. Not for where the index is kept."""

from typing import Literal

from genus.retrieve.corpus import Corpus
from genus.retrieve.encoder import Encoder
from genus.retrieve.filters import Filter
from genus.retrieve.fuse import blended
from genus.retrieve.passage import Hit

__all__ = ["By", "Search", "open_search"]

By = Literal["words", "meaning", "both"]
_POOL = 100  # of each search, before both are blended


class Search:
    """A corpus and the encoder that its vectors were made with."""

    def __init__(self, corpus: Corpus, encoder: Encoder) -> None:
        self.corpus = corpus
        self.encoder = encoder

    def find(self, query: str, count: int = 10, by: By = "both", where: Filter | None = None) -> list[Hit]:
        """The best passages, best first; equal scores by id."""
        pool = max(count, _POOL) if by == "both" else count
        lists = []
        if by != "meaning":
            lists.append(self.corpus.words(query, pool, where))
        if by != "words":
            lists.append(self.corpus.near(self.encoder.encode([query])[0], pool, where))
        return lists[0][:count] if len(lists) == 1 else blended(lists, pool, count)


def open_search(place: str) -> Search:
    """Search of an index: a folder, or a URL. Raises GenusError where it, or the encoder it was made with, is not there."""
    from genus.retrieve.encoding import encoder_of
    from genus.retrieve.opening import open_corpus

    corpus = open_corpus(place)
    return Search(corpus, encoder_of(corpus))

"""What an index of passages can do, wherever it is kept. Ranks of several searches are fused outside, alike everywhere."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from genus.retrieve.filters import Filter
from genus.retrieve.passage import Hit, Passage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["Corpus"]


class Corpus(Protocol):
    """Passages by id, with words and vectors to find them by. What `add` and `delete` have done is seen, and stays."""

    encoder: Mapping[str, str | int]
    """What made the vectors: "name", "sha256" and "width". Vectors of another encoder are refused."""

    def __len__(self) -> int: ...

    def add(self, passages: Sequence[Passage], vectors: "np.ndarray", whole: Sequence[str] = ()) -> None:
        """Put passages in, over those of the same ids, all at once; vectors (n, width), fp32, of length 1.

        Of the documents `whole` these are all passages: others go.
        """

    def known(self, ids: Sequence[str]) -> dict[str, str]:
        """The sha256 of those that are there, by id."""

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """Those that are there, in the order of `ids`."""

    def delete(self, documents: Sequence[str]) -> int:
        """Take all passages of these documents out, and say how many they were."""

    def compact(self) -> None:
        """Rewrite what is kept, so that nothing deleted is left on disk, and index what is new."""

    def words(self, query: str, count: int, where: Filter | None = None) -> list[Hit]:
        """The best by BM25 over title and text, best first; equal scores by id."""

    def near(self, vector: "np.ndarray", count: int, where: Filter | None = None, exact: bool = False) -> list[Hit]:
        """The nearest by inner product to a vector (width,), best first; equal scores by id; none to all zeros."""

    def arrow(self, columns: Sequence[str] = ()) -> Iterator["pa.RecordBatch"]:
        """All passages with their "vector", by which an index moves from one store to another; or these columns of them."""

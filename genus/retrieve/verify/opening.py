"""A judge of support by its folder."""

from pathlib import Path

from genus.retrieve.verifier import Verifier
from genus.retrieve.verify.coverage import Coverage
from genus.retrieve.verify.words import WordCounts

__all__ = ["open_verifier"]


def open_verifier(folder: Path | None = None, counts: WordCounts | None = None) -> Verifier:
    """None is the coverage of words. `counts` are those of the corpus at hand, as `count_corpus` makes them."""
    return Coverage(counts)

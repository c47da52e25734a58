"""A judge of support by its folder."""

from pathlib import Path

from genus.retrieve.verifier import Verifier
from genus.retrieve.verify.coverage import Coverage
from genus.retrieve.verify.words import WordCounts

__all__ = ["open_verifier"]


def open_verifier(folder: Path | None = None, counts: WordCounts | None = None) -> Verifier:
    """The judge of a folder that `genus tune --form support` made; None is the coverage of words.

    Coverage takes `counts` of the corpus at hand, as `count_corpus` makes them; a judge has its own. Raises GenusError for a
    folder of another kind.
    """
    if folder is None:
        return Coverage(counts)
    from genus.retrieve.verify.judge import load_judge  # loads PyTorch

    return load_judge(folder)

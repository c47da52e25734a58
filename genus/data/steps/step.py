"""What a step of a corpus is. Each takes one document and lets it go on, changed or not, or drops it and says why.

Not for steps that must see all documents at once (repeats, budgets): those work on tables of numbers.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from genus.data.sources import Document

__all__ = ["Fate", "Step"]


class Fate(NamedTuple):
    """What a step did with a document.

    `reason` is one of a few fixed phrases, counted in the report; `detail` the evidence for this document, such as
    "12 words, at least 50". `measured` has numbers by name, for histograms, sums and later steps, of dropped ones too.
    """

    document: Document | None
    reason: str = ""
    detail: str = ""
    measured: Mapping[str, float] = {}


class Step(Protocol):
    """A table of the recipe, a frozen dataclass of fields with docstrings."""

    def open(self) -> Callable[[Document], Fate]:
        """Load what is needed, once a process, and give what handles one document after another, always the same way."""

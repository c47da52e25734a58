"""What a user chooses of the evaluate and report stages. Light: their --help loads nothing heavy."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Evaluate", "Report"]


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a model on held-out text."""

    model: Path
    """The model's folder."""
    corpus: Path
    """The corpus whose validation split is read."""
    out: Path
    """The JSON file to write."""
    references: bool = True
    """Measure a byte 5-gram model and xz -9 on the same text too."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Describe a run on one page."""

    run: Path
    """Folder of the run, with corpus/, shards/ and evaluation.json in it."""
    out: Path
    """The HTML file to write."""

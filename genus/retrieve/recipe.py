"""What a user says of an index to be made. Light: `genus index --help` reads this without loading PyTorch."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Index"]


@dataclass(frozen=True, kw_only=True)
class Index:
    """Make an index of documents, or bring one up to date."""

    out: str
    """Where the index is: a folder, NAME.db of milvus-lite, or http(s)://HOST:PORT/COLLECTION of a Milvus."""
    encoder: str = "minilm"
    """What makes the vectors: minilm, which comes as a package, or the folder of any model."""
    prune: bool = False
    """Take documents out that are in the index and no longer in the source."""
    dropped: Path | None = None
    """A .jsonl file to list all that could not be used in; the first few are told in any case."""

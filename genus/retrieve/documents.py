"""Documents to be indexed, each with a title and, where it has one, an address: of a corpus, or of files as they are.

Not for how documents become passages. What cannot be used is given as `Dropped` with the reason, as genus.data.sources does.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePath

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.data.corpus import SPLITS
from genus.data.corpus import documents as of_split
from genus.data.sources import Document, Dropped, Found, Piece, pieces, read_piece
from genus.data.sources.folders import file_piece
from genus.data.steps.extract import Extract
from genus.retrieve.wikipedia import is_dump, read_dump

__all__ = ["Reading", "reading"]

Reading = Iterator[tuple[float, Document | Dropped]]
"""Documents, each with the bytes of the source that have been read with it."""
_HEADING = re.compile(r"^#{1,6}[ \t]+(\S.*)$", re.MULTILINE)
_MARKDOWN = (".md", ".markdown")


def reading(source: str) -> tuple[float, Reading]:
    """The bytes of a source and what is in it: a Genus corpus, a packaged collection, a folder or file of any format that
    genus.data.sources reads, or a Wikipedia dump. Raises GenusError where there is nothing, or no format that is read.
    """
    path = Path(source)
    if (path / "manifest.json").is_file() and (path / "documents").is_dir():
        return _of_corpus(path)
    dump = path.is_file() and is_dump(path.name)
    found = [file_piece(path, path.name, path.name)] if dump else pieces(source)
    return sum(piece.size for piece in found), _of_pieces(found, path)


def _of_corpus(path: Path) -> tuple[float, Reading]:
    manifest = read_json(path / "manifest.json")
    try:
        total = sum(manifest["splits"][split]["bytes"] for split in SPLITS)
    except (KeyError, TypeError) as error:
        raise GenusError(f"{path} is no corpus of this Genus ({error}); make it again with: genus corpus") from error

    def read() -> Reading:
        done = 0
        for split in SPLITS:
            for document in of_split(path, split):
                done += document.size
                yield done, _titled(document, "")

    return total, read()


def _of_pieces(found: list[Piece], root: Path) -> Reading:
    extract = _extract()
    done = 0.0
    for piece in found:
        within = 0.0
        file = piece.name if piece.kind in ("text", "code", "html") else ""
        for item in _read(piece, root):
            if isinstance(item, Dropped):
                yield done, item
                continue
            within += item.size
            yield done + min(within, piece.size), _titled(extract(item), file)
        done += piece.size
    yield from ((done, dropped) for dropped in _hidden(root))


def _read(piece: Piece, root: Path) -> Found:
    """A dump is a file of a format that nothing else reads; a link out of the folder is told as others are."""
    path = root if root.is_file() else root / piece.name
    if is_dump(piece.name) and piece.reason in ("", "other format") and path.is_file():
        return read_dump(path)
    return read_piece(piece)


def _extract() -> Callable[[Document], Document | Dropped]:
    """The text of a page: of its main part or, where that looks empty, of all of it."""
    steps = [Extract(main=main).open() for main in (True, False)]

    def extract(document: Document) -> Document | Dropped:
        fate = steps[0](document)
        if fate.document is None:
            fate = steps[1](document)
        return fate.document or Dropped(document.id, fate.reason, fate.detail)

    return extract


def _hidden(root: Path) -> Iterator[Dropped]:
    """Names that begin with a dot, which readers of folders leave alone."""
    for folder, below, files in os.walk(root):
        for name in sorted(each for each in (*below, *files) if each.startswith(".")):
            shown = os.fsencode(Path(folder, name).relative_to(root)).decode("utf-8", "backslashreplace")
            yield Dropped(shown, "hidden", "its name begins with a dot; give it another one, or name it as the source")
        below[:] = [name for name in below if not name.startswith(".")]


def _titled(item: Document | Dropped, file: str) -> Document | Dropped:
    """With meta["title"] and meta["url"], from what the document says or, at last, the name of its file."""
    if isinstance(item, Dropped):
        return item
    meta = item.meta
    title = meta.get("title", "").strip()
    if not title and meta.keys() >= {"president", "year"}:  # the packaged messages
        title = f"{meta['president']}, {meta['year']}"
    if not title and PurePath(file).suffix in _MARKDOWN and (heading := _HEADING.search(item.text)):
        title = heading[1].rstrip(" \t").rstrip("#").rstrip(" \t")
    title = title or PurePath(file).stem
    url = meta.get("url") or (item.source if item.source.startswith(("http://", "https://")) else "")
    return replace(item, meta=meta | {"title": title, "url": url})

"""A source as pieces, and a piece as documents. Which format is read how is in the module of that format."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

from genus.core.errors import GenusError
from genus.core.files import sha256
from genus.data.sources.archives import read_archive
from genus.data.sources.document import Dropped, Found
from genus.data.sources.folders import FORMATS, file_piece, folder_pieces
from genus.data.sources.jsonl import read_json_file, read_jsonl
from genus.data.sources.kinds import kind_of
from genus.data.sources.packaged import PACKAGED, usable
from genus.data.sources.pages import read_html
from genus.data.sources.parquet import read_parquet
from genus.data.sources.piece import Piece
from genus.data.sources.text import read_code, read_text
from genus.data.sources.unpack import Broken

__all__ = ["about", "hashed", "pieces", "read", "read_piece"]

_ADDRESSES = ("http://", "https://", "hf://")
_READERS: dict[str, Callable[[Piece], Found]] = {
    "code": read_code,
    "dropped": lambda piece: iter((Dropped(piece.name, piece.reason, piece.detail),)),
    "html": read_html,
    "json": read_json_file,
    "jsonl": read_jsonl,
    "packaged": lambda piece: PACKAGED[piece.name].read(),
    "parquet": read_parquet,
    "text": read_text,
    "warc": read_archive,
}


def pieces(source: str, cache: Path | None = None) -> list[Piece]:
    """What `source` has, in a fixed order: the name of a packaged collection, a file or folder, or an address.

    Folders are listed recursively; hidden files are left alone. Addresses (http://, https://, hf://datasets/OWNER/NAME) are
    fetched first, once, into `cache`, by default genus/sources in the user's cache folder.
    Raises GenusError when there is nothing at `source`, or it is a file of a format that is not read.
    """
    if source in PACKAGED:
        files = (path for path in PACKAGED[source].folder().rglob("*") if path.is_file())
        return [Piece(kind="packaged", name=source, size=sum(path.stat().st_size for path in files))]
    root, title = Path(source), ""
    if source.startswith(_ADDRESSES):
        from genus.data.sources.fetch import fetched  # here, since urllib takes as long to import as all else

        root, title = fetched(source, cache), source
    if root.is_dir():
        return folder_pieces(root, title or root.resolve().name)
    if not root.is_file():
        raise GenusError(f"source {source} does not exist; give a folder or file of text, or one of: {', '.join(PACKAGED)}")
    if not kind_of(root.name):
        raise GenusError(f"source {source} is not of a format that is read; convert it to one of: {FORMATS}")
    return [file_piece(root, root.name, title or root.name)]


def read_piece(piece: Piece) -> Found:
    """The documents of a piece, in order, and what is dropped of it. Damage ends this piece at most, never the caller."""
    try:
        yield from _READERS[piece.kind](piece)
    except Broken as error:
        yield Dropped(piece.name, error.reason, error.detail)
    except OSError as error:
        yield Dropped(piece.name, "unreadable", str(error.strerror or error))


def hashed(piece: Piece) -> list[tuple[str, str]]:
    """The name below the source and the SHA-256 of each file of a piece; nothing of what has no file that can be read."""
    if piece.kind == "packaged":
        root = PACKAGED[piece.name].folder()
        files = [(path.relative_to(root).as_posix(), path) for path in sorted(root.rglob("*")) if path.is_file()]
    else:
        files = [(piece.name, piece.file)] if piece.path else []
    try:
        return [(name, sha256(path)) for name, path in files]
    except OSError:
        return []


def read(source: str, cache: Path | None = None) -> Found:
    """Everything in `source`, piece after piece. Raises GenusError as `pieces` does, and where nothing is usable."""
    if source in PACKAGED:
        return PACKAGED[source].read()
    return usable(source, chain.from_iterable(map(read_piece, pieces(source, cache))))


def about(source: str) -> str:
    """One sentence for the data card on what `source` is."""
    if source in PACKAGED:
        return PACKAGED[source].about
    return f"What is read of `{source}`: files of {FORMATS}."

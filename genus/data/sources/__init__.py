"""Where text comes from: packaged collections by name, folders and files of many formats, and addresses on the web.

`pieces` lists what a source has and `read_piece` reads one of them, alone and anywhere; `read` does both in one process.
Every document is given and, for whatever cannot be used, a `Dropped` with the reason: nothing vanishes silently, and one
bad record or file does not end the rest. Not for choosing among good documents, nor for taking text out of HTML.
"""

from genus.data.sources.document import Document, Dropped, Found
from genus.data.sources.packaged import PACKAGED, Packaged
from genus.data.sources.piece import Piece
from genus.data.sources.reading import about, hashed, pieces, read, read_piece

__all__ = [
    "PACKAGED",
    "Document",
    "Dropped",
    "Found",
    "Packaged",
    "Piece",
    "about",
    "hashed",
    "pieces",
    "read",
    "read_piece",
]

"""An index by its place: a folder is LanceDB's; a URL, or a file that ends in .db, is Milvus's."""

from pathlib import Path

from genus.core.errors import GenusError
from genus.retrieve.corpus import Corpus
from genus.retrieve.manifest import Encoding

__all__ = ["open_corpus"]


def open_corpus(place: str, create: Encoding | None = None) -> Corpus:
    """Open an index; with an encoder's "name", "sha256" and "width", make an empty one where there is none.

    `place` is a folder, http(s)://HOST:PORT/COLLECTION of a Milvus, or NAME.db of milvus-lite. Raises GenusError where
    there is no index, or one that is damaged, newer, or another encoder's.
    """
    if not place.strip() or "\0" in place:
        raise GenusError(f"{place!a} is no place for an index; name a folder or a URL")
    if place.startswith(("http://", "https://")) or ("://" not in place and place.endswith(".db")):
        from genus.retrieve.milvus import MilvusCorpus

        return MilvusCorpus(place, create)
    if "://" in place:
        raise GenusError(f"{place!a} is neither a folder nor http(s)://HOST:PORT/COLLECTION of a Milvus")
    from genus.retrieve.lance import LanceCorpus

    return LanceCorpus(Path(place), create)

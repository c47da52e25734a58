"""Which documents of an index a reference means: by its address, else by its title. No address is ever fetched."""

import unicodedata
from collections.abc import Iterable

from genus.retrieve.cite.address import address
from genus.retrieve.cite.claims import Reference
from genus.retrieve.corpus import Corpus

__all__ = ["Resolved", "resolve", "title_key"]

_MOST = 20  # documents that one title may mean; "Home" is the title of none


def title_key(title: str) -> str:
    """A title as it is compared: small letters, single blanks, no full stop or quotes around it."""
    folded = unicodedata.normalize("NFKC", title).casefold().replace("_", " ")
    return " ".join(folded.split()).strip(" .,;:\"'“”‘’«»")


class Resolved:
    """The documents of an index that some references mean."""

    def __init__(self, addresses: dict[str, list[str]], titles: dict[str, list[str]]) -> None:
        self._addresses, self._titles = addresses, titles

    def documents(self, reference: Reference) -> tuple[str, ...]:
        """Their ids; several where they share the address or the title, and none where the index lacks the source."""
        if found := self._addresses.get(address(reference.url) if reference.url else ""):
            return tuple(found)
        for title in reference.titles:
            found = self._titles.get(title_key(title), [])
            if 0 < len(found) <= _MOST:
                return tuple(found)
        return ()


def resolve(corpus: Corpus, references: Iterable[Reference]) -> Resolved:
    """Look all references up in one pass over the index's documents, titles and addresses."""
    addresses: dict[str, list[str]] = {}
    titles: dict[str, list[str]] = {}
    for reference in references:
        if reference.url and (key := address(reference.url)):
            addresses[key] = []
        titles |= {key: [] for title in reference.titles if (key := title_key(title))}
    last = None
    for batch in corpus.arrow(("document", "title", "url")):
        for row in zip(*(batch.column(name).to_pylist() for name in ("document", "title", "url")), strict=True):
            if row == last:  # passages of a document follow one another
                continue
            last = row
            document, title, url = row
            for known, key in ((addresses, address(url) if url else ""), (titles, title_key(title))):
                if key in known and document not in known[key][-_MOST - 1 :]:
                    known[key].append(document)
    return Resolved(addresses, titles)

"""Which documents of an index a reference means: by its address, else by its title. No address is ever fetched."""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from genus.retrieve.cite.claims import Reference
from genus.retrieve.corpus import Corpus

__all__ = ["Resolved", "address", "resolve", "title_key"]

_TRACKING = re.compile(
    r"utm_\w+|_ga|_gl|dclid|fbclid|gbraid|gclid|gclsrc|igshid|mc_[ce]id|mkt_tok|msclkid|twclid|wbraid|yclid|_hs\w+",
    re.IGNORECASE,
)
_ARCHIVE = re.compile(r"https?://(?:web\.)?archive\.org/web/[0-9*]{1,14}[a-z_]{0,3}/(?=https?:|[\w-]+\.)", re.IGNORECASE)
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_MOST = 20  # documents that one title may mean; "Home" is the title of none


def address(url: str) -> str:
    """A web address as it is compared: no scheme, www., port of the scheme, closing slash, fragment or tracking parameters.

    A copy in the Internet Archive is the page it is a copy of. "" for what is no web address.
    """
    url = _ARCHIVE.sub("", url.strip(), count=1)
    try:
        parts = urlsplit(url if _SCHEME.match(url) else f"http://{url}")
        host, port = (parts.hostname or "").removeprefix("www."), parts.port
    except ValueError:
        return ""
    if "." not in host or not host.strip("."):
        return ""
    host += f":{port}" if port not in (None, 80, 443) else ""
    fields = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.fullmatch(pair[0])]
    return f"{host}{unquote(parts.path).rstrip('/')}{'?' + urlencode(fields) if fields else ''}"


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

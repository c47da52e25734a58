"""An index of a folder of documents, made and kept up to date: what is there and has not changed is left alone.

Not for how documents are read or cut, nor for how an index is stored. A document is in the index as it was or as it is now,
and a killed run goes on where it stopped when it is started again.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genus.core.errors import GenusError
from genus.core.files import locked
from genus.core.progress import Update, progress, say
from genus.data.sources import Dropped
from genus.retrieve.chunk import cut
from genus.retrieve.corpus import Corpus
from genus.retrieve.documents import Reading, reading
from genus.retrieve.drops import Drops
from genus.retrieve.encoder import Encoder
from genus.retrieve.encoding import open_encoder, read_by_encoder
from genus.retrieve.manifest import Encoding
from genus.retrieve.opening import open_corpus
from genus.retrieve.passage import Passage
from genus.retrieve.recipe import Index

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Index", "delete_documents", "make_index"]

_BATCH = 2048  # passages that are added at once: what a kill costs at most, half a minute to a minute of encoding
_SLICE = 256  # passages encoded between two looks at the progress
_KEPT = 128 * 2**20  # bytes of vectors kept for texts that come again
_COLUMNS = ("id", "document", "sha256", "start", "end", "url", "source", "language", "date")


class Told(NamedTuple):
    """What a run did: documents of each kind, passages written and of how many of them the text was encoded."""

    new: int
    changed: int
    unchanged: int
    removed: int
    dropped: int
    written: int
    encoded: int
    passages: int
    seconds: float


class _Known(NamedTuple):
    """A document in the index: how many passages it has, and a sum over them that tells whether any has changed."""

    passages: int
    digest: int


def make_index(source: str, recipe: Index) -> Told:
    """Bring the index up to date with `source`, and say what was done. Raises GenusError where nothing in it is usable."""
    _check_apart(source, recipe.out)
    total, found = reading(source)
    drops = Drops(recipe.dropped)
    begun = _from_first_document(source, found, drops)
    encoder = open_encoder(recipe.encoder)
    facts: Encoding = {"name": encoder.name, "sha256": encoder.sha256, "width": encoder.width}
    corpus = open_corpus(recipe.out, facts)
    with _alone(recipe.out), progress("indexing", total) as update:
        run = _Run(corpus, encoder, drops, update)
        for done, mine in begun:
            run.take(mine, done)
        run.write()
        run.tell(total)
        gone = [name for name in run.known if name not in run.seen]
        removed = run.prune(gone) if recipe.prune else 0
        corpus.compact()
    drops.tell()
    if gone and not recipe.prune:
        say(f"{len(gone):,} documents of the index are not in {source}; --prune takes them out")
    return run.told(removed)


def delete_documents(place: str, names: Sequence[str]) -> int:
    """Take documents out of an index, off the disk too, and give the number of their passages.

    Raises GenusError, with nothing taken out, where one of them is not there.
    """
    corpus = open_corpus(place)
    first = {name: f"{name}:1" for name in names}
    there = corpus.known(list(first.values()))
    for name, passage in first.items():
        if passage not in there:
            corpus.compact()  # a run killed after it took the document out left its text on the disk
            raise GenusError(f"{place} has no document {name!a}; the ids that genus search shows are DOCUMENT:NUMBER")
    count = corpus.delete(names)
    corpus.compact()
    return count


class _Run:
    """What is known while a source is gone through."""

    def __init__(self, corpus: Corpus, encoder: Encoder, drops: Drops, update: Update) -> None:
        self.corpus, self.drops, self.update = corpus, drops, update
        self.known = _documents_of(corpus)
        self.vectors = _Vectors(encoder)
        self.seen: dict[str, int] = {}
        self.waiting: list[Passage] = []
        self.shrunk: list[str] = []
        self.changed: list[str] = []  # ids of passages of documents that were there already
        self.counts = dict.fromkeys(("new", "changed", "unchanged", "written"), 0)
        self.read = self.settled = 0.0  # bytes of the source, and those of them that no longer wait
        self.began = time.monotonic()

    def take(self, mine: list[Passage] | Dropped, done: float) -> None:
        """A document that is new or has changed waits to be written; what waits is written when it is enough."""
        self.read = done
        if isinstance(mine, Dropped):
            self.drops.add(mine)
            return
        name = mine[0].document
        digest, before = sum(map(_digest, map(_facts, mine))), self.known.get(name)
        if name in self.seen:
            if self.seen[name] != digest:
                self.drops.add(Dropped(name, "id again", "another document of the source has it; give each its own"))
            return
        self.seen[name] = digest
        if before == _Known(len(mine), digest):
            self.counts["unchanged"] += 1
            self.settled = self.settled if self.waiting else done
            return
        self.counts["new" if before is None else "changed"] += 1
        if before is not None and before.passages > len(mine):
            self.shrunk.append(name)
        elif before is not None:
            self.changed += [passage.id for passage in mine]
        self.waiting += mine
        if len(self.waiting) >= _BATCH:
            self.write()

    def write(self) -> None:
        """Add what waits. Of a document that has become shorter the old end goes in the same step."""
        there = {passage.id: passage for passage in self.corpus.get(self.changed)} if self.changed else {}
        todo = [passage for passage in self.waiting if there.get(passage.id) != passage]
        for first in range(0, len(todo), _SLICE):
            self.vectors.prepare(todo[first : first + _SLICE])
            encoded = min(first + _SLICE, len(todo))
            self.tell(self.settled + (self.read - self.settled) * encoded / len(todo), encoded)
        if todo:
            self.corpus.add(todo, self.vectors.of(todo), self.shrunk)
        self.counts["written"] += len(todo)
        self.settled = self.read
        self.waiting, self.shrunk, self.changed = [], [], []

    def tell(self, done: float, encoded: int = 0) -> None:
        """Show how far it is."""
        rate = self.vectors.encoded / max(time.monotonic() - self.began, 1e-9)
        self.update(done, f"{self.counts['written'] + encoded:,} passages, {rate:,.0f}/s encoded")

    def prune(self, gone: Sequence[str]) -> int:
        """Take documents out, unless a file that may hold them could not be read."""
        if self.drops.unread:
            say(f"warning: nothing is pruned, since {self.drops.unread} could not be read; make it readable, or remove it")
            return 0
        for first in range(0, len(gone), 1000):
            self.corpus.delete(gone[first : first + 1000])
        return len(gone)

    def told(self, removed: int) -> Told:
        """The end of it."""
        seconds = time.monotonic() - self.began
        encoded, there = self.vectors.encoded, len(self.corpus)
        dropped = self.drops.count
        return Told(**self.counts, removed=removed, dropped=dropped, encoded=encoded, passages=there, seconds=seconds)


class _Vectors:
    """Vectors of passages; equal texts are encoded once, as long as the first one's vector is kept."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.encoded = encoder, 0
        self.most = max(2 * _BATCH, _KEPT // (4 * encoder.width))
        self.kept: OrderedDict[str, np.ndarray] = OrderedDict()

    def prepare(self, passages: Sequence[Passage]) -> None:
        """Encode those whose vectors are not kept."""
        texts = {passage.sha256: read_by_encoder(passage) for passage in passages if passage.sha256 not in self.kept}
        self.kept.update(zip(texts, self.encoder.encode(list(texts.values())), strict=True))
        self.encoded += len(texts)

    def of(self, passages: Sequence[Passage]) -> "np.ndarray":
        """Vectors (n, width) of passages that were prepared; the oldest are let go of after."""
        import numpy as np

        found = np.stack([self.kept[passage.sha256] for passage in passages])
        while len(self.kept) > self.most:
            self.kept.popitem(last=False)
        return found


def _documents_of(corpus: Corpus) -> dict[str, _Known]:
    known: dict[str, _Known] = {}
    for batch in corpus.arrow(_COLUMNS):
        columns = [batch.column(name).to_pylist() for name in _COLUMNS]
        for facts in zip(*columns, strict=True):
            before = known.get(facts[1], _Known(0, 0))
            known[facts[1]] = _Known(before.passages + 1, before.digest + _digest(facts))
    return known


def _facts(passage: Passage) -> tuple[Any, ...]:
    return tuple(getattr(passage, name) for name in _COLUMNS)


def _digest(facts: Iterable[Any]) -> int:
    """A number that is summed over a document's passages, since a store gives them in no order."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, facts)).encode(), digest_size=16).digest())


def _alone(out: str) -> AbstractContextManager[None]:
    """Of two runs over one folder the second is refused before it encodes what the first does."""
    return locked(Path(out)) if (Path(out) / "index.json").is_file() else nullcontext()


def _check_apart(source: str, out: str) -> None:
    if "://" in out:
        return
    read, written = Path(source).resolve(), Path(out).resolve()
    if Path(source).exists() and (written.is_relative_to(read) or read.is_relative_to(written)):
        raise GenusError(f"the index {out} and its source {source} lie in each other; name an --out elsewhere")


def _from_first_document(source: str, found: Reading, drops: Drops) -> Iterator[tuple[float, list[Passage] | Dropped]]:
    """The same as passages, from the first document on, so that nothing is made of a source that has none."""
    pieces = ((done, cut(item)) for done, item in found)
    for done, mine in pieces:
        if not isinstance(mine, Dropped):
            return chain([(done, mine)], pieces)
        drops.add(mine)
    drops.tell()
    raise GenusError(f"{source} holds no text that can be used; give it .txt, .md, .html, .jsonl or .parquet files in UTF-8")

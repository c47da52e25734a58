"""What an index of many passages would take, from a sample of them: disk, memory, hours of encoding, cost of a query.

Everything is measured on the sample here and now, or is arithmetic that is written below. Not for the training of models.
"""

import contextlib
import itertools
import math
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genus.core.errors import GenusError
from genus.data.sources import Dropped
from genus.retrieve.chunk import cut
from genus.retrieve.documents import reading
from genus.retrieve.encoder import Encoder
from genus.retrieve.encoding import encoder_of, open_encoder, read_by_encoder
from genus.retrieve.lance import PROBES, SCANNED, LanceCorpus
from genus.retrieve.passage import Passage
from genus.retrieve.search import Search
from genus.retrieve.timing import drawn

__all__ = ["Needs", "Sample", "needs", "sampled"]

_READ = 20_000  # passages read of a folder, and copied to see how searching grows
_TIMES = 5  # that they are repeated for it
_ENCODED = 256  # passages encoded to measure the rate
_QUERIES = 50
_SMALL = 10_000  # passages; rates of fewer are told to be rough
_OF_A_DOCUMENT = 400  # bytes that `genus index` holds of each while it runs: by tracemalloc, ids of 30 characters


class Sample(NamedTuple):
    """What was measured of `passages` passages, as means in bytes and seconds; disk is without a quantised index."""

    passages: int
    documents: int
    width: int
    text: float
    disk: float
    words_disk: float
    rate: float  # passages encoded in a second
    words: float  # of a query
    growth: float  # of that with each passage
    near: float  # of a query by its vector, of a quantised index of as many passages, or of 20,000
    near_growth: float  # of that with each vector more that is compared
    compare: float  # of one vector with another, in memory
    encode: float  # of a query, which is encoded first
    scanned: float  # bytes in memory of a small index


class Needs(NamedTuple):
    """Of an index: bytes, hours of this machine, seconds of a query of each kind; costs where there is a price."""

    passages: float
    documents: float
    text: float
    disk: float
    making: float
    memory: float
    indexing: float
    hours: float
    words: float  # at most: the time grows less than the passages
    meaning: float
    cost: float | None
    cost_query: float | None
    warnings: tuple[str, ...]


def sampled(place: str, encoder: str = "minilm") -> Sample:
    """Measure an index in a folder, or make one of a folder's first 20,000 passages in a temporary folder and measure that.

    Raises GenusError where there is neither.
    """
    if (Path(place) / "index.json").is_file():
        corpus = LanceCorpus(Path(place))
        return _measured(corpus, encoder_of(corpus))
    opened = open_encoder(encoder)
    with tempfile.TemporaryDirectory(prefix="genus-plan-") as folder:
        corpus = LanceCorpus(Path(folder) / "index", {"name": opened.name, "sha256": opened.sha256, "width": opened.width})
        found = list(itertools.islice(_passages_of(place), _READ))
        if not found:
            raise GenusError(f"{place} holds no text that can be used; name a folder of documents, or an index")
        corpus.add(found, _stand_ins(len(found), opened.width))
        corpus.compact()
        return _measured(corpus, opened)


def needs(sample: Sample, count: float, machines: int = 1, price: float | None = None) -> Needs:
    """What `count` passages like the sample's take; `price` is that of a machine as this one for an hour."""
    large = count > SCANNED
    codes = _codes(count, sample.width)
    disk = count * (sample.disk + codes)
    words = sample.words + sample.growth * max(0.0, count - sample.passages)
    asked = min(sample.passages, _READ)
    near = sample.near + sample.near_growth * max(0.0, _compared(count) - _compared(asked))
    meaning = sample.encode + (near if large else sample.compare * count)
    hours = count / sample.rate / 3600
    warnings = []
    if sample.passages < _SMALL:
        warnings.append(f"the sample has {sample.passages:,} passages; of {_SMALL:,} or more, times and bytes are surer")
    return Needs(
        passages=count,
        documents=count * sample.documents / sample.passages,
        text=count * sample.text,
        disk=disk,
        making=2 * disk,  # compaction writes a second table before it drops the first
        memory=count * (sample.words_disk + codes if large else sample.scanned),
        indexing=_OF_A_DOCUMENT * count * sample.documents / sample.passages,
        hours=hours / machines,
        words=words,
        meaning=meaning,
        cost=None if price is None else hours * price,
        cost_query=None if price is None else (words + meaning) / 3600 * price,
        warnings=tuple(warnings),
    )


def _passages_of(place: str) -> Iterator[Passage]:
    """Of the documents that `genus index` takes."""
    seen: set[str] = set()
    for _, item in reading(place)[1]:
        mine = cut(item)
        if not isinstance(mine, Dropped) and mine[0].document not in seen:
            seen.add(mine[0].document)
            yield from mine


@contextlib.contextmanager
def _made(found: Sequence[Passage], width: int, scanned: int | None = None) -> Iterator[LanceCorpus]:
    """An index of passages for a while. Its vectors take the room of real ones: no more than that is measured of them."""
    with tempfile.TemporaryDirectory(prefix="genus-plan-") as folder:
        corpus = LanceCorpus(Path(folder) / "index", {"name": "stand-in", "sha256": "", "width": width}, scanned)
        corpus.add(found, _stand_ins(len(found), width))
        corpus.compact()
        yield corpus


def _stand_ins(count: int, width: int) -> np.ndarray:
    found = np.random.default_rng(0).standard_normal((count, width), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _measured(corpus: LanceCorpus, encoder: Encoder) -> Sample:
    search = Search(corpus, encoder)
    questions = drawn(search, _QUERIES)
    first = list(itertools.islice((name for batch in corpus.arrow(("id",)) for name in batch.column(0).to_pylist()), _READ))
    words = _asking(corpus, questions)
    growth, near, near_growth = _growth(corpus.get(first), encoder.width, questions)
    encode = _median(lambda question: encoder.encode([question]), questions)
    documents: set[str] = set()
    text = count = 0
    for batch in corpus.arrow(("document", "text")):
        documents.update(batch.column(0).to_pylist())
        text += sum(len(each.encode()) for each in batch.column(1).to_pylist())
        count += len(batch)
    files = [path for path in corpus.folder.rglob("*") if path.is_file()]
    of_words = sum(path.stat().st_size for path in files if "_indices" in path.parts)
    codes = _codes(count, encoder.width)
    return Sample(
        passages=count,
        documents=len(documents),
        width=encoder.width,
        text=text / count,
        disk=sum(path.stat().st_size for path in files) / count - codes,
        words_disk=of_words / count - codes,
        rate=_rate(corpus.get(first[:_ENCODED]), encoder),
        words=words,
        growth=growth,
        near=near,
        near_growth=near_growth,
        compare=_comparing(encoder.width),
        encode=encode,
        scanned=_scanned(corpus.get(first), encoder.width),
    )


def _codes(count: float, width: int) -> float:
    """Bytes of a vector in IVF_SQ, which indexes of many have: one for each number, and the row."""
    return width + 8 if count > SCANNED else 0.0


def _asking(corpus: LanceCorpus, questions: list[str]) -> float:
    """As an index of many asks, which is not in memory."""
    large = LanceCorpus(corpus.folder, scanned=0)
    return _median(lambda question: large.words(question, 10), questions)


def _growth(found: Sequence[Passage], width: int, questions: list[str]) -> tuple[float, float, float]:
    """Seconds that a query by words takes more for each passage more, those by a vector, and how many more for each vector
    that is compared: of the same passages once, and repeated, in quantised indexes."""
    again = [replace(each, id=f"{each.id}/{copy}") for copy in range(_TIMES) for each in found]
    with _made(found, width, scanned=0) as once, _made(again, width, scanned=0) as repeated:
        words = max(0.0, _asking(repeated, questions) - _asking(once, questions)) / (len(again) - len(found))
        near = _near(once)
        compared = _compared(len(again)) - _compared(len(found))
        return words, near, max(0.0, _near(repeated) - near) / compared


def _compared(count: float) -> float:
    """Vectors that a query is compared with, of a quantised index."""
    return min(count, PROBES * math.sqrt(count))


def _near(corpus: LanceCorpus) -> float:
    asked = iter(_stand_ins(_QUERIES + 1, int(corpus.encoder["width"])))
    return _median(lambda _: corpus.near(next(asked), 10), [""] * _QUERIES)


def _scanned(found: Sequence[Passage], width: int) -> float:
    """Bytes of a passage in memory, of an index that is searched there."""
    with _made(found, width, scanned=len(found)) as corpus:
        tracemalloc.start()
        try:
            corpus.words("a", 1)
            return tracemalloc.get_traced_memory()[0] / len(found)
        finally:
            tracemalloc.stop()


def _rate(found: Sequence[Passage], encoder: Encoder) -> float:
    texts = list(map(read_by_encoder, found))
    encoder.encode(texts[:8])
    began = time.perf_counter()
    encoder.encode(texts)
    return len(texts) / (time.perf_counter() - began)


def _comparing(width: int) -> float:
    vectors = _stand_ins(20_000, width)
    return _median(lambda _: vectors @ vectors[0], [""] * 9) / len(vectors)


def _median(ask: Callable[[str], object], questions: list[str]) -> float:
    """Seconds; the first call is not counted."""
    ask(questions[0])
    taken = []
    for question in questions:
        began = time.perf_counter()
        ask(question)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)

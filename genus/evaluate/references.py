"""Two references for bits per byte on held-out text: a byte n-gram model and xz, given the same text as the model.

A number of bits per byte says little alone. A GPT that does not beat four bytes of context, or a compressor that every
computer has, has learnt nothing worth keeping. Not here: the model's own measure, and tokens; both references read bytes.
"""

import lzma
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError

__all__ = ["ByteNgram", "References", "byte_ngram_bits", "fit_byte_ngram", "references", "xz_bits"]

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]

_BOUNDARY = b"\0"  # corpora drop documents with a NUL as binary, so that it is free to stand for "no document here"
_BATCH = 1 << 24  # bytes counted at once: 8 bytes of key and a sort for each, so about 400 MB at the peak
_BYTE = np.uint64(8)


class References(TypedDict):
    """What `references` measured; plain JSON. `note` is empty, or says that the training text was cut."""

    ngram_order: int
    ngram_bpb: float
    xz_bpb: float
    ngram_bits: float
    xz_bits: int
    held_out_bytes: int
    train_bytes: int
    note: str


@dataclass(frozen=True)
class _Order:
    """One order of the model: what a seen n-gram gets, and what its context leaves to the order below."""

    grams: Keys  # sorted; the oldest byte is the highest
    share: Floats  # (count - discount) / total of the context
    contexts: Keys  # sorted; a gram without its last byte
    rest: Floats  # the discounted mass of the context, as a probability

    def refine(self, keys: Keys, below: Floats) -> Floats:
        """P(byte | context) for each n-gram of `keys`, from the same one byte of context shorter."""
        contexts = keys >> _BYTE
        return _look_up(self.grams, self.share, keys, 0.0) + _look_up(self.contexts, self.rest, contexts, 1.0) * below


@dataclass(frozen=True)
class ByteNgram:
    """A byte n-gram model; `orders[i]` has i bytes of context. Made by `fit_byte_ngram`."""

    orders: tuple[_Order, ...]

    def probabilities(self, keys: Keys) -> Floats:
        """P(last byte | the bytes before it) for n-grams as integers, the oldest byte highest. Sums to 1 over last bytes."""
        below = np.full(keys.shape, 1 / 256)
        for i, order in enumerate(self.orders):
            below = order.refine(_suffix(keys, i + 1), below)
        return below

    def bits(self, documents: Iterable[bytes]) -> float:
        """The code length of all bytes of all documents, in bits; the ends of documents are not coded."""
        keys, counts = _count(documents, len(self.orders))
        return float(-(counts @ np.log2(self.probabilities(keys))))


def fit_byte_ngram(documents: Iterable[bytes], order: int = 5) -> ByteNgram:
    """Interpolated modified Kneser-Ney over bytes (Chen & Goodman 1998, section 3), `order` - 1 bytes of context.

    The highest order counts occurrences, a lower one the different bytes seen before its n-gram; below order 1 stands the
    uniform 1/256. A document is preceded by `order` - 1 NUL bytes, so no context reaches into another document; its end is
    not predicted. Raises GenusError for an order outside 1 to 8 and for a training text without a byte.
    """
    if not 1 <= order <= 8:
        raise GenusError(f"order {order} of the byte n-gram is out of range; choose 1 to 8")
    keys, counts = _count(documents, order)
    if not keys.size:
        raise GenusError("the training text for the byte n-gram is empty; give at least one document with text")
    orders = [_smooth(keys, counts)]
    for length in range(order - 1, 0, -1):
        keys, counts = np.unique(_suffix(keys, length), return_counts=True)
        orders.append(_smooth(keys, counts))
    return ByteNgram(tuple(reversed(orders)))


def byte_ngram_bits(train: Iterable[bytes], held_out: Iterable[bytes], order: int = 5) -> float:
    """The bits that a byte n-gram model fitted on `train` needs for all documents of `held_out`. See `fit_byte_ngram`."""
    return fit_byte_ngram(train, order).bits(held_out)


def xz_bits(train: Iterable[bytes], held_out: Iterable[bytes]) -> int:
    """What the held-out text adds to the training text under `xz -9`, in bits; a NUL byte ends each document.

    xz looks back 64 MiB: it uses a whole training text up to that size, and the end of a longer one. Unlike the n-gram it
    also learns from the held-out text as it goes. Its format rounds to 32 bits.
    """
    train_stream = b"".join(document + _BOUNDARY for document in train)
    held_out_stream = b"".join(document + _BOUNDARY for document in held_out)
    texts = (train_stream + held_out_stream, train_stream)
    with ThreadPoolExecutor(2) as pool:  # compression leaves the interpreter to others
        both, alone = pool.map(lambda text: len(lzma.compress(text, preset=9)), texts)
    return 8 * (both - alone)


def references(
    train: Iterable[str], held_out: Iterable[str], order: int = 5, max_train_bytes: int = 200_000_000
) -> References:
    """Both references on the same documents, in bits per UTF-8 byte of held-out text.

    Only the first `max_train_bytes` of `train` are read, which bounds time and memory; `note` says when that cut something.
    Raises GenusError when either text is empty.
    """
    fit, cut = _first_bytes(train, max_train_bytes)
    test = [document.encode() for document in held_out]
    held_out_bytes, train_bytes = sum(map(len, test)), sum(map(len, fit))
    if not held_out_bytes:
        raise GenusError("the held-out text is empty; hold out at least one document with text")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(xz_bits, fit, test)
        ngram, xz = byte_ngram_bits(fit, test, order), waiting.result()
    return References(
        ngram_order=order,
        ngram_bpb=ngram / held_out_bytes,
        xz_bpb=xz / held_out_bytes,
        ngram_bits=ngram,
        xz_bits=xz,
        held_out_bytes=held_out_bytes,
        train_bytes=train_bytes,
        note=f"only the first {train_bytes} bytes of the training text" if cut else "",
    )


def _first_bytes(documents: Iterable[str], limit: int) -> tuple[list[bytes], bool]:
    """The first `limit` bytes, by document, and whether there were more."""
    found: list[bytes] = []
    for document in documents:
        content = document.encode()
        found.append(content[:limit])
        if len(content) > limit:
            return found, True
        limit -= len(content)
    return found, False


def _count(documents: Iterable[bytes], order: int) -> tuple[Keys, NDArray[np.int64]]:
    """The different n-grams of the documents, sorted, and how often each occurs."""
    keys, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    for batch in _batches(documents):
        new_keys, new_counts = np.unique(_ngrams(batch, order), return_counts=True)
        keys, place = np.unique(np.concatenate([keys, new_keys]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([counts, new_counts])).astype(np.int64)
    return keys, counts


def _batches(documents: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _ngrams(documents: list[bytes], order: int) -> Keys:
    """One n-gram for each byte of text: that byte in the lowest eight bits, the bytes before it above."""
    pad = order - 1
    stream = np.frombuffer(b"".join(_BOUNDARY * pad + document for document in documents), np.uint8)
    keys = np.zeros(max(stream.size - pad, 0), np.uint64)
    for age in range(pad, -1, -1):
        keys <<= _BYTE
        keys |= stream[pad - age : stream.size - age]
    lengths = [length for document in documents for length in (pad, len(document))]
    is_text = np.repeat(np.tile([False, True], len(documents)), lengths)
    return keys[is_text[pad:]]


def _smooth(grams: Keys, counts: NDArray[np.int64]) -> _Order:
    """Discount the counts of one order by context. `grams` are sorted, so the grams of a context are neighbours."""
    discount = _discounts(counts)[np.minimum(counts, 3) - 1]
    all_contexts = grams >> _BYTE
    first = np.flatnonzero(np.diff(all_contexts, prepend=~all_contexts[:1]))  # ~: the first always starts a run
    total = np.add.reduceat(counts, first)
    size = np.diff(first, append=grams.size)
    rest = np.add.reduceat(discount, first) / total
    return _Order(grams, (counts - discount) / np.repeat(total, size), all_contexts[first], rest)


def _discounts(counts: NDArray[np.int64]) -> Floats:
    """D1, D2 and D3+ from the counts of counts (Chen & Goodman 1998, equation 26).

    They exist only where n1, n2 and n3 are positive, and leave mass to the order below only when they are too. Elsewhere
    (a tiny corpus, or order 1, where every byte is common) 0.5, 1 and 1.5 stand in, as KenLM's --discount_fallback does.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(np.float64)
    if n[1:4].all():
        i = np.arange(1, 4)
        found: Floats = i - (i + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]
        if (found > 0).all():
            return found
    return np.array([0.5, 1.0, 1.5])


def _suffix(keys: Keys, length: int) -> Keys:
    return keys & np.uint64((1 << 8 * length) - 1)


def _look_up(sorted_keys: Keys, values: Floats, keys: Keys, missing: float) -> Floats:
    place = np.minimum(np.searchsorted(sorted_keys, keys), sorted_keys.size - 1)
    return np.where(sorted_keys[place] == keys, values[place], missing)

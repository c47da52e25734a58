"""A corpus in memory, with a real BM25 and exact vectors, and an encoder that hashes words: small, but not pretended."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from genus.retrieve.filters import Filter, admits
from genus.retrieve.passage import Hit, Passage, hashed

K1, B = 1.2, 0.75


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def passage(document: str, text: str, number: int = 0, **fields) -> Passage:
    """A passage that is the whole of a small document, unless `start` and `end` say otherwise."""
    fields = {"title": document, "start": 0, "end": len(text), **fields}
    return Passage(f"{document}:{number}", document, number, text=text, sha256=hashed(fields["title"], text), **fields)


class HashedWords:
    """Texts as counts of hashed words, of length 1: alike are those that share words."""

    name, width = "hashed-words", 256
    sha256 = hashlib.sha256(b"hashed-words 256").hexdigest()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.width), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in words_of(text):
                vector[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % self.width] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


class MemoryCorpus:
    """The `Corpus` protocol over a dictionary: every search reads everything."""

    def __init__(self, passages: Sequence[Passage] = (), encoder: HashedWords | None = None) -> None:
        made_by = encoder or HashedWords()
        self.encoder: Mapping[str, str | int] = {"name": made_by.name, "sha256": made_by.sha256, "width": made_by.width}
        self._kept: dict[str, tuple[Passage, np.ndarray, Counter[str]]] = {}
        if passages:
            self.add(passages, made_by.encode([each.text for each in passages]))

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, passages: Sequence[Passage], vectors: np.ndarray, whole: Sequence[str] = ()) -> None:
        self.delete(whole)
        for each, vector in zip(passages, vectors, strict=True):
            self._kept[each.id] = each, vector, Counter(words_of(f"{each.title} {each.text}"))

    def known(self, ids: Sequence[str]) -> dict[str, str]:
        return {name: self._kept[name][0].sha256 for name in ids if name in self._kept}

    def get(self, ids: Sequence[str]) -> list[Passage]:
        return [self._kept[name][0] for name in ids if name in self._kept]

    def delete(self, documents: Sequence[str]) -> int:
        gone = [name for name, (each, _, _) in self._kept.items() if each.document in set(documents)]
        for name in gone:
            del self._kept[name]
        return len(gone)

    def compact(self) -> None:
        """Nothing deleted is kept in a dictionary."""

    def words(self, query: str, count: int, where: Filter | None = None) -> list[Hit]:
        lengths = [sum(counts.values()) for _, _, counts in self._kept.values()]
        mean = sum(lengths) / max(len(lengths), 1)
        found: Counter[str] = Counter()
        for word in set(words_of(query)):
            holders = [(each.id, counts) for each, _, counts in self._kept.values() if word in counts]
            idf = math.log(1 + (len(self) - len(holders) + 0.5) / (len(holders) + 0.5))
            for name, counts in holders:
                norm = K1 * (1 - B + B * sum(counts.values()) / mean)
                found[name] += idf * counts[word] * (K1 + 1) / (counts[word] + norm)  # type: ignore[assignment]
        return self._best(found, count, where)

    def near(self, vector: np.ndarray, count: int, where: Filter | None = None, exact: bool = False) -> list[Hit]:
        return self._best({name: float(each @ vector) for name, (_, each, _) in self._kept.items()}, count, where)

    def arrow(self, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        rows = [
            {name: getattr(each, name) for name in Passage.__slots__} | {"vector": vector.tolist()}
            for each, vector, _ in self._kept.values()
        ]
        batch = pa.RecordBatch.from_pylist(rows)
        yield batch.select(columns) if columns else batch

    def _best(self, scores: Mapping[str, float], count: int, where: Filter | None) -> list[Hit]:
        hits = [Hit(self._kept[name][0], float(score)) for name, score in scores.items()]
        allowed = [hit for hit in hits if where is None or admits(where, hit.passage)]
        return sorted(allowed, key=lambda hit: (-hit.score, hit.passage.id))[:count]

"""The passages that an answer may use, and whether any of them speaks of the question at all."""

from collections.abc import Set
from dataclasses import dataclass

from genus.core.errors import GenusError
from genus.retrieve.answer.answer import in_one_line
from genus.retrieve.cite.sentences import sentences
from genus.retrieve.encoding import read_by_encoder
from genus.retrieve.fuse import fused
from genus.retrieve.passage import Hit, Passage
from genus.retrieve.search import Search
from genus.retrieve.verify.coverage import Coverage
from genus.retrieve.words import words

__all__ = ["Found", "Part", "asks", "check_question", "find", "says_more", "spans_of"]

_LONGEST = 2000  # characters of a question
_POOL = 20  # passages that are ranked again
_NEW = 2  # words


@dataclass(frozen=True, slots=True)
class Part:
    """A sentence of source number `source`, from 1: characters `start` to `end` of the passage, and how near it is."""

    source: int
    start: int
    end: int
    near: float


@dataclass(frozen=True)
class Found:
    """What was found for a question: passages, best first, and their sentences that say more than it, nearest first."""

    question: str
    sources: tuple[Passage, ...]
    parts: tuple[Part, ...]

    @property
    def near(self) -> float:
        """The cosine of the question and the nearest sentence."""
        return self.parts[0].near if self.parts else 0.0


def check_question(text: str) -> str:
    """The question, without control characters and needless space. Raises GenusError where none is left, or too much."""
    if len(text) > _LONGEST:
        raise GenusError(f"the question has {len(text):,} characters; ask it in at most {_LONGEST:,}")
    question = in_one_line(text)
    if not question:
        raise GenusError("the question is empty; ask something")
    return question


def find(question: str, search: Search, count: int) -> Found:
    """The best passages for a question: by words and meaning, and by how much of its words each covers, fused by rank.

    Their sentences are encoded with their titles, as passages are in the index. Raises GenusError as `check_question`.
    """
    question = check_question(question)
    hits = search.find(question, max(count, _POOL))
    texts = [read_by_encoder(hit.passage) for hit in hits]
    covering = [Hit(hit.passage, score) for hit, score in zip(hits, Coverage().scores(question, texts), strict=True)]
    covering.sort(key=lambda hit: (-hit.score, hit.passage.id))
    sources = tuple(hit.passage for hit in fused([hits, covering])[:count])
    return Found(question, sources, _parts(question, sources, search))


def says_more(text: str, known: Set[str]) -> bool:
    """Whether a sentence says anything beyond the words of a question, and is none: a passage may be full of both."""
    return not asks(text) and len(set(words(text)) - known) >= _NEW


def asks(sentence: str) -> bool:
    """Whether it is a question, which bears nothing out."""
    return sentence.rstrip("\"'”’)]")[-1:] in ("?", "？")


def _parts(question: str, sources: tuple[Passage, ...], search: Search) -> tuple[Part, ...]:
    known = set(words(question))
    spans = [
        (number, start, end)
        for number, passage in enumerate(sources, 1)
        for start, end in spans_of(passage.text)
        if says_more(passage.text[start:end], known)
    ]
    texts = [f"{sources[number - 1].title}\n{sources[number - 1].text[start:end]}" for number, start, end in spans]
    if not texts:
        return ()
    vectors = search.encoder.encode([question, *texts])
    near = (vectors[1:] @ vectors[0]).tolist()
    parts = (Part(*span, score) for span, score in zip(spans, near, strict=True))
    return tuple(sorted(parts, key=lambda part: (-part.near, part.source, part.start)))


def spans_of(text: str) -> list[tuple[int, int]]:
    """Sentences, of which none goes over an empty line: what stands before it is a heading, or an address."""
    found, start = [], 0
    for paragraph in text.split("\n\n"):
        found += [(start + first, start + last) for first, last in sentences(paragraph)]
        start += len(paragraph) + 2
    return found

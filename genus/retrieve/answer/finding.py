"""The passages that an answer may use, and whether any of them speaks of the question at all."""

from collections.abc import Set
from dataclasses import dataclass

from genus.core.errors import GenusError
from genus.retrieve.cite.sentences import sentences
from genus.retrieve.encoding import read_by_encoder
from genus.retrieve.fuse import fused
from genus.retrieve.passage import Hit, Passage, in_one_line
from genus.retrieve.search import Search
from genus.retrieve.verify.coverage import Coverage
from genus.retrieve.words import words

__all__ = ["NEAR", "Found", "Part", "check_question", "find", "says_more", "stated"]

_LONGEST = 2000  # characters of a question
NEAR = 0.42
"""Cosine from which a passage speaks of a question. On 25 questions that the presidents' messages answer and 25 that they do
not, the nearest passage was at 0.44 or more, and at 0.40 or less."""
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
    """What was found for a question: passages, best first, and their sentences that say more than it, nearest first.

    `near` is the cosine of the question and the nearest passage, read without the questions in it.
    """

    question: str
    sources: tuple[Passage, ...]
    parts: tuple[Part, ...]
    near: float

    @property
    def about(self) -> bool:
        """Whether any passage speaks of the question."""
        return self.near >= NEAR


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
    return _compared(question, sources, search)


def stated(passage: Passage) -> str:
    """Title and text, without the questions in it, which bear nothing out."""
    parts = (passage.text[start:end] for start, end in _spans(passage.text))
    return "\n".join([passage.title, *(part for part in parts if not _asks(part))])


def says_more(text: str, known: Set[str]) -> bool:
    """Whether a sentence says anything beyond the words of a question, and is none: a passage may be full of both."""
    return not _asks(text) and len(set(words(text)) - known) >= _NEW


def _asks(sentence: str) -> bool:
    """Whether it is a question."""
    return sentence.rstrip("\"'”’)]")[-1:] in ("?", "？")


def _compared(question: str, sources: tuple[Passage, ...], search: Search) -> Found:
    """Passages and their sentences beside the question, sentences with their titles."""
    known = set(words(question))
    spans = [
        (number, start, end)
        for number, passage in enumerate(sources, 1)
        for start, end in _spans(passage.text)
        if says_more(passage.text[start:end], known)
    ]
    parts = [f"{sources[number - 1].title}\n{sources[number - 1].text[start:end]}" for number, start, end in spans]
    vectors = search.encoder.encode([question, *map(stated, sources), *parts])
    near = (vectors[1:] @ vectors[0]).tolist()
    found = [Part(*span, score) for span, score in zip(spans, near[len(sources) :], strict=True)]
    found.sort(key=lambda part: (-part.near, part.source, part.start))
    return Found(question, sources, tuple(found), max(near[: len(sources)], default=0.0))


def _spans(text: str) -> list[tuple[int, int]]:
    """Sentences, of which none goes over an empty line: what stands before it is a heading, or an address."""
    found, start = [], 0
    for paragraph in text.split("\n\n"):
        found += [(start + first, start + last) for first, last in sentences(paragraph)]
        start += len(paragraph) + 2
    return found

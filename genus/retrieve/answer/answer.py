"""What an answer is: sentences, each with the passage that bears it out, or the word that none does. Not for its making."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from genus.retrieve.passage import Passage

__all__ = ["NOT_FOUND", "Answer", "Mode", "Sentence", "Status", "told", "told_sentence", "told_source"]

Mode = Literal["extractive", "generative"]
Status = Literal["quoted", "supported", "partial", "unsupported"]
NOT_FOUND = "I did not find this in the corpus."


class Sentence(NamedTuple):
    """One sentence. `source` is its passage's number among the answer's, from 1; 0 of one that is unsupported.

    Characters `start` to `end` of the document are what the sentence quotes, or what in the passage bears it out best.
    `score` is the judge's, 0 to 1; of a quotation, how near it is to the question.
    """

    text: str
    status: Status
    score: float
    source: int = 0
    start: int = 0
    end: int = 0

    @property
    def marked(self) -> str:
        """With the number of its passage, as it stands in the answer."""
        return f"{self.text} [{self.source or 'unsupported'}]"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Sentences in order, and the passages that were looked at: number n is sources[n - 1]."""

    question: str
    mode: Mode
    sources: tuple[Passage, ...]
    sentences: tuple[Sentence, ...]

    @property
    def abstained(self) -> bool:
        """Whether nothing is said, as no passage is near enough to the question, or none bears anything out."""
        return not any(sentence.source for sentence in self.sentences)

    @property
    def text(self) -> str:
        """The answer as a text with [n]."""
        return NOT_FOUND if self.abstained else " ".join(sentence.marked for sentence in self.sentences)

    def placed(self) -> Iterator[tuple[int, Sentence]]:
        """Sentences, and at which character of `text` each starts."""
        start = 0
        for sentence in () if self.abstained else self.sentences:
            yield start, sentence
            start += len(sentence.marked) + 1


def told(answer: Answer) -> dict[str, Any]:
    """An answer as JSON."""
    cited = {sentence.source for _, sentence in answer.placed()}
    return {
        "question": answer.question,
        "mode": answer.mode,
        "abstained": answer.abstained,
        "text": answer.text,
        "sentences": [told_sentence(sentence, answer.sources) for _, sentence in answer.placed()],
        "sources": [
            told_source(passage, number) | {"cited": number in cited} for number, passage in enumerate(answer.sources, 1)
        ],
    }


def told_sentence(sentence: Sentence, sources: tuple[Passage, ...]) -> dict[str, Any]:
    """A sentence as JSON: with its passage, or without one where it is unsupported."""
    said = {"text": sentence.text, "status": sentence.status, "score": round(sentence.score, 4)}
    if not sentence.source:
        return said | {"passage": None}
    passage = {"number": sentence.source, **_named(sources[sentence.source - 1])}
    return said | {"passage": passage, "quote": {"start": sentence.start, "end": sentence.end}}


def told_source(passage: Passage, number: int) -> dict[str, Any]:
    """A passage that was looked at, with its text."""
    return {"number": number, **_named(passage), "text": passage.text}


def _named(passage: Passage) -> dict[str, Any]:
    names = ("id", "document", "title", "url", "date", "start", "end", "sha256")
    return {name: getattr(passage, name) for name in names}

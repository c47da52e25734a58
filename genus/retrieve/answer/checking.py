"""Whether what a model wrote is borne out, by the passage it was written from or by another one."""

import re
from collections.abc import Sequence

from genus.core.errors import GenusError
from genus.retrieve.answer.answer import Answer, Sentence, Status
from genus.retrieve.answer.finding import Found, says_more, stated
from genus.retrieve.encoder import Encoder
from genus.retrieve.verifier import Verifier
from genus.retrieve.verify.coverage import Coverage
from genus.retrieve.words import words

__all__ = ["Checker"]

_MOST = 3  # sentences that have a passage
_ABOUT = 0.35  # cosine of question and sentence from which the sentence is about the question
_ALIKE = 0.7  # share of a sentence's words from which one before it said the same
_BEGINNING = 5  # letters, so that Russians come from Russia
_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+")


class Checker:
    """Takes sentences as they are written, and gives those that belong into the answer."""

    def __init__(self, found: Found, verifier: Verifier, encoder: Encoder) -> None:
        self.found, self.verifier, self.encoder = found, verifier, encoder
        self.sentences: list[Sentence] = []
        self._known = set(words(found.question))
        self._question = encoder.encode([found.question])[0]
        self._texts = [stated(passage) for passage in found.sources]

    @property
    def full(self) -> bool:
        """Whether the answer is as long as it gets; what is unsupported takes no place in it."""
        return sum(sentence.source > 0 for sentence in self.sentences) >= _MOST

    @property
    def answer(self) -> Answer:
        """What there is so far."""
        found = self.found
        return Answer(question=found.question, mode="generative", sources=found.sources, sentences=tuple(self.sentences))

    def add(self, text: str, source: int) -> Sentence | None:
        """A sentence written from passage `source`, from 1, judged; None if it says nothing new about the question.

        Its own passage is tried first, then the others. Raises GenusError for a passage that there is not.
        """
        if not 1 <= source <= len(self._texts):
            raise GenusError(f"passage [{source}] does not exist; there are 1 to {len(self._texts)}")
        if self.full or not says_more(text, self._known) or self._is_known(text) or self._about(text) < _ABOUT:
            return None
        sentence = self._judged(text, source)
        self.sentences.append(sentence)
        return sentence

    def _judged(self, text: str, source: int) -> Sentence:
        verdict = self.verifier.thresholds.verdict
        score = self._scores(text, [source])[0]
        if verdict(score) != "supported":
            everywhere = range(1, len(self._texts) + 1)
            scores = self._scores(text, everywhere)
            best = max(everywhere, key=lambda number: (scores[number - 1], -number))
            if verdict(scores[best - 1]) != verdict(score):
                source, score = best, scores[best - 1]
        if verdict(score) == "not supported":
            return Sentence(text, "unsupported", score)
        status: Status = "supported" if verdict(score) == "supported" else "partial"
        return Sentence(text, status, score, source, *self._bearing(text, source))

    def _scores(self, text: str, sources: Sequence[int]) -> list[float]:
        """The judge's, but 0 where a passage lacks a figure or a name of the sentence: what small models make up most."""
        texts = [self._texts[source - 1] for source in sources]
        scores, particulars = self.verifier.scores(text, texts), _particulars(text)
        if isinstance(self.verifier, Coverage):  # the question's words are in any passage that was found
            added = " ".join(word for word in words(text) if word not in self._known)
            scores = list(map(min, scores, self.verifier.scores(added, texts)))
        held = [{_begun(word) for word in _WORD.findall(each)} for each in texts]
        return [score if particulars <= there else 0.0 for score, there in zip(scores, held, strict=True)]

    def _bearing(self, text: str, source: int) -> tuple[int, int]:
        """Characters of the document that bear the sentence out best: one sentence of the passage."""
        passage = self.found.sources[source - 1]
        parts = sorted(part for part in ((each.start, each.end) for each in self.found.parts if each.source == source))
        if not parts:
            return passage.start, passage.end
        scores = self.verifier.scores(text, [passage.text[start:end] for start, end in parts])
        start, end = parts[max(range(len(parts)), key=lambda place: (scores[place], -place))]
        return passage.start + start, passage.start + end

    def _about(self, text: str) -> float:
        return float(self.encoder.encode([text])[0] @ self._question)

    def _is_known(self, text: str) -> bool:
        own = set(words(text))
        return any(len(own & set(words(each.text))) >= _ALIKE * len(own) for each in self.sentences)


def _particulars(text: str) -> set[str]:
    """Figures, and words in capitals but the first."""
    found = enumerate(_WORD.findall(text))
    return {_begun(word) for place, word in found if word[0].isdigit() or (place and word[0].isupper())}


def _begun(word: str) -> str:
    return word if word[0].isdigit() else word[:_BEGINNING].casefold()

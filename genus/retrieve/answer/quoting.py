"""An answer made of sentences of the corpus, to the letter."""

import re

from genus.retrieve.answer.answer import Answer, Sentence
from genus.retrieve.answer.finding import Found, Part

__all__ = ["NEAR", "quoted"]

NEAR = 0.4  # cosine of question and sentence from which a passage is about the question
_MOST = 3  # sentences
_WORDS = 5  # a heading or a greeting has fewer
_ENDS = re.compile(r"[.!?…。！？][\"'”’)\]]*$")


def quoted(found: Found) -> Answer:
    """The sentences nearest to the question, nearest first, none twice. None is near enough: none is said."""
    chosen: dict[str, Sentence] = {}
    for part in sorted(found.parts, key=lambda part: not _is_whole(_text(found, part))):  # stable: nearest first in each
        text = _text(found, part)
        if part.near >= NEAR and len(chosen) < _MOST and len(text.split()) >= _WORDS:
            start = found.sources[part.source - 1].start
            said = Sentence(text, "quoted", part.near, part.source, start + part.start, start + part.end)
            chosen.setdefault(" ".join(text.split()), said)
    sentences = tuple(sorted(chosen.values(), key=lambda sentence: -sentence.score))
    return Answer(question=found.question, mode="extractive", sources=found.sources, sentences=sentences)


def _text(found: Found, part: Part) -> str:
    return found.sources[part.source - 1].text[part.start : part.end]


def _is_whole(text: str) -> bool:
    """Whether a sentence is there from its first word to its last, as far as can be seen: passages are cut anywhere."""
    return not text[:1].islower() and _ENDS.search(text) is not None

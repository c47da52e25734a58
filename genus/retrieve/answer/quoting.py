"""An answer made of sentences of the corpus, to the letter."""

import re

from genus.retrieve.answer.answer import Answer, Sentence
from genus.retrieve.answer.finding import Found, Part
from genus.retrieve.words import words

__all__ = ["quoted"]

_NEAR = 0.4  # cosine of question and sentence, with its title, from which it is quoted
_BELOW = 0.1  # less than the nearest: then it is about something else that the title has in common
_MOST = 3  # sentences
_WORDS = 5  # a heading or a greeting has fewer
_ENDS = re.compile(r"[.!?…。！？][\"'”’)\]]*$")


def quoted(found: Found) -> Answer:
    """The sentences nearest to the question, nearest first, none twice; cut ones only where no whole one is near enough."""
    near = [part for part in found.parts if part.near >= _NEAR and len(words(_text(found, part))) >= _WORDS]
    near = [part for part in near if _is_whole(_text(found, part))] or near
    chosen: dict[str, Sentence] = {}
    for part in near if found.about else ():
        if len(chosen) < _MOST and part.near >= near[0].near - _BELOW:
            text, start = _text(found, part), found.sources[part.source - 1].start
            said = Sentence(text, "quoted", part.near, part.source, start + part.start, start + part.end)
            chosen.setdefault(" ".join(text.split()), said)
    return Answer(question=found.question, mode="extractive", sources=found.sources, sentences=tuple(chosen.values()))


def _text(found: Found, part: Part) -> str:
    return found.sources[part.source - 1].text[part.start : part.end]


def _is_whole(text: str) -> bool:
    """Whether a sentence is there from its first word to its last, as far as can be seen: passages are cut anywhere."""
    return not text[:1].islower() and _ENDS.search(text) is not None

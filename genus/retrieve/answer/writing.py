"""What a model is asked for each passage, and which sentence it wrote. Not for whether that sentence is true.

Each sentence is written from one passage alone: what a passage says, instructions to a model among it, can change only the
sentence that cites it. It also suits small models, which mix up what several passages say.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genus.core.errors import GenusError
from genus.engine.grammar import Grammar
from genus.engine.request import Request
from genus.engine.sampling import Sampling
from genus.retrieve.cite.sentences import sentences
from genus.retrieve.passage import Passage, in_one_line

if TYPE_CHECKING:
    from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["requests", "written"]

_TOKENS = 80  # of a sentence
_SENTENCE = Grammar("regex", r"[^\[\]\n]{1,320}[.!?]")  # numbers in brackets are ours to set
# A word about texts that do not say lets a model of 135M find that none does.
_TASK = "{text}\n\nAnswer in one sentence, from the text above only: {question}"
_CONTINUED = "{text}\n\nQuestion: {question}\nAnswer:"  # of a model that goes on with texts
_MARKS = re.compile(r"\s*\[[^\]]*\]?")
_TELLS = re.compile(
    r"(?:according to )?(?:the|this) (?:text|passage)(?: above)?(?:,| (?:says|states|mentions)(?: that)?) ", re.I
)
_OF_TEXT = re.compile(r"(?:the|this) (?:text|passage)\b(?! of\b)", re.I)  # the passage of a law is none of ours


def requests(question: str, sources: Sequence[Passage], tokenizer: "Tokenizer", context: int) -> list[Request]:
    """One request for each passage, cut where it does not fit. Raises GenusError for a question that leaves no room.

    Titles, texts and the question are encoded as text: no sign in them is a special token.
    """
    return [_request(question, each, tokenizer, context) for each in sources]


def written(text: str) -> str:
    """The sentence of a model's text; "" where it wrote none, or one about the text itself, such as that it does not say.

    Numbers in brackets are taken out, and "The text says that" before a sentence.
    """
    text = in_one_line(_MARKS.sub("", text.replace("\ufffd", "")))
    start, end = next(sentences(text), (0, 0))
    told = _TELLS.match(text[start:end])
    said = text[start + (told.end() if told else 0) : end]
    said = said[:1].upper() + said[1:]
    return "" if _OF_TEXT.match(said) or said[-1:] not in ".!?…。！？" else said


def _request(question: str, passage: Passage, tokenizer: "Tokenizer", context: int) -> Request:
    words = passage.text.split()
    while True:
        text = " ".join(words)
        said = {"text": f"{passage.title}: {text}" if passage.title else text, "question": question}
        if tokenizer.chat_template:
            ids = tokenizer.encode_chat([{"role": "user", "content": _TASK.format_map(said)}])
        else:
            ids = [*tokenizer.start, *tokenizer.encode(_CONTINUED.format_map(said))]
        if len(ids) + _TOKENS <= context:
            break
        if not words:
            raise GenusError(f"the question leaves no room in the model's context of {context} tokens; ask a shorter one")
        words = words[: int(0.8 * len(words))]
    sampling = Sampling(temperature=0, grammar=_SENTENCE)
    return Request(prompt=tuple(ids), max_tokens=_TOKENS, sampling=sampling, ends=tokenizer.turn_ends)

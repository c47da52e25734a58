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
from genus.retrieve.answer.answer import in_one_line
from genus.retrieve.cite.sentences import sentences
from genus.retrieve.passage import Passage

if TYPE_CHECKING:
    from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["requests", "written"]

_TOKENS = 80  # of a sentence
_SENTENCE = Grammar("regex", r"[^\[\]\n]{1,320}[.!?]")  # numbers in brackets are ours to set
_NONE = "No answer."
_TASK = (
    "{title}\n{text}\n\nAnswer the question in one sentence, by what the text above says alone. If it does not say, write: "
    f"{_NONE}\nQuestion: {{question}}"
)
_CONTINUED = "{title}\n{text}\n\nQuestion: {question}\nAnswer:"  # of a model that goes on with texts
_MARKS = re.compile(r"\s*\[[^\]]*\]?")


def requests(question: str, sources: Sequence[Passage], tokenizer: "Tokenizer", context: int) -> list[Request]:
    """One request for each passage, cut where it does not fit. Raises GenusError for a question that leaves no room.

    Titles, texts and the question are encoded as text: no sign in them is a special token.
    """
    return [_request(question, each, tokenizer, context) for each in sources]


def written(text: str) -> str:
    """The sentence of a model's text; "" where it wrote none, or that there is none. Numbers in brackets are taken out."""
    text = in_one_line(_MARKS.sub("", text.replace("\ufffd", "")))
    start, end = next(sentences(text), (0, 0))
    said = text[start:end]
    return "" if said.casefold().startswith(_NONE[:-1].casefold()) or said[-1:] not in ".!?…。！？" else said


def _request(question: str, passage: Passage, tokenizer: "Tokenizer", context: int) -> Request:
    words = passage.text.split()
    while True:
        said = {"title": passage.title, "text": " ".join(words), "question": question}
        if tokenizer.chat_template:
            ids = tokenizer.encode_chat([{"role": "user", "content": _TASK.format_map(said).strip()}])
        else:
            ids = [*tokenizer.start, *tokenizer.encode(_CONTINUED.format_map(said).strip())]
        if len(ids) + _TOKENS <= context:
            break
        if not words:
            raise GenusError(f"the question leaves no room in the model's context of {context} tokens; ask a shorter one")
        words = words[: int(0.8 * len(words))]
    sampling = Sampling(temperature=0, grammar=_SENTENCE)
    return Request(prompt=tuple(ids), max_tokens=_TOKENS, sampling=sampling, ends=tokenizer.turn_ends)

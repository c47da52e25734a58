"""Instructions with answers, made of a corpus's own documents and what is known of them: who spoke, when, and of what.

For a first model that answers, where nobody has written instructions yet. The answers are the documents' own sentences.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genus.core.errors import GenusError
from genus.core.files import new_folder
from genus.core.progress import say
from genus.data.corpus import documents
from genus.data.loader import permute
from genus.data.outputs import check_output
from genus.data.sources import Document

__all__ = ["Instruct", "make_instructions", "topic_of"]

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"(?<![A-Za-z'])[a-z]{5,}(?![A-Za-z'])")
_FEWEST, _MOST = 8, 26  # words of an answer
_KNOWN = 20  # times that a topic must occur, so that a model can have learned it
_WHO = ("president", "author", "speaker", "title")  # fields of a document's metadata that say whose words they are


@dataclass(frozen=True, kw_only=True)
class Instruct:
    """Make instructions, with answers, of a corpus."""

    corpus: Path
    """The corpus folder to read."""
    out: Path
    """The folder to make: train.jsonl and held_out.jsonl, conversations of one question and its answer."""
    count: int = 4000
    """Instructions to make for training, at most."""
    held_out: int = 400
    """Instructions to make of held-out documents, at most."""
    seed: int = 0
    """Draws which sentences are taken."""

    def __post_init__(self) -> None:
        if min(self.count, self.held_out) < 1:
            raise GenusError("count and held_out must be at least 1; correct the recipe")


def make_instructions(config: Instruct) -> Path:
    """Make the folder. Raises GenusError where no sentence of the corpus will do."""
    check_output(config.out, ("train.jsonl", "held_out.jsonl"))
    counts = Counter(word for document in documents(config.corpus, "train") for word in _WORD.findall(document.text))
    with new_folder(config.out) as folder:
        for split, name, most in (("train", "train", config.count), ("validation", "held_out", config.held_out)):
            lines = [line for document in documents(config.corpus, split) for line in _instructions(document, counts)]
            if not lines:
                raise GenusError(f"{config.corpus}: no sentence of the {split} documents has {_FEWEST} to {_MOST} words")
            taken = sorted(permute(place, len(lines), config.seed) for place in range(min(most, len(lines))))
            (folder / f"{name}.jsonl").write_text("".join(lines[place] for place in taken), "utf-8")
            say(f"{name}: {len(taken):,} instructions of {len(lines):,} sentences that would do")
    return config.out


def topic_of(prompt: str) -> str:
    """What an instruction made here asks to speak of; nothing for another text."""
    return prompt.rpartition(": ")[2] if prompt.startswith("Speak") else ""


def _instructions(document: Document, counts: Counter[str]) -> Iterator[str]:
    for paragraph in document.text.split("\n"):
        for sentence in _SENTENCE.split(paragraph.strip()):
            known = [word for word in _WORD.findall(sentence) if counts[word] >= _KNOWN]
            if known and _FEWEST <= len(sentence.split()) <= _MOST and sentence[0].isupper() and sentence[-1] in ".!?":
                asked = f"Speak{_manner(document)} of: {min(known, key=lambda word: (counts[word], word))}"
                turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": sentence}]
                yield json.dumps({"messages": turns}, ensure_ascii=False) + "\n"


def _manner(document: Document) -> str:
    """Whose words, and when, as far as it is known."""
    who = next((f" as {document.meta[name]}" for name in _WHO if document.meta.get(name)), "")
    return who + (f" in {document.date[:4]}" if document.date else "")

"""The first pass: sources as parts of documents, after the first steps, with what repeats are found by."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genus.data.pipeline.parts import Parts
from genus.data.pipeline.recipe import FIRST, Corpus, Source
from genus.data.pipeline.tally import Amount, Tally, amount, total
from genus.data.sources import Document, Dropped, Piece, hashed, pieces, read_piece
from genus.data.steps.decontaminate import Cut
from genus.data.steps.step import Fate

__all__ = ["Flow", "read_task", "share_out"]

_TASK = 64 * 2**20  # bytes of files in a task, as stored
Steps = Sequence[tuple[str, Callable[[Document], Fate | Cut]]]


def share_out(recipe: Corpus) -> list[list[dict[str, Any]]]:
    """The pieces of all sources in tasks: neighbours together, of about the same size."""
    found = [{"collection": each.name, **asdict(piece)} for each in recipe.collections for piece in pieces(each.path)]
    total = sum(each["size"] for each in found)
    count = recipe.partitions or max(1, round(total / _TASK))
    tasks: list[list[dict[str, Any]]] = [[] for _ in range(count)]
    before = 0
    for number, each in enumerate(found):
        share = (before + each["size"] / 2) / total if total else number / len(found)
        tasks[min(count - 1, int(share * count))].append(each)
        before += each["size"]
    return [task for task in tasks if task]


class Flow:
    """Documents through steps into parts, with everything counted."""

    def __init__(self, steps: Steps, parts: Parts, tally: Tally) -> None:
        self.steps, self.parts, self.tally = steps, parts, tally
        self.last = "", amount("")

    def read(self, document: Document, collection: str) -> None:
        """One document of a source, to its end or to the parts."""
        size = self.amount(document)
        self.tally.entered("read", collection, size)
        self.tally.kept("read", collection, size)
        self.tally.measured("read", {"characters": len(document.text)}, True)
        self.send(document, collection, {})

    def refuse(self, found: Dropped, collection: str) -> None:
        """What was found in a source and is not used: a document of no text."""
        self.tally.entered("read", collection, amount(""))
        self.drop(Document(found.id, "", ""), collection, ("read", found.reason, found.detail))

    def send(self, document: Document, collection: str, known: Mapping[str, float]) -> None:
        """One document, to its end or to the parts; `known`: what earlier steps measured of it."""
        self._go_on(document, collection, 0, known)

    def amount(self, document: Document) -> Amount:
        """Counted once for all steps that leave the text as it is."""
        if document.text is not self.last[0]:
            self.last = document.text, amount(document.text)
        return self.last[1]

    def _go_on(self, document: Document, collection: str, first: int, known: Mapping[str, float]) -> None:
        """Through the steps from the first on."""
        for number, (name, step) in enumerate(self.steps[first:], first + 1):
            began = time.perf_counter()
            fate = step(document)
            self.tally.spent(name, time.perf_counter() - began)
            size = self.amount(document)
            self.tally.entered(name, collection, size)
            pieces = fate.pieces if isinstance(fate, Cut) else () if fate.document is None else (fate.document,)
            self.tally.measured(name, fate.measured, bool(pieces))
            known = {**known, **{f"{name}: {what}": value for what, value in fate.measured.items()}}
            if not pieces:
                self.drop(document, collection, (name, fate.reason, fate.detail))
                return
            after = [self.amount(piece) for piece in pieces]
            self.tally.kept(name, collection, total(after))
            self.tally.changed(name, collection, total(after) - size)
            for piece in pieces[1:]:
                self._go_on(piece, collection, number, known)
            document = pieces[0]
        self.parts.keep(document, collection, known, self.amount(document))

    def drop(self, document: Document, collection: str, why: tuple[str, str, str]) -> None:
        """A document goes no further: at which step, for what reason, with what evidence."""
        step, reason, detail = why
        size = self.amount(document)
        self.tally.dropped(step, collection, reason, size)
        row = {"id": document.id, "collection": collection, "step": step, "reason": reason, "detail": detail}
        self.parts.drop(row | {"bytes": size.bytes, "words": size.words}, document.text)


def read_task(recipe: Corpus, folder: Path, number: int, task: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Read the pieces of a task into parts. Gives their names, the counts, and a hash of each file."""
    flow = Flow(list(recipe.opened(FIRST)), Parts(folder, f"{number:05d}", recipe), Tally())
    named = {each.name: each for each in recipe.collections}
    inputs: list[list[str]] = []
    for each in task:
        collection = named[each["collection"]]
        piece = Piece(**{key: value for key, value in each.items() if key != "collection"})
        for found in read_piece(piece):
            if isinstance(found, Dropped):
                flow.refuse(replace(found, id=_name(found.id, collection, bool(recipe.sources))), collection.name)
            else:
                flow.read(_stated(found, collection, bool(recipe.sources)), collection.name)
        inputs += [[collection.name, *file] for file in hashed(piece)]
    return {"parts": flow.parts.close(), "tally": flow.tally.told(), "inputs": inputs}


def _stated(document: Document, collection: Source, several: bool) -> Document:
    """With what the recipe says of its source, and which that is, where there are several."""
    meta = document.meta | {"collection": collection.name} if several else document.meta
    licence, language = document.licence or collection.licence, document.language or collection.language
    name = _name(document.id, collection, several)
    return replace(document, id=name, licence=licence, language=language, meta=meta)


def _name(id: str, collection: Source, several: bool) -> str:
    """Two sources may each have a README.md."""
    return f"{collection.name}/{id}" if several else id

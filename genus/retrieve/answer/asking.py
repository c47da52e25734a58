"""From a question to its answer, in one call. Not for servers, whose models run in processes of their own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from genus.core.errors import GenusError
from genus.retrieve.answer.answer import Answer
from genus.retrieve.answer.checking import Checker
from genus.retrieve.answer.finding import Found, find
from genus.retrieve.answer.quoting import quoted
from genus.retrieve.answer.writing import requests, written
from genus.retrieve.search import Search
from genus.retrieve.verifier import Verifier

if TYPE_CHECKING:
    from genus.engine.model import Model

__all__ = ["SOURCES", "ask"]

SOURCES = 5  # passages that are looked at, where nothing else is asked for


def ask(
    question: str,
    search: Search,
    verifier: Verifier,
    model: "Model | None" = None,
    count: int = SOURCES,
) -> Answer:
    """The answer to a question: quoted, or with a model written from `count` passages and checked.

    Raises GenusError for a question that is empty or too long.
    """
    found = find(question, search, count)
    if model is None or not found.about:
        return quoted(found) if model is None else Checker(found, verifier, search.encoder).answer
    checker = Checker(found, verifier, search.encoder)
    for source, text in enumerate(_texts(found, model), 1):
        checker.add(written(text), source)
        if checker.full:
            break
    return checker.answer


def _texts(found: Found, model: "Model") -> Iterator[str]:
    """What a model writes from each passage, in order; all are written at once."""
    engine = model.engine
    numbers = [engine.add(each) for each in requests(found.question, found.sources, model.tokenizer, model.spec.context)]
    texts, ended = dict.fromkeys(numbers, ""), set[int]()
    try:
        for number in numbers:
            while number not in ended:
                for event in engine.step():
                    if event.error:
                        raise GenusError(event.error)
                    texts[event.request] += event.text
                    ended |= {event.request} if event.finish else set()
            yield texts[number]
    finally:
        for number in numbers:
            engine.abort(number)

"""The engine: requests in, tokens and text out, a step at a time. One way to generate and to score for everybody.

A step is: schedule, read, choose, tell. What a request gets does not depend on who else is there. Not here: HTTP, threads.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.engine.grammar import Grammars, GrammarState
from genus.engine.guess import Draft, Guesser, Repeats
from genus.engine.pages import Cache
from genus.engine.request import Event, Finish, Request
from genus.engine.sample import choose
from genus.engine.schedule import Branch, Limits, Scheduler, Work
from genus.engine.telling import Telling
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Engine", "Reader", "check_tokens"]


class Reader(Protocol):
    """What reads: see engine.paged.PagedReader."""

    cache: Cache
    context: int
    vocab: int

    def read(self, work: Sequence[Work], wanted: Sequence[int]) -> Tensor: ...

    def copy(self, pages: Iterable[tuple[int, int, int]]) -> None: ...


@runtime_checkable
class Opened(Protocol):
    """What has a reader and perhaps a tokenizer: see engine.model.Model."""

    def open_reader(self, tokens: int | None = None) -> tuple[Reader, Tokenizer | None]: ...


class Engine:
    """Many requests at once over one model. Not for several threads: one calls `add`, `step` and `abort` in turns.

    `tokens` is how many the cache holds, by default 8 contexts. Without a tokenizer, events have tokens alone. `guesses` is
    how many tokens are read ahead, guessed from how a text repeats itself, or by `draft`, a small model of the same tokens:
    it changes the speed and never what is said.
    """

    def __init__(
        self,
        model: Opened | Reader,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        tokens: int | None = None,
        guesses: int = 0,
        draft: Opened | Reader | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reader, self.tokenizer = model.open_reader(tokens) if isinstance(model, Opened) else (model, None)
        self.guesses, self.clock = guesses, clock
        self.guesser: Guesser = Repeats() if draft is None else self._draft(draft)
        self.scheduler = Scheduler(self.reader.cache, limits)
        self.requests: dict[int, list[Telling]] = {}  # choices that are not over
        self._count = 0
        self._untold: list[Event] = []  # of others, met by a stream

    def check(self, request: Request) -> None:
        """Raise GenusError for a request that can never run, naming what is wrong with it."""
        check_tokens(request.prompt, self.reader.vocab)
        length, context = len(request.read), self.reader.context
        if length + request.max_tokens > context:
            raise GenusError(
                f"a prompt of {length} tokens and max_tokens = {request.max_tokens} do not fit the context of {context}; "
                f"choose max_tokens from 1 to {max(1, context - length)}, or a shorter prompt"
            )
        if (request.sampling.stop or request.sampling.grammar) and self.tokenizer is None:
            raise GenusError("stop strings and grammars need a tokenizer; put tokenizer.json into the model's folder")
        request.sampling.check_vocab(self.reader.vocab)
        self._start(request)
        self.scheduler.check(request)

    def add(self, request: Request) -> int:
        """Queue a request; its number. Raises as `check`."""
        self.check(request)
        self._count += 1
        first = Branch(self._count, request, 0, list(request.read))
        self.scheduler.add(first)
        self.requests[self._count] = [Telling(first, self.tokenizer, request.sampling.draw_seed(), self._start(request))]
        return self._count

    def abort(self, number: int, finish: Finish = "aborted") -> list[Event]:
        """Give up what is not over of a request; its pages are free at once. Unknown numbers are over already."""
        return [self._end(telling, finish) for telling in list(self.requests.get(number, ()))]

    def step(self) -> list[Event]:
        """Do one step; what it brought. Nothing to do is no error, and brings nothing."""
        events, self._untold = self._untold + self._expire(), []
        if self.guesses:
            tellings = [telling for choices in self.requests.values() for telling in choices if telling.room > 0]
            self.guesser.guess(tellings, [min(self.guesses, telling.room) for telling in tellings])
        work, began = self.scheduler.plan(), self.clock()
        for some, logits in self._read(work):
            if isinstance(logits, Exception):
                events += self._fail(some[0].branch.number, f"the model failed: {logits}")
            else:
                events += self._choose(some, logits)
        self.scheduler.took(self.clock() - began)
        return events

    def stream(self, request: Request) -> Iterator[Event]:
        """Run a request to its end, beside all others; its events. Giving up the iterator aborts it.

        Events of others wait for the next `step` that somebody else makes.
        """
        number = self.add(request)
        others: list[Event] = []
        try:
            while number in self.requests:
                events = self.step()
                others += (event for event in events if event.request != number)
                yield from (event for event in events if event.request == number)
        finally:
            self._untold += others
            self.abort(number)

    def _draft(self, model: Opened | Reader) -> Draft:
        reader, tokenizer = model.open_reader(None) if isinstance(model, Opened) else (model, None)
        same = tokenizer is None or self.tokenizer is None or tokenizer.sha256 == self.tokenizer.sha256
        if reader.vocab != self.reader.vocab or not same:
            raise GenusError("the draft model has another tokenizer; a draft must have the model's own")
        return Draft(reader)

    @cached_property
    def _grammars(self) -> Grammars:
        assert self.tokenizer is not None
        return Grammars(self.tokenizer, self.reader.vocab)

    def _start(self, request: Request) -> GrammarState | None:
        """The start of a request's grammar; a bad one raises."""
        return None if request.sampling.grammar is None else self._grammars.start(request.sampling.grammar)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or running."""
        return not self.requests

    @property
    def at_rest(self) -> bool:
        """Whether it is idle and every page is free or known, each once, with nothing promised; else something leaked."""
        scheduler = self.scheduler
        return self.idle and not scheduler.running and not scheduler.waiting and scheduler.cache.at_rest

    def forget(self) -> None:
        """Share nothing of what was read so far."""
        self.scheduler.cache.forget()

    def _expire(self) -> list[Event]:
        now, events = self.clock(), []
        for number, tellings in list(self.requests.items()):
            request = tellings[0].branch.request
            if request.timeout is not None and now - request.since > request.timeout:
                events += self.abort(number, "deadline")
        return events

    def _read(self, work: list[Work]) -> Iterator[tuple[list[Work], Tensor | Exception]]:
        """The logits of a step's work; should it fail as a whole, of each alone, so that only who causes it is hit."""
        if not work:
            return
        try:
            yield work, self.reader.read(work, [_wanted(each) for each in work])
        except Exception as error:
            if len(work) == 1:
                yield work, error
                return
            for each in work:
                if each.branch.table is not None:
                    yield from self._read([each])

    def _choose(self, work: list[Work], logits: Tensor) -> list[Event]:
        """Take what was read as cached, choose the next tokens of all whose known tokens are, and tell them."""
        events: list[Event] = []
        picks: list[tuple[Telling, Tensor]] = []  # rows of logits to choose from: after the last token, after each guess
        for each, part in zip(work, logits.split([_wanted(each) for each in work]), strict=True):
            branch, first = each.branch, self._telling(each.branch)
            self.scheduler.read(branch, each.start + each.count - max(0, each.guessed))
            first.hear(each, part)
            if each.guessed >= 0 and branch.request.max_tokens:
                picks += [(telling, part[-1 - each.guessed :]) for telling in self._fork(first)]
            elif each.guessed >= 0:
                events.append(self._end(first, "length"))
        if picks:
            events += self._pick(picks)
        return events

    def _pick(self, picks: list[tuple[Telling, Tensor]]) -> list[Event]:
        """Choose for all at once. A guess that is what was chosen is read already, so the row after it counts too."""
        rows = [row for telling, part in picks for row in telling.rows(len(part))]
        logits = torch.cat([part for _, part in picks])
        tokens, events, first = choose(logits, rows), [], 0
        for telling, part in picks:
            chosen = tokens[first : first + len(part)]
            finish, error = telling.say(chosen, part)
            self.scheduler.read(telling.branch, len(telling.branch.tokens) - 1)
            events.append(telling.event(error=error) if finish is None else self._end(telling, finish, error))
            first += len(part)
        return events

    def _fork(self, telling: Telling) -> list[Telling]:
        """The choices that go on from here: this one, and the first time that its prompt is read, all others."""
        branch = telling.branch
        if branch.forked or branch.request.n == 1:
            return [telling]
        others, copies = self.scheduler.fork(branch)
        self.reader.copy(copies)
        tellings = [telling, *(telling.fork(other) for other in others)]
        self.requests[branch.number] = list(tellings)
        return tellings

    def _telling(self, branch: Branch) -> Telling:
        return next(telling for telling in self.requests[branch.number] if telling.branch is branch)

    def _fail(self, number: int, error: str) -> list[Event]:
        return [self._end(telling, "error", error) for telling in list(self.requests.get(number, ()))]

    def _end(self, telling: Telling, finish: Finish, error: str = "") -> Event:
        """The choice is over: its pages are free at once."""
        number = telling.branch.number
        self.scheduler.remove(telling.branch)
        self.guesser.drop(telling.branch)
        self.requests[number].remove(telling)
        if not self.requests[number]:
            del self.requests[number]
        return telling.event(finish, error)


def check_tokens(tokens: Sequence[int], vocab: int) -> None:
    """Raise GenusError for an empty prompt or an id outside the vocabulary, naming its index."""
    if not tokens:
        raise GenusError("the prompt is empty; give at least one token")
    for index, token in enumerate(tokens):
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < vocab:
            raise GenusError(f"prompt[{index}] = {token!r} is not a token id; ids go from 0 to {vocab - 1}")


def _wanted(work: Work) -> int:
    """Rows of logits that are needed: of the prompt, to score it; after the last known token and each guess, to choose."""
    if work.branch.request.echo and work.start < len(work.branch.request.prompt):
        return work.count
    return max(0, 1 + work.guessed)

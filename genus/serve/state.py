"""What all requests of a server share: its models, its limits, its figures; and how work is let in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from genus.engine.request import Event, Request
from genus.retrieve.search import Search
from genus.retrieve.verifier import Verifier
from genus.serve.errors import ApiError
from genus.serve.measures import Measures
from genus.serve.models import Models, Served
from genus.serve.process import Engine, Job

__all__ = ["Opened", "Settings", "State"]

_THREADS = 4  # searches at once


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the one who starts a server may choose."""

    queue: int = 256
    """Choices that are generated or wait at once; more are turned away with 429."""
    timeout: float = 600.0
    """Seconds that a request may take."""
    drain: float = 30.0
    """Seconds that running requests get to finish when the server is told to stop."""
    send_timeout: float = 30.0
    """Seconds that a client may leave a stream unread."""
    body_timeout: float = 20.0
    """Seconds in which a request's head, and then its body, must have come."""
    most_bytes: int = 4 * 2**20
    """Of a request's body."""
    most_tokens: int | None = None
    """Tokens that a choice may have; unset, the rest of the context."""


@dataclass(eq=False)
class Opened:
    """A model that a request uses, its engine running."""

    served: Served
    engine: Engine

    @property
    def fingerprint(self) -> str:
        """The same for the same weights in the same format: OpenAI's system_fingerprint."""
        return f"fp_{self.engine.described.fingerprint}"


@dataclass(eq=False)
class State:
    """One server."""

    models: Models
    settings: Settings
    measures: Measures
    search: Search | None = None  # of the index that is served
    verifier: Verifier | None = None  # of answers from it
    draining: bool = False
    open: int = 0  # choices
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS))  # what searches run in
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def check_open(self) -> None:
        """Raise ApiError 503 once the server is told to stop."""
        if self.draining:
            raise ApiError(503, "the server is stopping; try again in a moment", "draining", wait=5)

    @contextlib.asynccontextmanager
    async def use(self, name: str | None) -> AsyncIterator[Opened]:
        """A model for the time of a request."""
        self.check_open()
        served = self.models.find(name)
        served.busy += 1
        try:
            yield Opened(served, await self.models.open(served))
        finally:
            served.busy -= 1

    @contextlib.asynccontextmanager
    async def submit(self, engine: Engine, requests: Sequence[Request]) -> AsyncIterator[list[Job]]:
        """Jobs for requests, once all are accepted; aborted when left.

        Raises ApiError: 429 when too many wait, 400 when these alone are too many.
        """
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.admit(sum(request.n for request in requests)))
            jobs = [await stack.enter_async_context(engine.submit(request)) for request in requests]
            for job in jobs:
                await job.accepted
            yield jobs

    @contextlib.asynccontextmanager
    async def admit(self, choices: int) -> AsyncIterator[None]:
        """Room in the queue for so many. Raises ApiError: 429 when too many wait, 400 when these alone are too many."""
        if choices > self.settings.queue:
            message = f"the request asks for {choices} choices and the queue holds {self.settings.queue}; ask for fewer"
            raise ApiError(400, message, "too_many_choices", "n")
        if self.open + choices > self.settings.queue:
            message = f"{self.open} choices are generated or wait and the queue holds {self.settings.queue}; try again soon"
            self.measures.refused.inc()
            raise ApiError(429, message, "queue_full", wait=1 + self.open / 32)
        self.open += choices
        try:
            yield
        finally:
            self.open -= choices
            if not self.open:
                self._idle.set()

    async def drain(self) -> None:
        """Take nothing new, and wait for what runs."""
        self.draining = True
        while self.open:
            self._idle.clear()
            await self._idle.wait()


async def merged(jobs: Sequence[Job]) -> AsyncIterator[tuple[int, Event]]:
    """Events of all jobs as they come, each with the number of its job."""
    if len(jobs) == 1:
        async for event in jobs[0]:
            yield 0, event
        return
    queue: asyncio.Queue[tuple[int, Event | BaseException | None]] = asyncio.Queue()

    async def pump(number: int, job: Job) -> None:
        try:
            async for event in job:
                queue.put_nowait((number, event))
            queue.put_nowait((number, None))
        except ApiError as error:
            queue.put_nowait((number, error))

    tasks = [asyncio.create_task(pump(number, job)) for number, job in enumerate(jobs)]
    try:
        left = len(jobs)
        while left:
            number, said = await queue.get()
            if isinstance(said, BaseException):
                raise said
            if said is None:
                left -= 1
            else:
                yield number, said
    finally:
        for task in tasks:
            task.cancel()

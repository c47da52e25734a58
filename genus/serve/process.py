"""An engine in a process of its own, seen from the server: jobs in, events out, and what happens when it dies."""

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from genus.core.errors import GenusError
from genus.engine.request import Event, Request
from genus.serve.errors import ApiError
from genus.serve.wire import event_from, line, request_to

__all__ = ["DEATH", "Described", "Engine", "EngineProcess", "Job"]

_LONGEST = 2**28  # bytes of a line: all scores of a long prompt with twenty alternatives each
DEATH = "the engine stopped unexpectedly; try again, and see the server's log should it happen again"
"""What jobs are told whose engine died."""


class Described(NamedTuple):
    """What a running engine says of its model."""

    context: int
    vocab: int
    parameters: int
    family: str
    fingerprint: str
    weights: str = "fp32"


class Job:
    """One request's events as they come, for `async for`. Leaving its `async with` aborts what is not over."""

    def __init__(self, engine: "Engine", number: int, choices: int) -> None:
        self.engine, self.number, self.left = engine, number, choices
        self._untold = choices  # ends that did not come yet
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._events: asyncio.Queue[Event | ApiError] = asyncio.Queue()  # no longer than what a context holds

    def tell(self, event: Event | ApiError) -> None:
        """Something came, from the engine."""
        if isinstance(event, ApiError):
            self.left = 0
            if not self.accepted.done():
                self.accepted.set_exception(event)
                self.accepted.exception()  # seen: nobody may be waiting
                return
        else:
            self._untold -= event.finish is not None
        self._events.put_nowait(event)

    @property
    def complete(self) -> bool:
        """Whether all ends came, perhaps not yet heard by who listens."""
        return self._untold == 0

    def __aiter__(self) -> "Job":
        return self

    async def __anext__(self) -> Event:
        if self.left == 0 and self._events.empty():
            raise StopAsyncIteration
        event = await self._events.get()
        if isinstance(event, ApiError):
            raise event
        self.left -= event.finish is not None
        return event

    async def __aenter__(self) -> "Job":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.drop(self)


class Engine(Protocol):
    """What answers for one model: a process of ours, or vLLM (serve.vllm)."""

    described: Described
    figures: dict[str, float]

    async def start(self) -> None: ...

    @property
    def alive(self) -> bool: ...

    def submit(self, request: Request) -> Job: ...

    def drop(self, job: Job) -> None: ...

    async def embed(self, texts: Sequence[Sequence[int]], pooling: str) -> list[list[float]]: ...

    async def stop(self) -> None: ...


class EngineProcess:
    """Our engine over one model folder."""

    described: Described

    def __init__(self, folder: Path, weights: str) -> None:
        self.folder, self.weights = folder, weights
        self.figures: dict[str, float] = {}
        self.jobs: dict[int, Job] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it; done when the model is loaded. Raises GenusError with what went wrong there."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "genus.serve.worker", str(self.folder), json.dumps({"weights": self.weights})),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST,
            start_new_session=True,  # Ctrl-C is for the server, which then drains
        )
        assert self._process.stdout
        first = await self._process.stdout.readline()
        said: dict[str, Any] = json.loads(first) if first.endswith(b"\n") else {"failed": DEATH}
        if "failed" in said:
            await self._process.wait()
            raise GenusError(f"{self.folder.name} cannot be served ({said['failed']})")
        self.described, self.figures = Described(**said["ready"]), said["figures"]
        self._listening = asyncio.create_task(self._listen())

    @property
    def alive(self) -> bool:
        """Whether it runs and answers."""
        return self._listening is not None and not self._listening.done()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process
        return self._process.pid

    def submit(self, request: Request) -> Job:
        """Send a request; its job."""
        job = Job(self, next(self._numbers), request.n)
        self.jobs[job.number] = job
        self._send({"do": "add", "job": job.number, "request": request_to(request)})
        return job

    def drop(self, job: Job) -> None:
        """Nobody listens to the job any more."""
        if self.jobs.pop(job.number, None) is not None:
            self._send({"do": "abort", "job": job.number})

    async def embed(self, texts: Sequence[Sequence[int]], pooling: str) -> list[list[float]]:
        """A vector for each text."""
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._send({"do": "embed", "job": number, "texts": [list(text) for text in texts], "pooling": pooling})
        vectors: list[list[float]] = await answer
        return vectors

    async def stop(self) -> None:
        """End it, whatever it does."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()  # it owns nothing that could be torn
            await self._process.wait()
        if self._listening is not None:
            await self._listening

    def _send(self, message: dict[str, Any]) -> None:
        """Queue a message to it; what it does not live to read is answered by its death."""
        assert self._process and self._process.stdin
        if not self.alive:
            self._fail()
        elif not self._process.stdin.is_closing():
            self._process.stdin.write(line(message))

    async def _listen(self) -> None:
        assert self._process and self._process.stdout
        try:
            async for text in self._process.stdout:
                if not text.endswith(b"\n"):
                    break
                self._hear(json.loads(text))
        finally:
            self._fail()

    def _hear(self, said: dict[str, Any]) -> None:
        self.figures = said.get("figures", self.figures)
        for each in said.get("events", ()):
            if (job := self.jobs.get(each["request"])) is not None:
                job.tell(event_from(each))
                if job.complete:
                    del self.jobs[job.number]
        if "accepted" in said and (job := self.jobs.get(said["accepted"])) is not None and not job.accepted.done():
            job.accepted.set_result(None)
        if "refused" in said:
            number, error = said["refused"]["job"], ApiError(400, said["refused"]["error"])
            if (job := self.jobs.pop(number, None)) is not None:
                job.tell(error)
            elif (answer := self._answers.pop(number, None)) is not None and not answer.done():
                answer.set_exception(error)
        if "answer" in said and (answer := self._answers.pop(said["answer"]["job"], None)) and not answer.done():
            answer.set_result(said["answer"]["vectors"])

    def _fail(self) -> None:
        """It is dead: so is all that it was asked."""
        death = ApiError(500, DEATH, "engine_stopped")
        while self.jobs:
            self.jobs.popitem()[1].tell(death)
        while self._answers:
            answer = self._answers.popitem()[1]
            if not answer.done():
                answer.set_exception(death)

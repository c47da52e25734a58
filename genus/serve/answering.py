"""From a checked request to its answer, whole or as a stream, for completions and chats alike."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from genus.engine.request import Event, Request
from genus.serve.errors import ApiError, body_of
from genus.serve.measures import Watch
from genus.serve.state import Opened, State, merged
from genus.serve.telling import Choice, Piece

__all__ = ["Answer", "Asked", "Stream", "answer", "unless_gone"]

T = TypeVar("T")
_PING = 15  # seconds: proxies close what is silent for a minute


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked, checked: an engine request for each prompt, in order."""

    opened: Opened
    requests: Sequence[Request]
    stream: bool
    usage: bool = False
    """A stream ends with its usage."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))


class Answer(Protocol):
    """How an endpoint says what was generated. Choices are numbered through all prompts."""

    asked: Asked
    object: str
    """Its "object" as a whole, and that of a stream's chunks; `prefix` begins its id."""
    chunk_object: str
    prefix: str

    def choice(self, index: int) -> Choice: ...

    def head(self) -> Iterable[dict[str, Any]]:
        """The choices of chunks before any text."""

    def chunks(self, index: int, choice: Choice, piece: Piece, event: Event) -> Iterable[dict[str, Any]]:
        """The choices of chunks for what is new."""

    def whole(self, choices: Sequence[Choice]) -> list[dict[str, Any]]:
        """All choices."""


async def answer(http: HttpRequest, state: State, stack: contextlib.AsyncExitStack, told: Answer) -> Response:
    """Run what was asked. `stack` holds what a request uses: it is closed here, by whoever ends last."""
    asked = told.asked
    name = asked.opened.served.name
    prompt_tokens = sum(len(request.prompt) for request in asked.requests)
    http.state.log |= {"model": name, "prompt_tokens": prompt_tokens}
    watch = Watch(state.measures, name, prompt_tokens)
    jobs = await stack.enter_async_context(state.submit(asked.opened.engine, asked.requests))
    run = _Run(told, watch, http.state.log)
    if asked.stream:
        return Stream(run.stream(merged(jobs)), stack.pop_all(), state.settings.send_timeout)
    return JSONResponse(await unless_gone(http, run.whole(merged(jobs))))


class _Run:
    """One request on its way."""

    def __init__(self, told: Answer, watch: Watch, log: dict[str, Any]) -> None:
        self.told, self.watch, self.log = told, watch, log
        self.firsts: list[int] = []  # the number of each prompt's first choice
        count = 0
        for request in told.asked.requests:
            self.firsts.append(count)
            count += request.n
        self.choices = [told.choice(index) for index in range(count)]

    async def whole(self, events: AsyncIterator[tuple[int, Event]]) -> dict[str, Any]:
        with self._watched():
            async for _ in self._heard(events):
                pass
        return self._about(self.told.object) | {"choices": self.told.whole(self.choices), "usage": self._usage()}

    async def stream(self, events: AsyncIterator[tuple[int, Event]]) -> AsyncGenerator[str]:
        told, about = self.told, self._about(self.told.chunk_object)
        if told.asked.usage:
            about["usage"] = None
        begun = json.dumps(about)[:-1] + ', "choices": ['  # the same in all chunks, so it is written once
        try:
            with self._watched():
                for choice in told.head():
                    yield f"{begun}{json.dumps(choice)}]}}"
                async for index, event, piece in self._heard(events):
                    for choice in told.chunks(index, self.choices[index], piece, event):
                        yield f"{begun}{json.dumps(choice)}]}}"
        except ApiError as error:
            self.log["error"] = error.message
            yield json.dumps(body_of(error))
            return
        if told.asked.usage:
            yield json.dumps(about | {"choices": [], "usage": self._usage()})
        yield "[DONE]"

    async def _heard(self, events: AsyncIterator[tuple[int, Event]]) -> AsyncIterator[tuple[int, Event, Piece]]:
        """Events with the number of their choice, told to it. Raises ApiError for a failure."""
        async for job, event in events:
            index = self.firsts[job] + event.choice
            if event.finish == "error":
                raise ApiError(500, event.error, "generation_failed")
            if event.finish == "deadline":
                raise ApiError(504, "the request took longer than the server allows; ask for fewer tokens", "deadline")
            piece = self.choices[index].add(event)
            self.watch.count(len(event.tokens))
            if event.finish is not None:
                self.watch.finish(event.finish)
            yield index, event, piece

    @contextlib.contextmanager
    def _watched(self) -> Any:
        complete = False
        try:
            yield
            complete = True
        finally:
            self.watch.close(complete)
            self.log["completion_tokens"] = self.watch.tokens
            self.log["finish"] = [choice.finish for choice in self.choices] if complete else "aborted"

    def _about(self, kind: str) -> dict[str, Any]:
        asked = self.told.asked
        about = {"id": f"{self.told.prefix}-{asked.id}", "object": kind, "created": asked.created}
        return about | {"model": asked.opened.served.name, "system_fingerprint": asked.opened.fingerprint}

    def _usage(self) -> dict[str, int]:
        prompt = sum(len(request.prompt) for request in self.told.asked.requests)
        said = sum(choice.generated for choice in self.choices)
        return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


class Stream(Response):
    """Server-sent events over what a request uses, which is let go however it ends.

    Our own, as a library's costs as much as all else that a token passes here, and would watch slow clients by a timer a
    token.
    """

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncGenerator[str], stack: contextlib.AsyncExitStack, send_timeout: float) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self.lines, self.stack, self.patience = lines, stack, send_timeout
        self.sending, self.since = False, time.monotonic()  # a message is on its way, or none is, since then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.create_task(self._write(send))
        tasks = (writing, asyncio.create_task(_gone(receive)))
        try:
            while not (await asyncio.wait(tasks, timeout=min(_PING, self.patience) / 2, return_when="FIRST_COMPLETED"))[0]:
                silent = time.monotonic() - self.since
                if self.sending and silent > self.patience:
                    break
                if not self.sending and silent > _PING:
                    await self._send(send, ": still there\n\n")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.lines.aclose()
            await self.stack.aclose()
        if not writing.cancelled():
            writing.result()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for line in self.lines:
            await self._send(send, f"data: {line}\n\n")
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send, text: str) -> None:
        self.sending, self.since = True, time.monotonic()
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        self.sending, self.since = False, time.monotonic()


async def unless_gone(http: HttpRequest, work: Awaitable[T]) -> T:
    """The result of some work, which is cancelled when the client goes."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_gone(http.receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "the client closed the connection", "client_gone")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

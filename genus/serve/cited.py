"""Chat models that answer from the served index: NAME+sources writes with the model NAME, quotes+sources quotes.

POST /v1/chat/completions as ever; the reply's message has OpenAI's `annotations`, and all about its sentences and passages
under "genus". The last message is the question. Nothing is told before it was checked.
"""

import asyncio
import contextlib
import dataclasses
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from genus.core.errors import GenusError
from genus.retrieve.answer.answer import NOT_FOUND, Answer, Mode, Sentence, told, told_sentence, told_source
from genus.retrieve.answer.asking import SOURCES
from genus.retrieve.answer.checking import Checker
from genus.retrieve.answer.finding import Found, check_question, find
from genus.retrieve.answer.quoting import quoted
from genus.retrieve.answer.writing import requests, written
from genus.retrieve.search import Search
from genus.retrieve.verifier import Verifier
from genus.serve.answering import Stream, unless_gone
from genus.serve.chat import messages_of
from genus.serve.errors import ApiError, body_of
from genus.serve.measures import Watch
from genus.serve.process import Job
from genus.serve.schema import ChatBody
from genus.serve.state import Opened, State

__all__ = ["cited_chat", "cited_models", "is_cited"]

_MARK = "+sources"
_QUOTES = "quotes" + _MARK
T = TypeVar("T")


def is_cited(state: State, name: str | None) -> bool:
    """Whether a model's name is one of those that answer from the index."""
    return name is not None and name in cited_models(state)


def cited_models(state: State) -> dict[str, Mode]:
    """Their names, and what each does: one for each model, and one that quotes; none where no index is served."""
    if state.search is None or state.verifier is None:
        return {}
    return {**{name + _MARK: "generative" for name in state.models.served}, _QUOTES: "extractive"}


async def cited_chat(http: HttpRequest, state: State, body: ChatBody) -> Response:
    """Answer one request."""
    assert state.search is not None and state.verifier is not None and body.model is not None
    question = _question(body)
    async with contextlib.AsyncExitStack() as stack:
        opened = None
        if body.model != _QUOTES:
            opened = await stack.enter_async_context(state.use(body.model.removesuffix(_MARK)))
        state.check_open()
        asked = _Asked(http, state, opened, body.model, question, state.search, state.verifier)
        usage = bool(body.stream_options and body.stream_options.include_usage)
        if body.stream:
            return Stream(asked.stream(usage), stack.pop_all(), state.settings.send_timeout)
        return JSONResponse(await unless_gone(http, asked.whole()))
    raise AssertionError  # for mypy: the stack swallows nothing


def _question(body: ChatBody) -> str:
    """The last message, which must be a user's. Raises ApiError naming what such a model does not do."""
    for name, given in (("tools", body.tools), ("response_format", body.response_format), ("logprobs", body.logprobs)):
        if given:
            message = f"{name} does not go with {_MARK}, whose form is its own; leave it out"
            raise ApiError(400, message, "unsupported_parameter", name)
    if (body.n or 1) > 1:
        raise ApiError(400, f"n = {body.n}, and {_MARK} has one answer; ask for 1", "unsupported_parameter", "n")
    last = messages_of(body.messages)[-1]
    if last["role"] != "user":
        raise ApiError(400, "the last message is not the user's; end with the question", "invalid_value", "messages")
    try:
        return check_question(last["content"])
    except GenusError as error:
        raise ApiError(400, str(error), "invalid_value", "messages") from error


@dataclasses.dataclass
class _Asked:
    """One question on its way."""

    http: HttpRequest
    state: State
    opened: Opened | None
    model: str
    question: str
    search: Search
    verifier: Verifier
    prompt_tokens: int = 0
    tokens: int = 0
    answer: Answer | None = None

    def __post_init__(self) -> None:
        self.about = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.model}
        self.http.state.log |= {"model": self.model}

    async def whole(self) -> dict[str, Any]:
        """The reply in one piece."""
        found = await self._find()
        async for _ in self._sentences(found):
            pass
        assert self.answer is not None
        placed = self.answer.placed()
        annotations = [each for start, sentence in placed for each in _annotations(start, sentence, found)]
        message = {"role": "assistant", "content": self.answer.text, "refusal": None, "annotations": annotations}
        choice = {"index": 0, "message": message | {"genus": told(self.answer)}, "logprobs": None, "finish_reason": "stop"}
        return {**self.about, "object": "chat.completion", "choices": [choice], "usage": self._usage()}

    async def stream(self, usage: bool) -> AsyncGenerator[str]:
        """The reply sentence by sentence: first the passages, last all of it once more under "genus"."""
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            found = await self._find()
            sources = [told_source(passage, number) for number, passage in enumerate(found.sources, 1)]
            yield self._chunk({"genus": {"sources": sources}})
            start = 0
            async for sentence in self._sentences(found):
                text = f"{' ' if start else ''}{sentence.marked}"
                start += len(text) - len(sentence.marked)
                annotations = _annotations(start, sentence, found)
                start += len(sentence.marked)
                said = {"sentence": told_sentence(sentence, found.sources)}
                yield self._chunk({"content": text, "annotations": annotations, "genus": said})
            assert self.answer is not None
            if self.answer.abstained:
                yield self._chunk({"content": NOT_FOUND})
            yield self._chunk({"genus": told(self.answer)}, "stop")
        except ApiError as error:
            self.http.state.log["error"] = error.message
            yield json.dumps(body_of(error))
            return
        if usage:
            about = {**self.about, "object": "chat.completion.chunk", "choices": [], "usage": self._usage()}
            yield json.dumps(about)
        yield "[DONE]"

    async def _find(self) -> Found:
        async with self.state.admit(1):
            found = await self._thread(find, self.question, self.search, SOURCES)
        self.http.state.log |= {"found": len(found.sources), "near": round(found.near, 4)}
        return found

    async def _sentences(self, found: Found) -> AsyncIterator[Sentence]:
        """Sentences as they are checked. Unsupported ones wait for one that is borne out, without which nothing is said."""
        if self.opened is None:
            self.answer = quoted(found)
            for sentence in self.answer.sentences:
                yield sentence
            return
        held: list[Sentence] = []
        checker = await self._thread(Checker, found, self.verifier, self.search.encoder)
        async for sentence in self._written(self.opened, found, checker):
            held.append(sentence)
            if not checker.answer.abstained:
                for each in held:
                    yield each
                held = []
        self.answer = checker.answer

    async def _written(self, opened: Opened, found: Found, checker: Checker) -> AsyncIterator[Sentence]:
        if not found.about:
            return
        make = requests, self.question, found.sources, opened.served.tokenizer, opened.engine.described.context
        asked = [dataclasses.replace(each, timeout=self.state.settings.timeout) for each in await self._thread(*make)]
        self.prompt_tokens = sum(len(request.prompt) for request in asked)
        watch = Watch(self.state.measures, opened.served.name, self.prompt_tokens)
        complete = False
        try:
            async with self.state.submit(opened.engine, asked) as jobs:
                for source, job in enumerate(jobs, 1):
                    text = written(await self._text(job, watch))
                    if (sentence := await self._thread(checker.add, text, source)) is not None:
                        yield sentence
                    if checker.full:
                        break
            complete = True
        finally:
            watch.close(complete)
            self.tokens = watch.tokens

    async def _text(self, job: Job, watch: Watch) -> str:
        text = ""
        async for event in job:
            if event.finish == "error":
                raise ApiError(500, event.error, "generation_failed")
            if event.finish == "deadline":
                raise ApiError(504, "the answer took longer than the server allows; try again", "deadline")
            text += event.text
            watch.count(len(event.tokens))
            if event.finish is not None:
                watch.finish(event.finish)
        return text

    async def _thread(self, work: Callable[..., T], *given: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self.state.threads, work, *given)
        except GenusError as error:
            raise ApiError(400, str(error), "invalid_value", "messages") from error

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return json.dumps({**self.about, "object": "chat.completion.chunk", "choices": [choice]})

    def _usage(self) -> dict[str, int]:
        total = self.prompt_tokens + self.tokens
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.tokens, "total_tokens": total}


def _annotations(start: int, sentence: Sentence, found: Found) -> Sequence[dict[str, Any]]:
    """OpenAI's url_citation for the [n] of a sentence that starts at character `start`; none of one that is unsupported."""
    if not sentence.source:
        return []
    passage = found.sources[sentence.source - 1]
    place = {"start_index": start + len(sentence.text) + 1, "end_index": start + len(sentence.marked)}
    cited = {"type": "url_citation", "url_citation": {"title": passage.title, "url": passage.url, **place}}
    said = told_sentence(sentence, found.sources)
    return [{**cited, "passage": said["passage"], "quote": said["quote"], "status": sentence.status}]

"""POST /v1/chat/completions: messages become a prompt by the model's own template, and its answer becomes a message."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from genus.engine.grammar import Grammar
from genus.engine.request import Event, Request
from genus.serve.answering import Asked, answer
from genus.serve.errors import ApiError
from genus.serve.formats import schema_of
from genus.serve.prompts import check_stream, encoded, room
from genus.serve.schema import ChatBody, sampling_of
from genus.serve.state import Opened, State
from genus.serve.telling import Choice, Piece, Placed, token_name
from genus.serve.tools import Call, CallReader, Tools, tools_of
from genus.tokenizers.chat import ROLES
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["chat", "messages_of"]


async def chat(http: HttpRequest, state: State, body: ChatBody) -> Response:
    """Answer one request."""
    _check(body)
    tools = tools_of(body)
    schema = tools.schema or schema_of(body.response_format)
    grammar = None if schema is None else Grammar("json_schema", schema)
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(state.use(body.model))
        described = opened.engine.described
        prompt = await _prompt(opened, messages_of(body.messages), tools)
        wanted, name = (body.max_tokens, "max_tokens") if body.max_completion_tokens is None else (
            body.max_completion_tokens, "max_completion_tokens")  # fmt: skip
        request = Request(
            prompt=tuple(prompt),
            max_tokens=room(opened, len(prompt), wanted, state.settings.most_tokens, name),
            sampling=sampling_of(body, described.vocab, grammar, tools.stop),
            n=body.n or 1,
            ends=opened.served.tokenizer.turn_ends,
            log_probs=(body.top_logprobs or 0) if body.logprobs else None,
            timeout=state.settings.timeout,
        )
        usage = bool(body.stream_options and body.stream_options.include_usage)
        asked = Asked(opened=opened, requests=[request], stream=bool(body.stream), usage=usage)
        return await answer(http, state, stack, _Chat(asked, body, tools))
    raise AssertionError  # for mypy: the stack swallows nothing


def messages_of(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """Messages in the form that templates know: text parts joined. Raises ApiError naming the first that is not one."""
    if not messages:
        raise ApiError(400, 'messages is empty; give [{"role": "user", "content": "..."}]', "invalid_value", "messages")
    return [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _message(message: Any, name: str) -> dict[str, Any]:
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        known = "assistant, developer, system, tool and user"
        raise ApiError(400, f"{name} has no role of those known: {known}", "invalid_value", f"{name}.role")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_part(part, f"{name}.content[{index}]") for index, part in enumerate(content))
    calls = message.get("tool_calls")
    if not isinstance(content, str) and not (content is None and calls):
        raise ApiError(
            400, f"{name}.content is not a text; give a string, or parts of text", "invalid_value", f"{name}.content"
        )
    said = {"role": message["role"], "content": content or ""}
    if calls is not None:
        if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
            raise ApiError(400, f"{name}.tool_calls is not a list of calls", "invalid_value", f"{name}.tool_calls")
        said["tool_calls"] = calls
    return said | {key: message[key] for key in ("name", "tool_call_id") if isinstance(message.get(key), str)}


def _part(part: Any, name: str) -> str:
    """The text of a content part. What names an image or a file is refused unread: nothing is ever fetched."""
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, Mapping) else part
    raise ApiError(
        400, f"{name} is {str(kind)[:40]!r}, and this model reads text only; send text parts", "invalid_value", name
    )


def _check(body: ChatBody) -> None:
    check_stream(body)
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs goes with logprobs = true only", "invalid_value", "top_logprobs")
    if body.max_tokens == 0 or (body.n or 1) > 128:
        raise ApiError(400, "max_tokens = 0 leaves no answer; ask for 1 or more", "invalid_value", "max_tokens")
    for name in ("chat_template", "chat_template_kwargs"):
        if getattr(body, name) is not None:
            raise ApiError(400, f"{name} is not taken from requests; the model's own is used", "unsupported_parameter", name)


async def _prompt(opened: Opened, messages: list[dict[str, Any]], tools: Tools) -> list[int]:
    tokenizer: Tokenizer = opened.served.tokenizer
    template = tokenizer.chat_template
    if not template:
        message = f"{opened.served.name} has no chat template, as it goes on with texts: use /v1/completions"
        raise ApiError(400, message, "no_chat_template", "messages")
    if "developer" not in template:
        messages = [{**each, "role": "system"} if each["role"] == "developer" else each for each in messages]
    variables: dict[str, Any] = {}
    if tools.told:
        if "tools" in template:
            variables["tools"] = tools.told
        else:
            messages = tools.explain(messages)
    return await encoded(lambda said: tokenizer.encode_chat(said, **variables), messages)


class _Chat:
    """Says it in the endpoint's form."""

    object, chunk_object, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def __init__(self, asked: Asked, body: ChatBody, tools: Tools) -> None:
        self.asked, self.body, self.tools = asked, body, tools
        self.tokenizer: Tokenizer = asked.opened.served.tokenizer
        self.readers = [CallReader(tools) for _ in range(body.n or 1)]

    def choice(self, index: int) -> Choice:
        return Choice(self.tokenizer if self.body.logprobs else None)

    def head(self) -> Iterable[dict[str, Any]]:
        for index in range(len(self.readers)):
            yield self._chunk(index, {"role": "assistant", "content": ""})

    def chunks(self, index: int, choice: Choice, piece: Piece, event: Event) -> Iterable[dict[str, Any]]:
        reader = self.readers[index]
        text, calls = reader.add(piece.text, event.finish is not None)
        if text or (piece.tokens and self.body.logprobs):
            yield self._chunk(index, {"content": text}, piece.tokens)
        for call in calls:
            for part in _parts(call):
                yield self._chunk(index, {"tool_calls": [part]})
        if event.finish is not None:
            yield {**self._chunk(index, {}), "finish_reason": _finish(event.finish, reader)}

    def whole(self, choices: Sequence[Choice]) -> list[dict[str, Any]]:
        found = []
        for index, (choice, reader) in enumerate(zip(choices, self.readers, strict=True)):
            text, calls = reader.add(choice.text, True)
            message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
            if calls:
                message["tool_calls"] = [_whole_call(call) for call in calls]
            said = {"index": index, "message": message, "logprobs": self._log_probs(choice.tokens)}
            found.append(said | {"finish_reason": _finish(choice.finish or "stop", reader)})
        return found

    def _chunk(self, index: int, delta: dict[str, Any], tokens: Sequence[Placed] = ()) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": self._log_probs(tokens), "finish_reason": None}

    def _log_probs(self, tokens: Sequence[Placed]) -> dict[str, Any] | None:
        if not self.body.logprobs:
            return None
        return {"content": [self._scored(placed) for placed in tokens], "refusal": None}

    def _scored(self, placed: Placed) -> dict[str, Any]:
        assert placed.score is not None
        top = [self._named(token, value) for token, value in placed.score.top]
        return {**self._named(placed.token, placed.score.log_prob), "top_logprobs": top}

    def _named(self, token: int, value: float | None) -> dict[str, Any]:
        content = self.tokenizer.token_bytes(token)
        return {"token": token_name(self.tokenizer, token), "logprob": value, "bytes": list(content)}


def _finish(finish: str, reader: CallReader) -> str:
    return "tool_calls" if reader.found and finish == "stop" else finish


def _whole_call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _parts(call: Call) -> Iterable[dict[str, Any]]:
    """A call as a stream tells it: its name first, then its arguments."""
    yield {"index": call.index, **_whole_call(call), "function": {"name": call.name, "arguments": ""}}
    yield {"index": call.index, "function": {"arguments": call.arguments}}

"""POST /v1/completions: texts go on. The legacy endpoint, which evaluations need for its echo and log-probabilities."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from genus.engine.request import Event, Request, TokenScore
from genus.serve.answering import Asked, answer
from genus.serve.errors import ApiError
from genus.serve.prompts import check_stream, prompts_of, room
from genus.serve.schema import CompletionBody, sampling_of
from genus.serve.state import State
from genus.serve.telling import Choice, Piece, Placed, place, token_name
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["completions"]

_MOST = 128  # choices of one request


async def completions(http: HttpRequest, state: State, body: CompletionBody) -> Response:
    """Answer one request."""
    _check(body)
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(state.use(body.model))
        described = opened.engine.described
        prompts = await prompts_of(opened, "" if body.prompt is None else body.prompt)
        best_of = body.best_of or body.n or 1
        if len(prompts) * best_of > _MOST:
            message = f"{len(prompts)} prompts x {best_of} choices are more than {_MOST}; send fewer at once"
            raise ApiError(400, message, "too_many_choices", "prompt")
        sampling = sampling_of(body, described.vocab)
        ranked = best_of > (body.n or 1)
        end = opened.served.tokenizer.end_of_text
        requests = [
            Request(
                prompt=tuple(prompt),
                max_tokens=room(opened, len(prompt), body.max_tokens, state.settings.most_tokens),
                sampling=sampling,
                n=best_of,
                ends=frozenset(() if end is None else (end,)),
                log_probs=body.logprobs if body.logprobs is not None else 0 if ranked else None,
                echo=bool(body.echo and body.logprobs is not None) or body.max_tokens == 0,
                resumed=body.resumed or 0,
                timeout=state.settings.timeout,
            )
            for prompt in prompts
        ]
        usage = bool(body.stream_options and body.stream_options.include_usage)
        asked = Asked(opened=opened, requests=requests, stream=bool(body.stream), usage=usage)
        return await answer(http, state, stack, _Completion(asked, body))
    raise AssertionError  # for mypy: the stack swallows nothing


def _check(body: CompletionBody) -> None:
    check_stream(body)
    best_of, n = body.best_of, body.n or 1
    if best_of is not None and best_of < n:
        raise ApiError(400, f"best_of = {best_of} is less than n = {n}; ask for more", "invalid_value", "best_of")
    if best_of is not None and best_of > n and body.stream:
        raise ApiError(400, "best_of cannot be streamed, as the best is known at the end", "invalid_value", "best_of")
    if body.suffix:
        message = "suffix needs a model with fill-in-the-middle tokens, which this one lacks; leave it out"
        raise ApiError(400, message, "unsupported_parameter", "suffix")
    if body.max_tokens == 0 and not body.echo:
        raise ApiError(400, "max_tokens = 0 goes with echo only; ask for 1 or more", "invalid_value", "max_tokens")
    if body.resumed and not (isinstance(body.prompt, list) and all(isinstance(each, int) for each in body.prompt)):
        raise ApiError(400, "resumed goes with a prompt of token ids", "invalid_value", "resumed")


class _Completion:
    """Says it in the endpoint's form."""

    object = chunk_object = "text_completion"
    prefix = "cmpl"

    def __init__(self, asked: Asked, body: CompletionBody) -> None:
        self.asked, self.body = asked, body
        self.tokenizer: Tokenizer = asked.opened.served.tokenizer
        self.n, self.best_of = body.n or 1, body.best_of or body.n or 1
        given = [body.prompt] if isinstance(body.prompt, str) else body.prompt or []
        texts = [each for each in given if isinstance(each, str)]
        ids = [request.prompt for request in asked.requests]
        self.texts = texts or [self.tokenizer.decode(prompt) for prompt in ids]
        self.told: set[int] = set()  # choices of a stream whose prompt was told
        self.prompts: dict[int, Sequence[TokenScore]] = {}  # number of a prompt -> its scores, which its first choice brings

    def choice(self, index: int) -> Choice:
        told = self.body.logprobs is not None or self.body.return_token_ids
        return Choice(self.tokenizer if told else None, len(self.texts[index // self.best_of]))

    def head(self) -> Iterable[dict[str, Any]]:
        return ()

    def chunks(self, index: int, choice: Choice, piece: Piece, event: Event) -> Iterable[dict[str, Any]]:
        first = index not in self.told
        if not (piece.text or piece.tokens or event.finish or (first and event.tokens)):
            return
        self.told.add(index)
        if event.prompt_scores:
            self.prompts[index // self.best_of] = event.prompt_scores
        yield self._choice(index, piece, event.finish, first)

    def whole(self, choices: Sequence[Choice]) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = []
        for first in range(0, len(choices), self.best_of):
            group = range(first, first + self.best_of)
            best = sorted(group, key=lambda index: -choices[index].mean) if self.best_of > self.n else group
            self.prompts[first // self.best_of] = choices[first].prompt_scores
            for index in list(best)[: self.n]:
                choice = choices[index]
                said = self._choice(index, Piece(choice.text, choice.tokens), choice.finish, True)
                kept.append(said | {"index": len(kept)})
        return kept

    def _choice(self, index: int, piece: Piece, finish: str | None, first: bool) -> dict[str, Any]:
        text, tokens = piece.text, piece.tokens
        number = index // self.best_of
        if first and self.body.echo:
            text, tokens = self.texts[number] + text, place(self.tokenizer, self.prompts.get(number, ())) + tokens
        scored = self.body.logprobs is not None
        said = {
            "index": index,
            "text": text,
            "logprobs": self._log_probs(tokens) if scored else None,
            "finish_reason": finish,
        }
        if self.body.return_token_ids:
            said["token_ids"] = [token.token for token in piece.tokens]
            said |= {"prompt_token_ids": list(self.asked.requests[number].prompt)} if first else {}
        return said

    def _log_probs(self, tokens: Sequence[Placed]) -> dict[str, Any]:
        """Four lists of equal lengths. Of tokens with the same text, the likelier is told."""
        top: list[dict[str, float] | None] = []
        for placed in tokens:
            assert placed.score is not None
            if placed.score.log_prob is None:
                top.append(None)
                continue
            found: dict[str, float] = {}
            for token, value in ((placed.token, placed.score.log_prob), *placed.score.top):
                name = token_name(self.tokenizer, token)
                found[name] = max(value, found.get(name, value))
            top.append(found)
        return {
            "tokens": [token_name(self.tokenizer, placed.token) for placed in tokens],
            "token_logprobs": [placed.score.log_prob if placed.score else None for placed in tokens],
            "top_logprobs": top,
            "text_offset": [placed.start for placed in tokens],
        }

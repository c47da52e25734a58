"""What shows tokens: /tokenize, /detokenize, /tokenizer_info, and /v1/candidates, which says how the next choice stands."""

from typing import Any

from starlette.requests import Request as HttpRequest

from genus.engine.request import Request
from genus.serve.answering import unless_gone
from genus.serve.chat import messages_of
from genus.serve.errors import ApiError
from genus.serve.process import Job
from genus.serve.prompts import encoded, prompts_of
from genus.serve.schema import CandidatesBody, DetokenizeBody, TokenizeBody, sampling_of
from genus.serve.state import State
from genus.serve.telling import token_name

__all__ = ["candidates", "detokenize", "tokenize", "tokenizer_info"]


async def tokenize(state: State, body: TokenizeBody) -> dict[str, Any]:
    """A text or a chat as token ids, and each as text."""
    async with state.use(body.model) as opened:
        tokenizer = opened.served.tokenizer
        if body.messages is not None:
            prompt = body.add_generation_prompt is not False
            ids = await encoded(lambda said: tokenizer.encode_chat(said, prompt), messages_of(body.messages))
        elif body.prompt is not None:
            # special tokens in a text are plain text; but a client that has a name alone asks for its id, as lm-eval does
            ids = await encoded(tokenizer.encode, body.prompt, body.prompt in tokenizer.special_names)
            ids = ids if body.add_special_tokens is False else [*tokenizer.start, *ids]
        else:
            raise ApiError(400, "give a prompt or messages", "invalid_value", "prompt")
        names = [token_name(tokenizer, token) for token in ids]
        return {"count": len(ids), "max_model_len": opened.engine.described.context, "tokens": ids, "token_strs": names}


async def detokenize(state: State, body: DetokenizeBody) -> dict[str, str]:
    """Token ids as text, special tokens by their names."""
    async with state.use(body.model) as opened:
        if body.tokens:
            await prompts_of(opened, body.tokens, "tokens")
        contents = (opened.served.tokenizer.token_bytes(token) for token in body.tokens)
        return {"prompt": b"".join(contents).decode("utf-8", errors="replace")}


def tokenizer_info(state: State, model: str | None) -> dict[str, Any]:
    """What a client needs to know of a model's tokenizer, so that it need not have it."""
    served = state.models.find(model)
    tokenizer = served.tokenizer

    def name(token: int | None) -> str | None:
        return None if token is None else token_name(tokenizer, token)

    return {
        "tokenizer_class": "genus",
        "vocab_size": tokenizer.vocab,
        "eos_token": name(tokenizer.end_of_text),
        "eos_token_id": tokenizer.end_of_text,
        "bos_token": name(tokenizer.start[0] if tokenizer.start else None),
        "bos_token_id": tokenizer.start[0] if tokenizer.start else None,
        "chat_template": tokenizer.chat_template,
        "sha256": tokenizer.sha256,
    }


async def candidates(http: HttpRequest, state: State, body: CandidatesBody) -> dict[str, Any]:
    """How the choice of the token after a prompt stands: raw log-probabilities, and what the sampling makes of them."""
    async with state.use(body.model) as opened:
        prompt = (await prompts_of(opened, body.prompt))[0]
        request = Request(
            prompt=tuple(prompt[-(opened.engine.described.context - 1) :]),
            max_tokens=1,
            sampling=sampling_of(body, opened.engine.described.vocab),
            resumed=min(body.resumed or 0, len(prompt) - 1),
            candidates=body.top or 10,
            timeout=state.settings.timeout,
        )
        http.state.log |= {"model": opened.served.name, "prompt_tokens": len(prompt)}
        async with state.submit(opened.engine, [request]) as jobs:
            found = await unless_gone(http, _found(jobs[0]))
        tokenizer = opened.served.tokenizer
        shown = [
            {
                "token": token,
                "text": token_name(tokenizer, token),
                "bytes": list(tokenizer.token_bytes(token)),
                "logprob": value,
                "probability": drawn,
                "kept": drawn > 0,
            }
            for token, value, drawn in found.likeliest
        ]
        return {"entropy": found.entropy, "kept": found.kept, "candidates": shown}


async def _found(job: Job) -> Any:
    async for event in job:
        if event.error:
            raise ApiError(500, event.error, "generation_failed")
        if event.candidates is not None:
            return event.candidates
    raise ApiError(504, "the request took longer than the server allows", "deadline")

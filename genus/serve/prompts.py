"""What requests have in common: prompts of four forms become token ids that fit the model."""

import asyncio
from typing import Any

from genus.core.errors import GenusError
from genus.serve.errors import ApiError
from genus.serve.schema import Prompt
from genus.serve.state import Opened

__all__ = ["check_stream", "encoded", "prompts_of", "room"]

_MOST_PROMPTS = 2048
_CONTEXT = "this model's maximum context length is"  # OpenAI's words, by which clients know it (litellm, LangChain)
_LONG = 10_000  # characters, from which on the server's loop does not wait for the tokenizer


async def prompts_of(opened: Opened, given: Prompt, field: str = "prompt") -> list[list[int]]:
    """The token ids of each prompt. Raises ApiError naming what is wrong."""
    prompts = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    if not prompts:
        raise ApiError(400, f"{field} is an empty list; give at least one", "invalid_value", field)
    if len(prompts) > _MOST_PROMPTS:
        raise ApiError(400, f"{field} has {len(prompts):,} entries; send at most {_MOST_PROMPTS}", "invalid_value", field)
    found = []
    for index, prompt in enumerate(prompts):
        name = field if prompts[0] is given or len(prompts) == 1 else f"{field}[{index}]"
        ids = await encoded(opened.served.prompt_ids, prompt) if isinstance(prompt, str) else prompt
        assert isinstance(ids, list)
        _check(opened, ids, name)
        found.append(ids)
    return found


async def encoded(encode: Any, text: Any, *more: Any) -> list[int]:
    """`encode(text, *more)`; in a thread where it could take long. Raises ApiError for what cannot be encoded."""
    try:
        if len(text) < _LONG and isinstance(text, str):
            found: list[int] = encode(text, *more)
        else:
            found = await asyncio.to_thread(encode, text, *more)
    except GenusError as error:
        raise ApiError(400, str(error), "invalid_value") from error
    return found


def room(opened: Opened, length: int, wanted: int | None, most: int | None, field: str = "max_tokens") -> int:
    """How many tokens may follow a prompt. Raises ApiError where fewer than are wanted fit."""
    context = opened.engine.described.context
    left = context - length
    if wanted is None:
        wanted = max(1, left if most is None else min(left, most))
    elif most is not None and wanted > most:
        raise ApiError(400, f"{field} = {wanted} is more than this server's {most}; ask for fewer", "invalid_value", field)
    if wanted > left:
        message = f"{_CONTEXT} {context} tokens, and {length} of the prompt and {wanted} to come are more; shorten one"
        raise ApiError(400, message, "context_length_exceeded", field)
    return wanted


def check_stream(body: Any) -> None:
    """Raise ApiError for options of a stream without one."""
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options goes with stream = true only", "invalid_value", "stream_options")


def _check(opened: Opened, ids: list[int], name: str) -> None:
    described = opened.engine.described
    if not ids:
        raise ApiError(400, f"{name} is empty, and this model needs at least one token", "invalid_value", name)
    for index, token in enumerate(ids):
        if not 0 <= token < described.vocab:
            message = f"{name}[{index}] = {token} is not a token id; ids go from 0 to {described.vocab - 1}"
            raise ApiError(400, message, "invalid_value", f"{name}[{index}]")
    if len(ids) > described.context:
        message = f"{name} has {len(ids)} tokens and {_CONTEXT} {described.context}; shorten it"
        raise ApiError(400, message, "context_length_exceeded", name)

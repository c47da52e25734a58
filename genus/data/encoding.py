"""Conversations as token ids, with the exact places of what is to be learned: answers, and the token that ends each.

A text prompt is gone on with as it is, after what the tokenizer starts texts with; turns go through the chat template.
"""

from typing import Any

import numpy as np

from genus.core.errors import GenusError
from genus.data.chats import Chat
from genus.data.examples import Example
from genus.data.turns import Prompt
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["encode_chat", "encode_prompt"]


def encode_prompt(tokenizer: Tokenizer, prompt: Prompt, tools: tuple[Any, ...] = ()) -> list[int]:
    """What a model reads before it answers."""
    if isinstance(prompt, str):
        return [*tokenizer.start, *tokenizer.encode(prompt)]
    return tokenizer.encode_chat(list(prompt), add_generation_prompt=True, tools=list(tools) or None)


def encode_chat(tokenizer: Tokenizer, chat: Chat, last: bool = False) -> Example:
    """A conversation whose answers are learned, or its `last` alone. Raises GenusError with its place where none can be."""
    try:
        return _text(tokenizer, chat.prompt, chat.answer) if isinstance(chat.prompt, str) else _turns(tokenizer, chat, last)
    except GenusError as error:
        raise GenusError(f"{chat.place}: {error}" if chat.place else str(error)) from error


def _text(tokenizer: Tokenizer, prompt: str, answer: str) -> Example:
    if tokenizer.end_of_text is None:
        raise GenusError("this tokenizer has no end of text, so that no answer would end; give it one, or use messages")
    before = encode_prompt(tokenizer, prompt)
    if not before:
        raise GenusError("prompt gives no token; write more")
    tokens = [*before, *tokenizer.encode(answer), tokenizer.end_of_text]
    return Example(np.array(tokens, np.int64), np.arange(len(tokens)) >= len(before))


def _turns(tokenizer: Tokenizer, chat: Chat, last: bool) -> Example:
    messages, tools = [*chat.prompt, {"role": "assistant", "content": chat.answer}], list(chat.tools) or None
    tokens = tokenizer.encode_chat(messages, add_generation_prompt=False, tools=tools)
    learned = np.zeros(len(tokens), np.bool_)
    for number, message in enumerate(messages):
        if message["role"] == "assistant" and (not last or number == len(messages) - 1):
            before = tokenizer.encode_chat(messages[:number], add_generation_prompt=True, tools=tools)
            start = len(before)
            if tokens[:start] != before:
                raise GenusError(
                    f"turn {number + 1}: the chat template writes what comes before it otherwise once it is answered, "
                    "so that no token is surely the answer's; correct the template"
                )
            end = next((place for place in range(start, len(tokens)) if tokens[place] in tokenizer.turn_ends), None)
            if end is None:
                raise GenusError(f"turn {number + 1}: the chat template writes no token that ends it; correct the template")
            learned[start : end + 1] = True
    return Example(np.array(tokens, np.int64), learned)

"""`genus chat`"""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from genus.engine.model import Model
    from genus.engine.sampling import Sampling

__all__ = ["chat"]

Message = dict[str, str]


def chat(
    model: str,
    /,
    *,
    system: str | None = None,
    max_tokens: int = 64,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int | None = None,
    weights: Literal["fp32", "bf16", "int8", "int4"] = "fp32",
) -> None:
    """Talk with a model: each line of yours gets an answer; lines may also come from a pipe. Ctrl-D ends.

    A model without a chat template has learned to go on with a text, not to answer: then each line of yours is added to the
    text, the model goes on from there, and an empty line lets it go on alone.

    ```sh
    genus chat runs/demo/model
    genus chat my-chat-model --system "Answer in one sentence." --max-tokens 200
    echo "What is a GPT?" | genus chat my-chat-model --temperature 0
    ```

    Parameters
    ----------
    model
        The model's folder.
    system
        What the model is told before the first turn; for models with a chat template.
    max_tokens
        Tokens of each of the model's turns at most.
    temperature
        Below 1 sharpens, above 1 flattens; 0 always takes the likeliest token.
    top_p
        Keep the likeliest tokens up to this sum of probability.
    seed
        The same seed and the same lines give the same text.
    weights
        The format in which matrices are read: fewer bytes answer faster, and round. What that costs is measured and said.
    """
    from genus.core.errors import GenusError
    from genus.core.progress import say
    from genus.engine.model import load
    from genus.engine.quality import tell
    from genus.engine.sampling import Sampling
    from genus.tokenizers.template import template_warning

    opened, sampling = load(model, weights), Sampling(temperature=temperature, top_p=top_p, seed=seed)
    if not 1 <= max_tokens < opened.spec.context:
        raise GenusError(f"max_tokens = {max_tokens} leaves no room; choose from 1 to {opened.spec.context - 1}")
    tell(opened, Path(model))
    if warning := template_warning(Path(model), opened.tokenizer):
        say(warning)
    if opened.tokenizer.chat_template:
        _converse(opened, system, max_tokens, sampling)
    elif system is not None:
        raise GenusError(f"{model} has no chat template, so nothing for system to fill; leave it out")
    else:
        _talk(opened, max_tokens, sampling)


def _lines() -> Iterator[str]:
    with contextlib.suppress(EOFError):
        while True:
            yield input("> " if sys.stdin.isatty() else "")


def _show(pieces: Iterable[str]) -> str:
    """Print pieces as they come; give the whole."""
    said = ""
    for piece in pieces:
        print(piece, end="", flush=True)
        said += piece
    print()
    return said


def _talk(model: "Model", max_tokens: int, sampling: "Sampling") -> None:
    text = ""
    for line in _lines():
        text += line
        text += _show(model.stream(_recent(model, text, max_tokens), max_tokens, sampling))


def _converse(model: "Model", system: str | None, max_tokens: int, sampling: "Sampling") -> None:
    told: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    turns: list[Message] = []
    for line in filter(str.strip, _lines()):
        turns.append({"role": "user", "content": line})
        turns = _remembered(model, told, turns, max_tokens)
        said = _show(model.stream_chat(told + turns, max_tokens, sampling))
        turns.append({"role": "assistant", "content": said})


def _remembered(model: "Model", told: list[Message], turns: list[Message], max_tokens: int) -> list[Message]:
    """The latest turns that still fit before `max_tokens` more, from a question on; what is older is said to be forgotten.

    A last question that does not fit alone is kept, and generating names the numbers.
    """
    room, first = model.spec.context - max_tokens, 0
    while first + 2 < len(turns) and len(model.tokenizer.encode_chat(told + turns[first:])) > room:
        first += 2  # a question and its answer: templates want them by turns
    if first:
        print(f"(the first {first} turns no longer fit the context of {model.spec.context})", file=sys.stderr)
    return turns[first:]


def _recent(model: "Model", text: str, max_tokens: int) -> str:
    """The end of the text that still fits before `max_tokens` more; what is older is said to be forgotten."""
    ids, room = model.prompt_ids(text), model.spec.context - max_tokens
    if len(ids) <= room:
        return text
    print(f"(the first {len(ids) - room} tokens no longer fit the context of {model.spec.context})", file=sys.stderr)
    for keep in range(room, 0, -1):  # a text cut between tokens may encode otherwise, and longer
        text = model.tokenizer.decode(ids[-keep:]).lstrip("\ufffd")
        if len(model.prompt_ids(text)) <= room:
            break
    return text

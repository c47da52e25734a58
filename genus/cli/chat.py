"""`genus chat`"""

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genus.engine.model import Model
    from genus.engine.sample import Sampling

__all__ = ["chat"]


def chat(
    model: str, /, *, max_tokens: int = 64, temperature: float = 0.8, top_p: float = 0.95, seed: int | None = None
) -> None:
    """Write a text by turns with a model. A base model has learned to go on with a text, not to answer: each line of yours
    is added to the text, and the model goes on from there. An empty line lets it go on alone; Ctrl-D ends.

    ```sh
    genus chat runs/demo/model
    genus chat runs/demo/model --temperature 0.5
    ```

    Parameters
    ----------
    model
        The model's folder.
    max_tokens
        Tokens of each of the model's turns at most.
    temperature
        Below 1 sharpens, above 1 flattens; 0 always takes the likeliest token.
    top_p
        Keep the likeliest tokens up to this sum of probability.
    seed
        The same seed and the same lines give the same text.
    """
    from genus.core.errors import GenusError
    from genus.engine.model import load
    from genus.engine.sample import Sampling

    opened, sampling = load(model), Sampling(temperature=temperature, top_p=top_p, seed=seed)
    if not 1 <= max_tokens < opened.spec.context:
        raise GenusError(f"max_tokens = {max_tokens} leaves no room; choose from 1 to {opened.spec.context - 1}")
    _talk(opened, max_tokens, sampling)


def _talk(model: "Model", max_tokens: int, sampling: "Sampling") -> None:
    text = ""
    with contextlib.suppress(EOFError):
        while True:
            text += input("> " if sys.stdin.isatty() else "")
            said = ""
            for piece in model.stream(_recent(model, text, max_tokens), max_tokens, sampling):
                print(piece, end="", flush=True)
                said += piece
            print()
            text += said


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

"""`genus generate`"""

import sys
from typing import Annotated

from cyclopts import Parameter

__all__ = ["generate"]


def generate(
    model: str,
    prompt: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    /,
    *,
    max_tokens: int | None = None,
    temperature: float = 0.8,
    top_k: int = 0,
    top_p: Annotated[float, Parameter(help="Keep the likeliest tokens up to this sum of probability.")] = 0.95,
    seed: int | None = None,
) -> None:
    """Continue a text, as it comes.

    ```sh
    genus generate runs/demo/model "We the people"
    genus generate runs/demo/model "We the people" --temperature 0 --max-tokens 40
    echo "My fellow citizens," | genus generate runs/demo/model -
    ```

    Parameters
    ----------
    model
        The model's folder.
    prompt
        The text to continue; - reads it from standard input; none starts a document.
    max_tokens
        Tokens to add at most; unset goes on to the end of the text or of the model's context.
    temperature
        Below 1 sharpens, above 1 flattens; 0 always takes the likeliest token.
    top_k
        Keep this many of the likeliest tokens; 0 keeps all.
    seed
        The same seed gives the same text.
    """
    from genus.engine.model import load
    from genus.engine.sample import Sampling

    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    if prompt == "-":
        prompt = sys.stdin.read().rstrip("\n")
    pieces = load(model).stream(prompt, max_tokens, sampling)
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()

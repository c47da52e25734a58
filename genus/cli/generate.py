"""`genus generate`"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from genus.engine.grammar import Grammar
from genus.engine.sampling import Sampling

if TYPE_CHECKING:
    from genus.engine.model import Model

__all__ = ["generate"]


@dataclass(frozen=True, kw_only=True)
class _Flags(Sampling):
    """Sampling at which most models write well; what names token ids is for Python."""

    temperature: float = 0.8
    top_p: float = 0.95
    logit_bias: Annotated[Mapping[int, float], Parameter(parse=False)] = field(default_factory=dict, hash=False)
    allowed: Annotated[tuple[int, ...] | None, Parameter(parse=False)] = None
    grammar: Annotated[Grammar | None, Parameter(parse=False)] = None


_USUAL = _Flags()


def generate(
    model: str,
    prompt: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    /,
    *,
    max_tokens: int | None = None,
    titles: str | None = None,
    weights: Literal["fp32", "bf16", "int8", "int4"] = "fp32",
    sampling: Annotated[_Flags, Parameter(name="*")] = _USUAL,
) -> None:
    """Continue a text, as it comes.

    ```sh
    genus generate runs/demo/model "We the people"
    genus generate runs/demo/model "We the people" --temperature 0 --max-tokens 40
    genus generate runs/demo/model "We the people" --min-p 0.05 --repetition-penalty 1.1 --stop "." --seed 1
    genus generate runs/demo/model "We the people" --weights int8
    genus generate my-galactica "Attention is enough " --titles my-papers
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
    titles
        An index of passages: references that the model writes, [START_REF] Title[END_REF], are looked up among its titles.
    weights
        The format in which matrices are read: fewer bytes generate faster, and round. What that costs is measured and said.
    """
    from genus.cli.input import read_input
    from genus.engine.model import load
    from genus.engine.quality import tell

    if prompt == "-":
        prompt = read_input().rstrip("\n")
    opened = load(model, weights)
    tell(opened, Path(model))
    if titles is not None:
        _with_references(opened, prompt, titles, max_tokens, sampling)
        return
    pieces = opened.stream(prompt, max_tokens, sampling)
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def _with_references(model: "Model", prompt: str, titles: str, max_tokens: int | None, sampling: Sampling) -> None:
    """The text whole, and below it what it refers to."""
    from genus.retrieve.opening import open_corpus
    from genus.retrieve.passage import in_one_line
    from genus.retrieve.references import Titles, write

    chosen = {each.name: getattr(sampling, each.name) for each in fields(sampling)}
    text, references = write(model, prompt, Titles.of(open_corpus(titles)), max_tokens, **chosen)
    print(prompt + text)
    for reference in references:
        like = f" (the index has: {in_one_line(reference.match)})" if reference.verdict == "near" else ""
        print(f"{reference.verdict:8} {in_one_line(reference.title)}{like}")

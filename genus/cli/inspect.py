"""`genus inspect`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from genus.train.inspect import Subject

__all__ = ["inspect"]

_STYLES = {(True, 0): "black on green", (True, 1): "black on bright_green", (False, 0): "", (False, 1): "underline"}


def inspect(
    data: Path,
    /,
    *,
    model: Path | None = None,
    example: int = 1,
    context: int = 0,
    split: Literal["train", "validation"] = "train",
    template: Path | None = None,
) -> None:
    """Show an example token by token as training will see it: what is learned is green, or in a pipe between « and ».

    Before it, the chat template; after it, the numbers of the whole file.

    ```sh
    genus inspect chats.jsonl --model runs/demo/model --example 3
    genus inspect recipes/palms/2-sft.toml
    genus inspect runs/demo/shards --example 7 --context 256
    ```

    Parameters
    ----------
    data
        A file of conversations or comparisons, a recipe that names one, or a folder of shards.
    model
        The model's folder, for a file.
    example
        Which one, from 1. Of comparisons each answer counts; of shards, each row.
    context
        Tokens that fit; by default the model's context, and 256 for shards.
    split
        Of shards.
    template
        A chat template in place of the model's.
    """
    from genus.core.errors import GenusError
    from genus.train.inspect import inspect_file, inspect_shards

    if data.suffix == ".toml":
        from genus.cli.doctor import stage_recipe
        from genus.evaluate.doctor import FILES

        stage, recipe = stage_recipe(data)
        if stage not in FILES:
            raise GenusError(f"{data} is for {stage}; name a recipe of {', '.join(FILES)}, or a file and --model")
        data, model = Path(getattr(recipe, FILES[stage].field)[0]), recipe.model
        template = getattr(recipe, "template", None)
        context = context or recipe.max_tokens
    if data.is_dir():
        _show(inspect_shards(data, split, example, context or 256), 1)
        return
    if model is None:
        raise GenusError(f"--model is missing; name the model that is to read {data}")
    subject = inspect_file(data, model, template, context)
    if not 1 <= example <= len(subject.shown):
        raise GenusError(f"--example {example} is not there; {data} has 1 to {len(subject.shown)}")
    if subject.tokenizer.chat_template:
        print(f"chat template, SHA-256 {subject.tokenizer.template_sha256[:12]}:\n{subject.tokenizer.chat_template}\n")
    _show(subject, example)


def _show(subject: "Subject", example: int) -> None:
    from genus.train.inspect import counts, pieces, totals

    shown = subject.shown[example - 1]
    print(f"{shown.place}: {counts(subject.tokenizer, shown)}\n")
    found = pieces(subject.tokenizer, shown)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        text = Text()
        for place, (piece, learned, special) in enumerate(found):
            text.append(piece, " ".join(filter(None, (_STYLES[learned, place % 2], "bold" if special else ""))))
        Console().print(text)
    else:
        print(_plain(found))
    print(f"\nall: {totals(subject)}")


def _plain(found: list[tuple[str, bool, bool]]) -> str:
    """Tokens between ·, and runs of learned ones between « and »."""
    line, inside = "", False
    for piece, learned, _ in found:
        line += {(False, True): "«", (True, False): "»"}.get((inside, learned), "·" if line else "") + piece
        inside = learned
    return line + ("»" if inside else "")

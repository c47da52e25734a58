"""`genus report` and `genus report note`"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.evaluate.recipe import Report

__all__ = ["note", "report"]

_Folders = Annotated[tuple[Path, ...], Parameter(consume_multiple=True)]


@dataclass(frozen=True, kw_only=True)
class _Flags(Report):
    """Of folders several may follow a flag."""

    evaluations: _Folders = ()
    sizes: _Folders = ()


def report(recipe: Path | None = None, /, *, config: Annotated[_Flags, Parameter(name="*")]) -> None:
    """Write one self-contained page about a run: text, tokenizer, loss curve, samples, scores, recipe, machine; and fill in
    the model cards of the run's model and of those tuned from it (docs/model-card.md).

    ```sh
    genus report --run runs/demo --out runs/demo/report.html
    genus report --sizes runs/small-tasks runs/large-tasks --out sizes.html
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    from genus.evaluate.report import report as write

    write(config)


def note(run: Path, text: Annotated[str, Parameter(allow_leading_hyphen=True)], /) -> None:
    """Add a dated line of your own to the logbook of a run, running or not.

    ```sh
    genus report note runs/demo "lowered the rate: the loss rose three times"
    ```

    Parameters
    ----------
    run
        Folder of the run, with logbook.md in it.
    text
        What a reader should know.
    """
    from genus.train.logbook import note as add

    add(run, text)

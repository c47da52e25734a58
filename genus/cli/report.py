"""`genus report`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.evaluate.recipe import Report

__all__ = ["report"]


def report(recipe: Path | None = None, /, *, config: Annotated[Report, Parameter(name="*")]) -> None:
    """Write one self-contained page about a run: text, tokenizer, loss curve, samples, scores, recipe, machine.

    ```sh
    genus report --run runs/demo --out runs/demo/report.html
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    from genus.evaluate.report import report as write

    write(config)

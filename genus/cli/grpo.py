"""`genus grpo`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.align.recipe import Grpo

__all__ = ["grpo"]


def grpo(recipe: Path | None = None, /, *, config: Annotated[Grpo, Parameter(name="*")], restart: bool = False) -> None:
    """Let a model answer sums, several times each, and learn from those that are right.

    Killed at any moment, the same command goes on where it stopped.

    ```sh
    genus grpo --model runs/sums/model --kinds add1 --kinds subtract1 --out runs/grpo
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    restart
        Discard the run that the folder holds.
    """
    from genus.align.grpo import train_grpo

    train_grpo(config, restart)

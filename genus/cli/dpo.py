"""`genus dpo`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.align.recipe import Dpo

__all__ = ["dpo"]


def dpo(recipe: Path | None = None, /, *, config: Annotated[Dpo, Parameter(name="*")], restart: bool = False) -> None:
    """Learn from comparisons directly, without a reward model.

    Killed at any moment, the same command goes on where it stopped.

    ```sh
    genus dpo --model runs/sft/model --comparisons feedback.db --out runs/dpo
    genus dpo --model runs/sft/model --comparisons pairs.jsonl --beta 0.1 --lora.rank 8 --out runs/dpo
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    restart
        Discard the run that the folder holds.
    """
    from genus.align.dpo import train_dpo

    train_dpo(config, restart)

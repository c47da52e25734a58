"""`genus reward`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.align.recipe import Reward

__all__ = ["reward"]


def reward(recipe: Path | None = None, /, *, config: Annotated[Reward, Parameter(name="*")], restart: bool = False) -> None:
    """Learn what people prefer, from their rankings of answers;
    gate.json says how far it can be trusted.

    Killed at any moment, the same command goes on where it stopped.

    ```sh
    genus reward --model runs/sft/model --comparisons feedback.db --out runs/reward
    genus reward --model runs/sft/model --comparisons pairs.jsonl --epochs 1 --lora.rank 8 --out runs/reward
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    restart
        Discard the run that the folder holds.
    """
    from genus.align.reward import train_reward

    train_reward(config, restart)

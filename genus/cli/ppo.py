"""`genus ppo`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.align.recipe import Ppo

__all__ = ["ppo"]


def ppo(recipe: Path | None = None, /, *, config: Annotated[Ppo, Parameter(name="*")], restart: bool = False) -> None:
    """Let a model answer prompts and learn to please a reward model,
    without leaving where it began far.

    Killed at any moment, the same command goes on where it stopped.

    ```sh
    genus ppo --model runs/sft/model --reward runs/reward/model --prompts prompts.jsonl --out runs/ppo
    genus ppo --model runs/sft/model --reward runs/reward/model --prompts prompts.jsonl --ptx runs/demo/shards --out runs/ppo
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    restart
        Discard the run that the folder holds.
    """
    from genus.align.ppo import train_ppo

    train_ppo(config, restart)

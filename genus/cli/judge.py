"""`genus judge`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.align.recipe import Judge

__all__ = ["judge"]


def judge(recipe: Path | None = None, /, *, config: Annotated[Judge, Parameter(name="*")]) -> None:
    """Let a program rank the answers of a model, or compare the answers of several: for trying alignment out before people
    have ranked anything.

    ```sh
    genus judge --models runs/sft/model --prompts runs/demo/instructions/train.jsonl --out comparisons.jsonl
    genus judge --models runs/sft/model --models runs/ppo/model --prompts held_out.jsonl --out wins.json
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    from genus.align.judge import judge as run

    run(config)

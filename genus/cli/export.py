"""`genus export`"""

from pathlib import Path
from typing import Any

from genus.cli.main import bind_stage
from genus.core.errors import GenusError
from genus.core.recipe import read_recipe

__all__ = ["export", "recipe_of"]


def export(run: Path, /, *, step: int | None = None, out: Path | None = None) -> None:
    """Write a checkpoint of a run as a model folder, with tokenizer and card; however many processes the run had.

    ```sh
    genus export runs/demo
    genus export runs/demo --step 1200 --out models/early
    ```

    Parameters
    ----------
    run
        Folder of the run, with recipe.toml and checkpoints in it.
    step
        Of which step; by default the newest.
    out
        The folder to write; by default model-step-N in the run's folder.
    """
    from genus.train.export import export as write

    write(recipe_of(run), step, out)


def recipe_of(run: Path) -> Any:
    """The resolved recipe of a run, wherever its folder lies now."""
    recipe = run / "recipe.toml"
    if not recipe.is_file():
        raise GenusError(f"{run} holds no run (it has no recipe.toml); name the folder that genus pretrain wrote into")
    values = {**read_recipe(recipe), "out": str(run)}
    return bind_stage("pretrain", values, str(recipe))[1]

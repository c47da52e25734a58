"""`genus doctor`"""

from pathlib import Path
from typing import Any, Literal

__all__ = ["doctor", "stage_recipe"]


def doctor(recipe: Path, /, *, stage: Literal["sft", "reward", "dpo", "ppo", "grpo", "auto"] = "auto") -> None:
    """Check a recipe before it costs anything: data, template, tokens, and the arithmetic of the model it starts from.

    One line a check: ok, warning or error, and what to do. The exit code is 1 where there are errors.

    ```sh
    genus doctor recipes/palms/2-sft.toml
    genus doctor recipes/demo/11-ppo.toml
    ```

    Parameters
    ----------
    recipe
        A recipe, such as sft.toml.
    stage
        The stage that it is for; by default its name says so.
    """
    from genus.core.errors import GenusError
    from genus.evaluate.doctor import examine

    name, config = stage_recipe(recipe, None if stage == "auto" else stage)
    errors = 0
    for finding in examine(name, config):
        print(f"{finding.level:<8}{finding.check}: {finding.text}", flush=True)
        errors += finding.level == "error"
    if errors:
        raise GenusError(f"{recipe}: {errors} error{'s' if errors > 1 else ''}; correct what is named above before training")


def stage_recipe(path: Path, stage: str | None = None) -> tuple[str, Any]:
    """The stage that a recipe file is for, by its name where none is given, and the recipe."""
    from genus.cli.main import STAGES, bind_stage
    from genus.core.errors import GenusError
    from genus.core.recipe import read_recipe

    name = stage or path.stem.rpartition("-")[2]
    if name not in STAGES:
        raise GenusError(f"{path} does not say by its name which stage it is for; call it sft.toml or 1-sft.toml")
    return name, bind_stage(name, read_recipe(path), str(path))[1]

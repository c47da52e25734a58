"""`genus shards`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.data.shards import ShardsRecipe, make_shards

__all__ = ["shards"]


def shards(recipe: Path | None = None, /, *, config: Annotated[ShardsRecipe, Parameter(name="*")]) -> None:
    """Tokenise a corpus into memory-mapped shards, with a manifest and SHA-256 of every file.

    ```sh
    genus shards recipes/demo/3-shards.toml
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    make_shards(config)

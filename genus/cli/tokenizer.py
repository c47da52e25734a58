"""`genus tokenizer`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.data.vocabulary import TokenizerRecipe, make_tokenizer

__all__ = ["tokenizer"]


def tokenizer(recipe: Path | None = None, /, *, config: Annotated[TokenizerRecipe, Parameter(name="*")]) -> None:
    """Learn a vocabulary from a corpus's training split: byte-level BPE as in GPT-2, or another kind of the lineage.

    ```sh
    genus tokenizer recipes/demo/2-tokenizer.toml --vocab 4096
    genus tokenizer --corpus runs/demo/corpus --out runs/llama/tokenizer --kind llama --vocab 4096
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    make_tokenizer(config)

"""`genus instruct`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.data.instructions import Instruct, make_instructions

__all__ = ["instruct"]


def instruct(recipe: Path | None = None, /, *, config: Annotated[Instruct, Parameter(name="*")]) -> None:
    """Make instructions, with answers, of a corpus's own sentences and what is known of them.

    ```sh
    genus instruct --corpus runs/demo/corpus --out runs/demo/instructions
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    make_instructions(config)

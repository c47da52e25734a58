"""`genus evaluate`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.evaluate.recipe import Evaluate

__all__ = ["evaluate"]


def evaluate(recipe: Path | None = None, /, *, config: Annotated[Evaluate, Parameter(name="*")]) -> None:
    """Measure bits per byte and perplexity on held-out text, beside a byte 5-gram model and xz on the same text.

    ```sh
    genus evaluate --model runs/demo/model --corpus runs/demo/corpus --out evaluation.json
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    from genus.evaluate.perplexity import evaluate as run

    run(config)

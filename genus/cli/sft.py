"""`genus sft`"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genus.train.sft_recipe import Sft

if TYPE_CHECKING:
    from genus.data.chats import Chat
    from genus.train.tuning import Opened

__all__ = ["sft"]

_SAMPLE_TOKENS = 80


def sft(recipe: Path | None = None, /, *, config: Annotated[Sft, Parameter(name="*")], restart: bool = False) -> None:
    """Tune a model on conversations, on the answers alone. Killed at any moment, the same command goes on.

    ```sh
    genus sft --model runs/demo/model --train chats.jsonl --held-out-share 0.1 --out runs/chat
    genus sft --model runs/demo/model --train values.jsonl --lora.rank 8 --optim.lr 1e-4 --out runs/values
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    restart
        Discard the run that the folder holds.
    """
    from genus.train.sft import sft as run

    run(config, _sample, restart)


def _sample(opened: "Opened", chat: "Chat") -> str:
    """An answer to a chat's prompt, the likeliest, so that samples of one run compare."""
    from genus.data.encoding import encode_prompt
    from genus.engine.model import Model

    model = Model(opened.network, opened.family, opened.tokenizer)
    ids = encode_prompt(opened.tokenizer, chat.prompt, chat.tools)[: model.spec.context - 1]
    room = min(_SAMPLE_TOKENS, model.spec.context - len(ids))
    said = model.generate(ids, room, temperature=0, ignore_eos=True, return_tokens=True)
    opened.network.train()
    ends = [place for place, token in enumerate(said) if token in opened.tokenizer.turn_ends]
    return opened.tokenizer.decode(said[: ends[0]] if ends else said)  # type: ignore[arg-type]

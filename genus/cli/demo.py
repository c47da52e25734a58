"""`genus demo`: recipes/demo on the packaged text, or on the user's own, sized to it."""

import math
import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from genus.cli.run import Changes, merge, parse_changes, run_stages
from genus.core.progress import duration, say

__all__ = ["demo", "sized"]

_TOKENS = 1_400_000  # of recipes/demo/4-pretrain.toml
_ALIGNS = ("instruct", "sft", "judge", "reward", "dpo", "ppo")
_PASSES = 8  # beyond that a small text is only learned by heart


def demo(
    *,
    text: Path | None = None,
    out: Path = Path("runs/demo"),
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    restart: bool = False,
) -> None:
    """Make a GPT from real text, and teach it to answer: under ten minutes on two cores, no network, no account.

    Corpus, tokenizer, shards, training, evaluation; then instructions, SFT, a reward model, DPO, PPO, who wins; a report.
    Killed at any moment, the same command goes on where it stopped. A text of your own that no instructions can be made of,
    or too few, gives the model without the answers.

    ```sh
    genus demo
    genus demo --text my-texts --out runs/mine
    genus demo --text my-texts --out runs/mine --set pretrain.tokens=10000000
    ```

    Parameters
    ----------
    text
        Your own text: a file or a folder of .txt, .md and .jsonl files. Unset takes the messages of US presidents.
    out
        The folder to make.
    set_
        STAGE.FIELD=VALUE, a change to one recipe; may be repeated.
    restart
        Make everything again.
    """
    began = time.monotonic()
    changes = parse_changes(set_ or [])
    if text is not None:
        for stage, values in sized(text).items():
            changes[stage] = merge(values, changes.get(stage, {}))
    run_stages(_recipes(), out, changes, restart, optional=() if text is None else _ALIGNS)
    say(f"done in {duration(time.monotonic() - began)}")
    print(f"model   {out / 'model'}")
    if (answers := out / "align/dpo/model").is_dir():
        print(f"answers {answers}")
    print(f"report  {out / 'report.html'}\nnext    genus generate {out / 'model'} {_prompt(text)}")


def sized(text: Path) -> Changes:
    """What changes of the recipes for a text of that size: a vocabulary it can fill, a model it can teach, and as many
    tokens as fit the demo's time, read at most _PASSES times over."""
    size = sum(path.stat().st_size for path in ([text] if text.is_file() else text.rglob("*")) if path.is_file())
    vocab = min(4096, max(320, 2 ** round(math.log2(max(size, 1) / 1000))))
    train = size / (2 + math.log2(vocab / 256) / 2)  # tokens, from how such vocabularies came out
    tokens = round(min(_TOKENS, _PASSES * train))
    small = train < 200_000
    model: dict[str, Any] = {"dropout": 0.1 if tokens > 2 * train else 0.0}
    if small:
        model |= {"width": 96, "depth": 3, "heads": 3, "context": 128 if train > 20_000 else 32}
    return {
        "corpus": {"source": str(text)},
        "tokenizer": {"vocab": vocab},
        "pretrain": {"tokens": tokens, "schedule": {"warmup_tokens": tokens // 20}, "model": model},
    }


def _recipes() -> Path:
    """recipes/demo, in the package where it is installed, beside it in a clone."""
    packaged = Path(str(files("genus"))) / "recipes" / "demo"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "recipes" / "demo"


def _prompt(text: Path | None) -> str:
    return '"We the people"' if text is None else ""

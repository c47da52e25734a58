"""What a user chooses of supervised fine-tuning. Light: `genus sft --help` reads this without PyTorch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError
from genus.data.records import Wrong
from genus.train.tune_recipe import Tuning

__all__ = ["Sft"]


@dataclass(frozen=True, kw_only=True)
class Sft(Tuning):
    """Tune a model on conversations, on the answers alone."""

    train: tuple[Path, ...]
    """Files of conversations: .jsonl or .json, messages, ShareGPT, Alpaca, hh-rlhf, or prompt and answer."""
    held_out: tuple[Path, ...] = ()
    """Files of conversations to measure the loss on."""
    held_out_share: float = 0.0
    """Share of the training files' prompts to hold out, where no files are."""
    template: Path | None = None
    """A chat template in Jinja in place of the model's; a model that has none gets ChatML."""
    packing: bool = True
    """Put several short conversations into a row, none of which sees another: faster, and the same update."""
    too_long: Literal["refuse", "cut", "skip"] = "refuse"
    """What a conversation of more than max_tokens leads to; cut loses its end."""
    wrong: Wrong = "refuse"
    """What a record that cannot be used leads to."""
    epochs: int = 3
    """Times to go over the examples; InstructGPT: 16."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.train:
            raise GenusError("train names no file; give one with conversations")
        if not 0 <= self.held_out_share < 1:
            raise GenusError(f"held_out_share = {self.held_out_share} must be from 0 to below 1; correct the recipe")
        if self.held_out and self.held_out_share:
            raise GenusError("held_out and held_out_share both say what is held out; leave one out")

"""What a user says of a run to be planned. Light: `genus plan --help` reads this without loading PyTorch."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError

__all__ = ["Checkpointing", "Plan", "Tables"]

Checkpointing = Literal["none", "full"]
Tables = Literal["whole", "split"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run to be planned: on what, how much, and what is decided already."""

    machine: str | None = None
    """a100-80gb, h100, tpu-v4, ..., a name in --machines, or this, which is the default and is measured."""
    count: int | None = None
    """Devices; unset is 1, or the published run's."""
    machines: Path | None = None
    """A TOML file of devices of your own, in the form of genus/plan/devices.toml."""
    vocab: int | None = None
    """Tokens in the vocabulary, where the recipe's shards are not here yet."""
    tokens: int | None = None
    """Tokens to train on; unset takes the recipe's."""
    batch: int | None = None
    """Rows of a step; unset takes the recipe's."""
    context: int | None = None
    """Tokens of a row; unset takes the model's."""
    tensor: int | None = None
    """Devices that split each matrix product; this and the next four are searched where unset."""
    shard: int | None = None
    """Devices among which weights, gradients and moments are cut up."""
    replicate: int | None = None
    """Copies of that whole."""
    micro_batch: int | None = None
    """Rows that a device computes at once."""
    checkpointing: Checkpointing | None = None
    """Whether blocks are computed again in the backward (full) or kept (none)."""
    tables: Tables = "whole"
    """Tables of tokens and the head: gathered whole, as Genus does, or split by the vocabulary among tensor devices, as
    Megatron and PaLM did."""
    utilisation: float = 0.4
    """Share of the dense peak that the run will reach, what is computed twice not counted: an assumption. Published: GPT-3
    0.21, OPT-175B 0.35, PaLM 0.46."""
    watts: float | None = None
    """What a device draws on average; unset takes the most that it may draw."""
    pue: float | None = None
    """Power of the building for each watt of the devices; unset is 1.1, or the published run's."""
    grid: float | None = None
    """Grams of CO2 for a kWh; unset tells no CO2, or takes the published run's."""
    price: float | None = None
    """Of a device's hour; unset tells no cost."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 < value < float("inf") and not (field.name == "grid" and value == 0):
                raise GenusError(f"--{field.name.replace('_', '-')} {value} should be above 0; correct it")
        if self.utilisation > 1:
            raise GenusError(f"--utilisation {self.utilisation} should be a share of at most 1, such as 0.4")

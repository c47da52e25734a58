"""What a user chooses of a training run. Light: `genus pretrain --help` reads this without loading PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError
from genus.parallel.recipe import Parallel

__all__ = ["Every", "ModelRecipe", "Optim", "Precision", "Pretrain", "Schedule", "Switch"]

Precision = Literal["auto", "fp32", "bf16"]
Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class Optim:
    """AdamW (arXiv 1711.05101)."""

    lr: float = 1e-3
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the first and second moments, as GPT-3."""
    eps: float = 1e-8
    """Added to the root of the second moment."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices; gains and biases are left alone."""
    clip: float = 1.0
    """Largest norm of the gradient of a step; 0 turns clipping off."""

    def __post_init__(self) -> None:
        if not (0 < self.lr < 1e3 and self.eps > 0 and self.weight_decay >= 0 and self.clip >= 0):  # NaN fails too
            raise GenusError("optim: lr and eps must be above 0, weight_decay and clip at least 0; correct the recipe")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise GenusError(f"optim.betas = {self.betas} must lie from 0 to below 1; (0.9, 0.95) is usual")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over the tokens of a run."""

    warmup_tokens: int = 100_000
    """Tokens over which the learning rate rises from 0 to its peak."""
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    """The way from the peak to the end of the run."""
    final: float = 0.1
    """Learning rate at the end, as a share of the peak."""

    def __post_init__(self) -> None:
        if self.warmup_tokens < 0 or not 0 <= self.final <= 1:
            raise GenusError("schedule: warmup_tokens must be at least 0 and final from 0 to 1; correct the recipe")


@dataclass(frozen=True, kw_only=True)
class Every:
    """How often to look up from training, in steps; 0 is never."""

    validate: int = 100
    """Steps between losses on held-out text."""
    sample: int = 200
    """Steps between sample texts."""
    checkpoint: int = 100
    """Steps between checkpoints."""
    keep: int = 2
    """Checkpoints kept."""

    def __post_init__(self) -> None:
        if min(self.validate, self.sample, self.checkpoint) < 0 or self.keep < 1:
            raise GenusError("every: intervals must be at least 0 and keep at least 1; correct the recipe")


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """The model to make."""

    family: str = "gpt2"
    """Architecture; `genus models` lists them."""
    context: int = 256
    """Tokens that the model sees at once."""
    width: int = 192
    """Size of the residual stream."""
    depth: int = 6
    """Number of blocks."""
    heads: int = 6
    """Attention heads; they must divide the width."""
    kv_heads: int | None = None
    """Heads of keys and values, where fewer than heads."""
    hidden: int | None = None
    """Size of the MLP's middle, or of each expert's; unset takes the family's usual."""
    window: int | None = None
    """Keys that a banded layer sees (gpt3, gpt_neo, gpt_oss); unset takes the family's usual."""
    stride: int | None = None
    """gpt3: strided layers in place of dense ones, as the Sparse Transformer."""
    experts: int | None = None
    """gpt_oss: experts in each block; unset is 8."""
    per_token: int | None = None
    """gpt_oss: experts that a token meets; unset is 2."""
    dropout: float = 0.0
    """Share of activations dropped while training; helps when the text is read many times."""


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Train a model from random weights on shards."""

    shards: Path
    """Folder of shards to train on."""
    out: Path
    """Folder of the run: checkpoints, metrics, and the model in model/."""
    model: ModelRecipe = field(default_factory=ModelRecipe)
    tokens: int = 0
    """Tokens to train on; 0 reads the shards once."""
    batch: int = 16
    """Rows of a step."""
    micro_batch: int = 8
    """Rows computed at once; fewer need less memory and give the same update."""
    mask_documents: bool = False
    """Keep tokens from seeing the document before theirs in a row."""
    optim: Optim = field(default_factory=Optim)
    schedule: Schedule = field(default_factory=Schedule)
    seed: int = 0
    """Draws the weights and the order of the text."""
    precision: Precision = "auto"
    """Number format of the computation; auto takes bf16 where the machine is faster with it."""
    compile: Switch = "auto"
    """Compile the step; auto does where it pays."""
    every: Every = field(default_factory=Every)
    parallel: Parallel = field(default_factory=Parallel)

    def __post_init__(self) -> None:
        if self.batch < 1 or self.micro_batch < 1 or self.tokens < 0:
            raise GenusError("batch and micro_batch must be at least 1 and tokens at least 0; correct the recipe")
        if self.batch % min(self.batch, self.micro_batch):
            raise GenusError(f"micro_batch = {self.micro_batch} does not divide batch = {self.batch}; choose a divisor")

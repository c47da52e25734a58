"""What a user chooses of a training run. Light: `genus pretrain --help` reads this without loading PyTorch."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError

__all__ = ["Energy", "Every", "ModelRecipe", "Optim", "Precision", "Pretrain", "Recovery", "Schedule", "Switch"]

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
class Recovery:
    """What a spike in the loss or the gradient norm leads to. It may be changed when a run goes on.

    The update of a spike is always left out, but for "none"; that of a loss or gradient that is not finite, always.
    """

    spike: Literal["skip", "rollback", "lower", "none"] = "skip"
    """skip leaves the update out; rollback goes back, and on with later batches (PaLM); lower, with a lower rate (OPT)."""
    sigmas: float = 6.0
    """A spike is more standard deviations above the mean of the last 128 steps than this."""
    back: int = 100
    """Steps to go back, at least, to the newest checkpoint; PaLM went back about 100."""
    ahead: int = 100
    """Batches after the spike that a rollback leaves out too; PaLM left out 200 to 500 in all."""
    factor: float = 0.5
    """What lower multiplies the learning rate by."""
    tries: int = 20
    """Times to go back before the run stops."""

    def __post_init__(self) -> None:
        if not (self.sigmas > 0 and 0 < self.factor < 1):  # NaN fails too
            raise GenusError("recovery: sigmas must be above 0 and factor between 0 and 1; correct the recipe")
        if min(self.back, self.tries) < 1 or self.ahead < 0:
            raise GenusError("recovery: back and tries must be at least 1 and ahead at least 0; correct the recipe")

    @property
    def limit(self) -> float:
        """Standard deviations above which a step is a spike."""
        return math.inf if self.spike == "none" else self.sigmas

    @property
    def goes_back(self) -> bool:
        """Whether a spike is left by going back to a checkpoint."""
        return self.spike in ("rollback", "lower")


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Counting the electricity of a run, by codecarbon (pip install 'genus[energy]'), without a network."""

    count: Switch = "auto"
    """auto counts where codecarbon is installed."""
    country: str | None = None
    """Where it runs, three letters such as FRA: gives CO2 by codecarbon's table of grids."""
    grid: float | None = None
    """Grams of CO2e for each kWh of your grid, in place of a country's."""

    def __post_init__(self) -> None:
        if self.country is not None and not (len(self.country) == 3 and self.country.isalpha() and self.country.isupper()):
            raise GenusError(f"energy.country = {self.country} is not three capital letters such as FRA; correct it")
        if self.grid is not None and not 0 <= self.grid < 1e5:
            raise GenusError(f"energy.grid = {self.grid} is no number of grams of CO2e for each kWh; correct it")


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
    recovery: Recovery = field(default_factory=Recovery)
    energy: Energy = field(default_factory=Energy)
    tensorboard: Switch = "auto"
    """Curves for TensorBoard in tensorboard/, beside metrics.jsonl; auto writes them where it is installed."""

    def __post_init__(self) -> None:
        if self.recovery.goes_back and self.recovery.back > (self.every.keep - 1) * self.every.checkpoint:
            raise GenusError(
                f"recovery.back = {self.recovery.back} steps is further than the checkpoints that are kept reach "
                f"({self.every.keep - 1} x {self.every.checkpoint} steps); raise every.keep, or lower recovery.back"
            )
        if self.batch < 1 or self.micro_batch < 1 or self.tokens < 0:
            raise GenusError("batch and micro_batch must be at least 1 and tokens at least 0; correct the recipe")
        if self.batch % min(self.batch, self.micro_batch):
            raise GenusError(f"micro_batch = {self.micro_batch} does not divide batch = {self.batch}; choose a divisor")

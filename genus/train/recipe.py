"""What a user chooses of a training run. Light: `genus pretrain --help` reads this without loading PyTorch."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError
from genus.data.mixture import Mix
from genus.parallel.recipe import Parallel

__all__ = ["Energy", "Every", "ModelRecipe", "Optim", "Precision", "Pretrain", "Ramp", "Recovery", "Schedule", "Switch"]

Precision = Literal["auto", "fp32", "bf16"]
Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class Optim:
    """AdamW (arXiv 1711.05101), Muon, or what PaLM was trained with."""

    kind: Literal["adamw", "muon", "adafactor"] = "adamw"
    """muon moves the matrices of the blocks evenly in all directions and takes adamw for the rest; adafactor is PaLM's,
    without factors: each step is relative to the size of the weights."""
    lr: float = 1e-3
    """Peak learning rate; of adafactor relative to the root mean square of each tensor."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the first and second moments, as GPT-3; adafactor takes the first, its second is 1 - step^-0.8."""
    eps: float = 1e-8
    """Added to the root of the second moment; not of adafactor."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices, times the learning rate (adafactor: its square); gains and biases are left alone."""
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
    decay: Literal["cosine", "linear", "constant", "inverse_sqrt"] = "cosine"
    """The way from the peak to the end. inverse_sqrt is at its peak for warmup_tokens, then falls as 1 / sqrt(step)."""
    final: float = 0.1
    """Learning rate at the end, as a share of the peak; of cosine and linear."""
    hold: float = 0.0
    """Share of the way to stay at the peak before falling; linear with 0.8 is the trapezoid (warm up, stay, decay)."""
    decay_tokens: int = 0
    """Tokens, from the run's first, at which the decay ends and the rate stays; 0 is the run's end."""

    def __post_init__(self) -> None:
        if self.warmup_tokens < 0 or not 0 <= self.final <= 1 or not 0 <= self.hold <= 1:
            raise GenusError("schedule: warmup_tokens must be at least 0, final and hold from 0 to 1; correct the recipe")
        if (self.hold or self.decay_tokens) and self.decay not in ("cosine", "linear"):
            raise GenusError(f"schedule.hold and decay_tokens are for cosine and linear, not {self.decay}; leave them out")
        if self.decay_tokens < 0 or 0 < self.decay_tokens <= self.warmup_tokens:
            raise GenusError(
                f"schedule.decay_tokens = {self.decay_tokens:,} must lie beyond warmup_tokens = {self.warmup_tokens:,}, "
                "or be 0 for the run's end; correct the recipe"
            )


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """Smaller steps while a run is young; `batch` follows the last."""

    rows: tuple[int, ...] = ()
    """Rows of a step, one number for each stage before `batch`; none takes `batch` from the start."""
    until: tuple[int, ...] = ()
    """Tokens, from the run's first, at which each stage ends."""
    by: int = 0
    """Within a stage, grow evenly to the rows of the next, by so many at a time; 0 grows only where a stage ends."""

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.until):
            raise GenusError(f"ramp has {len(self.rows)} rows and {len(self.until)} until; give each stage both")
        if list(self.until) != sorted({0, *self.until})[1:] or min(self.rows, default=1) < 1 or self.by < 0:
            raise GenusError("ramp: rows must be at least 1, until rise from above 0, by be at least 0; correct the recipe")

    def sizes(self, batch: int) -> list[int]:
        """Rows that a step may have. Raises GenusError when they do not lead to `batch`."""
        found: list[int] = []
        for rows, after in zip(self.rows, (*self.rows, batch)[1:], strict=True):
            if rows >= after or (self.by and (after - rows) % self.by):
                how = f"in steps of ramp.by = {self.by}" if self.by else "at once"
                raise GenusError(f"ramp: from {rows} to {after} rows is no way up {how}; rows must rise to batch = {batch}")
            found += range(rows, after, self.by or after)
        return [*found, batch]


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

    size: str = ""
    """A published size, as `genus models` lists them, such as gpt3-small; vocab, context and dropout may still differ."""
    vocab: int | None = None
    """Rows of the token table; unset: the size's, else one for each token of the vocabulary."""
    family: str | None = None
    """Architecture; `genus models` lists them; unset: the size's, else gpt2."""
    context: int | None = None
    """Tokens that the model sees at once; unset: the size's, else 256."""
    width: int | None = None
    """Size of the residual stream; unset: the size's, else 192."""
    depth: int | None = None
    """Number of blocks; unset: the size's, else 6."""
    heads: int | None = None
    """Attention heads, which must divide the width; unset: the size's, else 6."""
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

    def __post_init__(self) -> None:
        if self.size:
            return
        for name, value in (("family", "gpt2"), ("context", 256), ("width", 192), ("depth", 6), ("heads", 6)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


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
    epochs: int = 1
    """Times to read the shards where tokens is 0."""
    mixture: Mix | None = None
    """Shares of the sources, of shards made with --by; without it all text is read alike."""
    batch: int = 16
    """Rows of a step."""
    ramp: Ramp = field(default_factory=Ramp)
    micro_batch: int = 8
    """Rows computed at once; fewer need less memory and give the same update."""
    mask_documents: bool = False
    """Keep tokens from seeing the document before theirs in a row."""
    optim: Optim = field(default_factory=Optim)
    schedule: Schedule = field(default_factory=Schedule)
    z_loss: float = 0.0
    """Weight of log(Z)^2 in the loss, Z being what the softmax divides by; PaLM: 1e-4. Reported losses are without it."""
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
    parallel: Parallel = field(default_factory=Parallel)

    def __post_init__(self) -> None:
        if self.recovery.goes_back and self.recovery.back > (self.every.keep - 1) * self.every.checkpoint:
            raise GenusError(
                f"recovery.back = {self.recovery.back} steps is further than the checkpoints that are kept reach "
                f"({self.every.keep - 1} x {self.every.checkpoint} steps); raise every.keep, or lower recovery.back"
            )
        if min(self.batch, self.micro_batch, self.epochs) < 1:
            raise GenusError("batch, micro_batch and epochs must be at least 1; correct the recipe")
        if self.tokens < 0 or not 0 <= self.z_loss < 1e3:  # NaN fails too
            raise GenusError("tokens and z_loss must be at least 0; correct the recipe")
        if self.tokens and self.epochs > 1:
            raise GenusError(f"tokens = {self.tokens:,} and epochs = {self.epochs} both say how long; leave one out")
        for rows in self.ramp.sizes(self.batch):
            if rows % min(rows, self.micro_batch):
                name = "batch" if rows == self.batch else "a step of the ramp"
                raise GenusError(f"micro_batch = {self.micro_batch} does not divide {name} = {rows}; choose a divisor")

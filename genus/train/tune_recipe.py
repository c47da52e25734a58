"""What a user chooses of a run that starts from a model. Light: `--help` of every such stage reads this without PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError
from genus.train.recipe import Energy, Every, Optim, Precision, Recovery, Schedule, Switch

__all__ = ["Course", "Lora", "TuneEvery", "TuneOptim", "Tuning"]


@dataclass(frozen=True, kw_only=True)
class Lora:
    """LoRA (arXiv 2106.09685): learn a small product beside matrices in place of the matrices."""

    rank: int = 0
    """Rank of the products; 0 learns the whole model."""
    alpha: float = 16.0
    """The products are scaled by alpha / rank."""
    dropout: float = 0.0
    """Share of the products' inputs dropped while training."""
    parts: tuple[str, ...] = ("q", "v")
    """Linear parts of each block: q, k, v, out, up, down and, where the model has it, gate."""

    def __post_init__(self) -> None:
        if self.rank < 0 or not (self.alpha > 0 and 0 <= self.dropout < 1):
            raise GenusError("lora: rank must be at least 0, alpha above 0, dropout from 0 to below 1; correct the recipe")
        if self.rank and not self.parts:
            raise GenusError("lora.parts is empty; name parts such as q and v, or leave rank at 0")


@dataclass(frozen=True, kw_only=True)
class Course:
    """The learning rate over a run, in shares of the run."""

    warmup: float = 0.0
    """Share of the run over which the learning rate rises from 0 to its peak."""
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    """The way from the peak to the end."""
    final: float = 0.1
    """Learning rate at the end, as a share of the peak; of cosine and linear."""

    def __post_init__(self) -> None:
        if not (0 <= self.warmup < 1 and 0 <= self.final <= 1):
            raise GenusError("schedule: warmup must be from 0 to below 1, final from 0 to 1; correct the recipe")

    def over(self, total: int) -> Schedule:
        """The same for a run of so many examples."""
        return Schedule(warmup_tokens=round(self.warmup * total), decay=self.decay, final=self.final)


@dataclass(frozen=True, kw_only=True)
class TuneOptim(Optim):
    """The optimizer. A class, because a recipe that gives one field of a table gets the others' defaults from its class."""

    lr: float = 1e-5
    """Peak learning rate. InstructGPT: 9.65e-6 for 1.3 and 6 billion parameters; small models want more."""
    weight_decay: float = 0.0
    """Decoupled decay of matrices, times the learning rate; gains and biases are left alone."""


@dataclass(frozen=True, kw_only=True)
class TuneEvery(Every):
    """How often to look up from training, in steps; 0 is never."""

    sample: int = 0
    """Steps between sample texts; there is one at each end of a run."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What all stages that start from a model have in common."""

    model: Path
    """Model folder to start from."""
    out: Path
    """Folder of the run: checkpoints, metrics, and the model in model/."""
    epochs: int = 1
    """Times to go over the examples."""
    batch: int = 32
    """Examples of a step."""
    micro_batch: int = 8
    """Examples computed at once; fewer need less memory and give the same update."""
    max_tokens: int = 0
    """The longest an example may be; 0 is the model's context."""
    dropout: float = 0.0
    """Share of activations dropped while training."""
    lora: Lora = field(default_factory=Lora)
    optim: TuneOptim = field(default_factory=TuneOptim)
    schedule: Course = field(default_factory=Course)
    seed: int = 0
    """Draws new weights, dropout and the order of the examples."""
    precision: Precision = "auto"
    """Number format of the computation; auto takes bf16 where the machine is faster with it."""
    every: TuneEvery = field(default_factory=TuneEvery)
    recovery: Recovery = field(default_factory=Recovery)
    energy: Energy = field(default_factory=Energy)
    tensorboard: Switch = "auto"
    """Curves for TensorBoard in tensorboard/, beside metrics.jsonl; auto writes them where it is installed."""

    def __post_init__(self) -> None:
        if min(self.batch, self.micro_batch, self.epochs) < 1 or self.max_tokens < 0 or not 0 <= self.dropout < 1:
            raise GenusError(
                "batch, micro_batch and epochs must be at least 1, max_tokens at least 0, dropout from 0 to below 1; "
                "correct the recipe"
            )
        if self.batch % min(self.batch, self.micro_batch):
            raise GenusError(f"micro_batch = {self.micro_batch} does not divide batch = {self.batch}; choose a divisor")
        if self.recovery.goes_back and self.recovery.back > (self.every.keep - 1) * self.every.checkpoint:
            raise GenusError("recovery.back reaches further than the checkpoints that are kept; raise every.keep")

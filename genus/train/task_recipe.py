"""What a user chooses of tuning on a task. Light: `genus tune --help` reads this without PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError
from genus.train.tune_recipe import Course, TuneOptim, Tuning

__all__ = ["Support", "TaskCourse", "TaskOptim", "TaskTuning"]


@dataclass(frozen=True, kw_only=True)
class TaskOptim(TuneOptim):
    """As GPT-1's."""

    lr: float = 6.25e-5
    """Peak learning rate; of adafactor relative to the root mean square of each tensor."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the first and second moments; adafactor takes the first, its second is 1 - step^-0.8."""
    weight_decay: float = 0.01
    """Decoupled decay of matrices, times the learning rate (adafactor: its square); gains and biases are left alone."""


@dataclass(frozen=True, kw_only=True)
class TaskCourse(Course):
    """As GPT-1's: up over the first 0.2% of the run, then down to nothing."""

    warmup: float = 0.002
    """Share of the run over which the learning rate rises from 0 to its peak."""
    decay: Literal["cosine", "linear", "constant"] = "linear"
    """The way from the peak to the end."""
    final: float = 0.0
    """Learning rate at the end, as a share of the peak; of cosine and linear."""


@dataclass(frozen=True, kw_only=True)
class Support:
    """Of form = support: a judge of whether a passage bears a claim out."""

    passages: int = 12
    """Passages of a document that are looked at: those that cover most of the claim's words."""
    meaning: bool = True
    """Whether the packaged encoder tells what words mean about the same."""
    negatives: int = 2
    """Documents that do not support it, made for each claim: one with a number, a name or a negation changed, neighbours."""

    def __post_init__(self) -> None:
        if not (1 <= self.passages <= 1000 and 0 <= self.negatives <= 100):
            raise GenusError("support: passages must be 1 to 1000, negatives 0 to 100; correct the recipe")


@dataclass(frozen=True, kw_only=True)
class TaskTuning(Tuning):
    """Tune a model on a task of labelled records; the defaults are GPT-1's."""

    train: Path
    """Records to learn from: .jsonl, .csv or .tsv with the form's columns and `label`."""
    held_out: Path | None = None
    """Records to measure on, which are not learned."""
    form: Literal["classification", "entailment", "similarity", "choice", "support"] = "classification"
    """classification has `text`; entailment `premise`, `hypothesis`; similarity `first`, `second`; choice `context`, perhaps
    `question`, and `answers`, its label being the number of the right one, from 0; support `claim`, and
    `passages` or `evidence`."""
    support: Support = field(default_factory=Support)
    labels: Literal["classes", "numbers"] = "classes"
    """Whether labels are names of classes, or numbers to come near to (not of choice)."""
    lm_weight: float = 0.5
    """Weight of the language model's loss on the same sequences; 0 leaves it out, which suits small sets."""
    head_dropout: float = 0.1
    """Share of the vector that the score is read from dropped while training."""
    from_scratch: bool = False
    """Random weights in place of the model's, to see what pretraining is worth."""
    epochs: int = 3
    """Times to go over the examples."""
    dropout: float = 0.1
    """Share of activations dropped while training."""
    optim: TaskOptim = field(default_factory=TaskOptim)
    schedule: TaskCourse = field(default_factory=TaskCourse)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.lm_weight < 1e3 and 0 <= self.head_dropout < 1):  # NaN fails too
            raise GenusError("lm_weight must be at least 0, head_dropout from 0 to below 1; correct the recipe")
        if self.labels == "numbers" and self.form == "choice":
            raise GenusError(
                "labels = numbers does not go with form = choice, whose label is one of its answers; leave it out"
            )
        if self.from_scratch and self.lora.rank:
            raise GenusError("from_scratch learns all weights, so it does not go with lora.rank; leave one out")

"""What a user chooses of reward modelling, DPO, PPO and GRPO. Light: `--help` reads this without PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError
from genus.data.records import Wrong
from genus.tasks.arithmetic import problem
from genus.train.recipe import Recovery
from genus.train.tune_recipe import Course, TuneEvery, TuneOptim, Tuning

__all__ = [
    "Compared",
    "Dpo",
    "DpoCourse",
    "DpoOptim",
    "Grpo",
    "Judge",
    "NoRecovery",
    "Ppo",
    "PpoCourse",
    "PpoEvery",
    "PpoOptim",
    "Reward",
    "RewardOptim",
]


@dataclass(frozen=True, kw_only=True)
class RewardOptim(TuneOptim):
    """The optimizer."""

    lr: float = 9e-6
    """Peak learning rate; InstructGPT's for 6 billion parameters; small models want more."""


@dataclass(frozen=True, kw_only=True)
class DpoOptim(TuneOptim):
    """The optimizer."""

    lr: float = 1e-6
    """Peak learning rate, the paper's; small models want more."""


@dataclass(frozen=True, kw_only=True)
class DpoCourse(Course):
    """The learning rate over a run, in shares of the run."""

    warmup: float = 0.1
    """Share of the run over which the learning rate rises from 0 to its peak."""
    decay: Literal["cosine", "linear", "constant"] = "linear"
    """The way from the peak to the end."""
    final: float = 0.0
    """Learning rate at the end, as a share of the peak; of cosine and linear."""


@dataclass(frozen=True, kw_only=True)
class PpoOptim(TuneOptim):
    """The optimizer."""

    eps: float = 1e-5
    """Added to the root of the second moment; careful replications of the 2019 code take 1e-5."""


@dataclass(frozen=True, kw_only=True)
class PpoCourse(Course):
    """The learning rate over a run, in shares of the run."""

    decay: Literal["cosine", "linear", "constant"] = "constant"
    """The way from the peak to the end."""


@dataclass(frozen=True, kw_only=True)
class PpoEvery(TuneEvery):
    """How often to look up from training, in rollouts; 0 is never."""

    validate: int = 16
    """Rollouts between looks at held-out prompts."""
    sample: int = 16
    """Rollouts between sample answers."""
    checkpoint: int = 16
    """Rollouts between checkpoints."""


@dataclass(frozen=True, kw_only=True)
class NoRecovery(Recovery):
    """Rewards move by themselves, so that no step is taken for a spike."""

    spike: Literal["skip", "rollback", "lower", "none"] = "none"
    """Only none."""


@dataclass(frozen=True, kw_only=True)
class Compared(Tuning):
    """What stages that learn from comparisons have in common."""

    comparisons: tuple[str, ...]
    """Files of comparisons, or feedback stores: FILE.jsonl, FILE.db, postgresql://..."""
    held_out: tuple[str, ...] = ()
    """The same to measure on; by default a share of `comparisons` by prompt."""
    share: float = 0.1
    """That share, where `held_out` is empty."""
    wrong: Wrong = "refuse"
    """What a record of a file that cannot be used leads to: refuse stops before any work, skip leaves it out."""
    batch: int = 16
    """Prompts of a step, each with all its answers."""
    micro_batch: int = 4
    """Prompts computed at once; fewer need less memory and give the same update."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_share(self.share)


@dataclass(frozen=True, kw_only=True)
class Reward(Compared):
    """Learn what people prefer from rankings (InstructGPT, arXiv 2203.02155, section 3.5)."""

    demonstrations: tuple[str, ...] = ()
    """Files or stores of answers whose mean reward becomes 0; by default the best answers of each comparison."""
    optim: RewardOptim = field(default_factory=RewardOptim)


@dataclass(frozen=True, kw_only=True)
class Dpo(Compared):
    """Learn from comparisons without a reward model (DPO, arXiv 2305.18290)."""

    beta: float = 0.1
    """How much a preference counts against staying near the start; 0.5 for summaries in the paper."""
    smoothing: float = 0.0
    """Share of the comparisons taken to be wrong (conservative DPO)."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """sigmoid is the paper's; ipo aims at a margin of 1 / (2 beta) between whole answers (2310.12036; TRL: a token's)."""
    nll: float = 0.0
    """Weight of the best answers' own loss, a token's, beside: they stay likely while others become less so (2404.19733)."""
    optim: DpoOptim = field(default_factory=DpoOptim)
    schedule: DpoCourse = field(default_factory=DpoCourse)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta > 0 or not 0 <= self.smoothing < 0.5 or self.nll < 0:
            raise GenusError("beta must be above 0, smoothing from 0 to below 0.5, nll at least 0; correct the recipe")


@dataclass(frozen=True, kw_only=True)
class Grpo(Tuning):
    """Learn from answers that a program can check (GRPO, arXiv 2402.03300), here GPT-3's sums."""

    kinds: tuple[str, ...] = ("add1",)
    """Kinds of sums, in turns: add1 to add5, subtract1 to subtract5, multiply2, composite1."""
    episodes: int = 8192
    """Answers to learn from."""
    batch: int = 64
    """Answers that are written before the policy learns from them."""
    group: int = 8
    """Answers to each question, which are compared with each other."""
    minibatch: int = 64
    """Answers of a step."""
    inner_epochs: int = 1
    """Times to learn from the same answers."""
    micro_batch: int = 32
    """Answers computed at once; fewer need less memory and give the same update."""
    answer_tokens: int = 8
    """The longest an answer may be."""
    temperature: float = 1.0
    """At which answers are drawn."""
    kl: float = 0.01
    """Weight of the divergence from the start model; the paper: 0.04."""
    clip: float = 0.2
    """Largest change of a token's probability ratio that is rewarded."""
    held_out: int = 200
    """Sums to measure on, drawn apart from those learned from; those of few digits may be the same."""
    optim: PpoOptim = field(default_factory=PpoOptim)
    schedule: PpoCourse = field(default_factory=PpoCourse)
    recovery: NoRecovery = field(default_factory=NoRecovery)
    every: PpoEvery = field(default_factory=PpoEvery)

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in self.kinds:
            problem(kind, 0)  # which there must be
        if not self.kinds:
            raise GenusError("kinds is empty; name one, such as add1")
        if min(self.group - 1, self.minibatch, self.inner_epochs, self.answer_tokens, self.held_out) < 1:
            raise GenusError("group must be at least 2; minibatch, inner_epochs, answer_tokens and held_out at least 1")
        if self.batch % self.group or self.batch % self.minibatch or self.minibatch % min(self.minibatch, self.micro_batch):
            raise GenusError(
                f"group = {self.group} and minibatch = {self.minibatch} must divide batch = {self.batch}, and micro_batch = "
                f"{self.micro_batch} the minibatch; correct the recipe"
            )
        if not (self.temperature > 0 and self.kl >= 0 and 0 < self.clip < 1) or self.recovery.spike != "none":
            raise GenusError("temperature must be above 0, kl at least 0, clip between 0 and 1, recovery.spike none")

    @property
    def whole(self) -> int:
        """Steps of a rollout."""
        return self.inner_epochs * self.batch // self.minibatch

    @property
    def rollouts(self) -> int:
        """Rollouts of the run."""
        return max(1, round(self.episodes / self.batch))


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Let the packaged judge rank a model's answers, or compare the answers of several models."""

    models: tuple[Path, ...]
    """One model, whose answers to each prompt are ranked; or several, each compared with the first."""
    prompts: tuple[str, ...]
    """Files of prompts: JSON lines with "prompt", or conversations, whose last answer is left out."""
    out: Path
    """A file: the comparisons of one model (.jsonl), or how often each of several wins (.json)."""
    answers: int = 4
    """Answers to each prompt that are ranked; InstructGPT: 4 to 9."""
    answer_tokens: int = 48
    """The longest an answer may be."""
    temperature: float = 1.0
    """At which answers are drawn."""
    most: int = 0
    """Prompts to take; 0 takes all."""
    seed: int = 0
    """Draws the answers."""

    def __post_init__(self) -> None:
        if not self.models or not 2 <= self.answers <= 9 or self.answer_tokens < 1 or self.most < 0:
            raise GenusError("judge: name a model; answers must be from 2 to 9, answer_tokens at least 1, most at least 0")


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise GenusError(f"share = {share} must be from 0 to below 1; 0.1 holds out a tenth")


@dataclass(frozen=True, kw_only=True)
class Ppo(Tuning):
    """Learn to please a reward model without leaving the start model far (InstructGPT, arXiv 2203.02155, section 3.5)."""

    reward: Path
    """Folder of the reward model, whose value of a text is also where the value network starts."""
    prompts: tuple[str, ...]
    """Files of prompts: JSON lines with "prompt", a text or messages."""
    held_out: tuple[str, ...] = ()
    """The same to measure on; by default a share of `prompts`."""
    share: float = 0.1
    """That share, where `held_out` is empty."""
    episodes: int = 8192
    """Answers to learn from; InstructGPT took 256,000."""
    batch: int = 64
    """Answers that are written before the policy learns from them; InstructGPT: 512."""
    minibatch: int = 32
    """Answers of a step; InstructGPT: 64. Advantages are whitened over a minibatch."""
    inner_epochs: int = 1
    """Times to learn from the same answers; InstructGPT: 1, the 2019 code 4."""
    micro_batch: int = 16
    """Answers computed at once; fewer need less memory and give the same update."""
    answer_tokens: int = 48
    """The longest an answer may be."""
    temperature: float = 1.0
    """At which answers are drawn; log-probabilities are of the same temperature everywhere."""
    kl: float = 0.02
    """Reward lost for each nat by which an answer is likelier than by the start model, token by token."""
    kl_target: float = 0.0
    """Nats an answer that `kl` is adapted to (horizon 10,000 answers, arXiv 1909.08593, 2.2); 0 leaves `kl` as it is."""
    clip: float = 0.2
    """Largest change of a token's probability ratio that is rewarded, and of its value."""
    value_weight: float = 0.1
    """Weight of the value network's loss."""
    value_rate: float = 1.0
    """The value network's learning rate, as a multiple of the policy's."""
    gamma: float = 1.0
    """Discount of later rewards."""
    lam: float = 0.95
    """Lambda of the generalised advantage estimate (arXiv 1506.02438)."""
    whiten_rewards: bool = False
    """Divide rewards by their deviation over a rollout, as the 2019 code."""
    normalise: bool = True
    """Shift and scale the reward model so that answers of the start model have mean 0 and deviation 1: else `kl` has no
    fixed meaning."""
    missing_end: float = 1.0
    """Taken from the reward of an answer that did not end by itself."""
    ptx: Path | None = None
    """Shards of pretraining text to go on with meanwhile (PPO-ptx); none is plain PPO."""
    ptx_weight: float = 27.8
    """Weight of a token of that text against a token of an answer."""
    ptx_rows: int = 1
    """Rows of that text for each answer; InstructGPT: 8."""
    ptx_tokens: int = 0
    """Tokens of a row; 0 is the model's context."""
    average: float = 0.0
    """Keep a moving average of the weights and save that; InstructGPT: 0.992; 0 saves the last weights."""
    untrusted: bool = False
    """Go on with a reward model whose gate did not pass."""
    optim: PpoOptim = field(default_factory=PpoOptim)
    schedule: PpoCourse = field(default_factory=PpoCourse)
    recovery: NoRecovery = field(default_factory=NoRecovery)
    every: PpoEvery = field(default_factory=PpoEvery)

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.batch, self.micro_batch, self.minibatch, self.inner_epochs, self.answer_tokens, self.ptx_rows) < 1:
            raise GenusError("batch, minibatch, micro_batch, inner_epochs, answer_tokens and ptx_rows must be at least 1")
        if self.batch % self.minibatch or self.minibatch % min(self.minibatch, self.micro_batch):
            raise GenusError(
                f"minibatch = {self.minibatch} must divide batch = {self.batch}, and micro_batch = {self.micro_batch} the "
                "minibatch; correct the recipe"
            )
        _check_share(self.share)
        if not (self.temperature > 0 and 0 <= self.gamma <= 1 and 0 <= self.lam <= 1 and 0 < self.clip < 1):
            raise GenusError(
                "temperature must be above 0, gamma and lam from 0 to 1, clip between 0 and 1; correct the recipe"
            )
        if not (self.kl >= 0 and self.kl_target >= 0 and self.ptx_weight >= 0 and 0 <= self.average < 1):
            raise GenusError(
                "kl, kl_target and ptx_weight must be at least 0, average from 0 to below 1; correct the recipe"
            )
        if self.kl_target and not self.kl:
            raise GenusError("kl_target adapts kl, which is 0; give kl a value, such as 0.02")
        if self.average and self.lora.rank:
            raise GenusError("average follows whole weights, and lora learns others; leave one of them out")
        if self.recovery.spike != "none":
            raise GenusError("recovery.spike must be none: rewards move by themselves; leave it out")

    @property
    def whole(self) -> int:
        """Steps of a rollout."""
        return self.inner_epochs * self.batch // self.minibatch

    @property
    def rollouts(self) -> int:
        """Rollouts of the run."""
        return max(1, round(self.episodes / self.batch))

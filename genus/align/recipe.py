"""What a user chooses of reward modelling, DPO, PPO and GRPO. Light: `--help` reads this without PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError
from genus.data.records import Wrong
from genus.train.recipe import Every, Optim, Recovery
from genus.train.tune_recipe import Course, Tuning

__all__ = ["Dpo", "Ppo", "Reward"]


@dataclass(frozen=True, kw_only=True)
class Reward(Tuning):
    """Learn what people prefer from rankings (InstructGPT, arXiv 2203.02155, section 3.5)."""

    comparisons: tuple[str, ...]
    """Files of comparisons, or feedback stores: FILE.jsonl, FILE.db, postgresql://..."""
    held_out: tuple[str, ...] = ()
    """The same to measure on; by default a share of `comparisons` by prompt."""
    share: float = 0.1
    """That share, where `held_out` is empty."""
    wrong: Wrong = "refuse"
    """What a record of a file that cannot be used leads to: refuse stops before any work, skip leaves it out."""
    demonstrations: tuple[str, ...] = ()
    """Files or stores of answers whose mean reward becomes 0; by default the best answers of each comparison."""
    batch: int = 16
    """Prompts of a step, each with all its answers."""
    micro_batch: int = 4
    """Prompts computed at once; fewer need less memory and give the same update."""
    optim: Optim = field(default_factory=lambda: Optim(lr=9e-6, weight_decay=0.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_share(self.share)


@dataclass(frozen=True, kw_only=True)
class Dpo(Tuning):
    """Learn from comparisons without a reward model (DPO, arXiv 2305.18290)."""

    comparisons: tuple[str, ...]
    """Files of comparisons, or feedback stores: FILE.jsonl, FILE.db, postgresql://..."""
    held_out: tuple[str, ...] = ()
    """The same to measure on; by default a share of `comparisons` by prompt."""
    share: float = 0.1
    """That share, where `held_out` is empty."""
    wrong: Wrong = "refuse"
    """What a record of a file that cannot be used leads to: refuse stops before any work, skip leaves it out."""
    beta: float = 0.1
    """How much a preference counts against staying near the start; 0.5 for summaries in the paper."""
    smoothing: float = 0.0
    """Share of the comparisons taken to be wrong (conservative DPO)."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """sigmoid is the paper's; ipo aims at a margin of 1 / (2 beta) (arXiv 2310.12036)."""
    batch: int = 16
    """Pairs of a step."""
    micro_batch: int = 4
    """Pairs computed at once; fewer need less memory and give the same update."""
    optim: Optim = field(default_factory=lambda: Optim(lr=1e-6, weight_decay=0.0))
    schedule: Course = field(default_factory=lambda: Course(warmup=0.1, decay="linear", final=0.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_share(self.share)
        if not self.beta > 0 or not 0 <= self.smoothing < 0.5:
            raise GenusError("beta must be above 0, smoothing from 0 to below 0.5; correct the recipe")


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
    optim: Optim = field(default_factory=lambda: Optim(lr=1e-5, weight_decay=0.0, eps=1e-5))
    schedule: Course = field(default_factory=lambda: Course(decay="constant"))
    recovery: Recovery = field(default_factory=lambda: Recovery(spike="none"))
    every: Every = field(default_factory=lambda: Every(validate=16, sample=16, checkpoint=16))
    """How often to look up, in rollouts."""

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

"""Choosing the next token from logits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genus.core.errors import GenusError

__all__ = ["Sampling", "choose"]

_GREEDY_BELOW = 1e-5  # dividing by less would overflow


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to choose. Order: temperature, top-k, top-p, draw."""

    temperature: float = 1.0
    """Below 1 sharpens, above 1 flattens; 0 always takes the likeliest token."""
    top_k: int = 0
    """Keep this many of the likeliest tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the likeliest tokens up to and including the one at which their probabilities reach this sum."""
    seed: int | None = None
    """The same seed gives the same text; unset draws a new one each time."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            raise GenusError(f"temperature = {self.temperature} is out of range; choose from 0 to 100")
        if self.top_k < 0:
            raise GenusError(f"top_k = {self.top_k} is out of range; choose 0 (off) or more")
        if not 0 < self.top_p <= 1:
            raise GenusError(f"top_p = {self.top_p} is out of range; choose from above 0 to 1")
        if self.seed is not None and not -(2**63) <= self.seed < 2**63:
            raise GenusError(f"seed = {self.seed} is out of range; choose a 64-bit whole number")

    def generator(self) -> torch.Generator:
        """The source of randomness for one text. Apart from the global one, so that sampling never disturbs training."""
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed)
        return generator


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token from logits (vocab,)."""
    if not torch.isfinite(logits).all():
        raise GenusError("the model's logits are not finite; its weights are damaged, so take an earlier checkpoint")
    if sampling.temperature < _GREEDY_BELOW:
        return int(logits.argmax())
    logits = logits.float().cpu() / sampling.temperature
    if sampling.top_k:
        kept, tokens = logits.topk(min(sampling.top_k, logits.numel()))
    else:
        kept, tokens = logits.sort(descending=True)
    probabilities = kept.softmax(-1)
    if sampling.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities  # the token that crosses top_p is kept
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    return int(tokens[torch.multinomial(probabilities, 1, generator=generator)])

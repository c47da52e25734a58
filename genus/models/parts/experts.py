"""A mixture of experts: a router sends each token to a few MLPs out of many (Switch Transformer, arXiv 2101.03961).

Tokens are sorted by expert, so that each expert is one matrix product over its own tokens and an idle one costs nothing.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.parts.mlp import activate
from genus.models.spec import Experts

__all__ = ["ExpertMlps", "Routing", "Stack", "balance"]


class Routing(NamedTuple):
    """What a router did with a batch: `probabilities` (batch, time, count), `chosen` (batch, time, per_token)."""

    probabilities: Tensor
    chosen: Tensor


class ExpertMlps(nn.Module):
    """(batch, time, width) -> the same. After a forward in training, `routing` is what the losses and metrics read."""

    def __init__(self, experts: Experts, width: int) -> None:
        super().__init__()
        self.experts = experts
        count, each = experts.count, experts.each
        self.router = nn.Linear(width, count, bias=experts.router_bias)
        self.up = Stack(count, width, each.hidden, each.bias)
        self.gate = Stack(count, width, each.hidden, each.bias) if each.gated else None
        self.down = Stack(count, each.hidden, width, each.bias)
        self.routing: Routing | None = None

    def forward(self, x: Tensor) -> Tensor:
        scores = self.router(x)  # (batch, time, count)
        best, chosen = scores.topk(self.experts.per_token, dim=-1)  # (batch, time, per_token)
        self.routing = Routing(scores.float().softmax(-1), chosen) if self.training else None
        flat, share = x.flatten(0, -2), best.softmax(-1).flatten()  # (tokens, width), (tokens * per_token,)
        order = chosen.flatten().argsort(stable=True)
        token = order // self.experts.per_token  # of each row to compute, expert by expert
        said = self._compute(flat[token], self.loads(chosen)) * share[order, None]
        return torch.zeros_like(flat).index_add(0, token, said.to(flat.dtype)).view_as(x)

    def loads(self, chosen: Tensor) -> list[int]:
        """Tokens for each expert. A GPU waits here, once a layer."""
        counts: list[int] = chosen.flatten().bincount(minlength=self.experts.count).tolist()
        return counts

    def _compute(self, x: Tensor, rows: list[int]) -> Tensor:
        """Each expert on its `rows` of x, (tokens * per_token, width)."""
        gate = None if self.gate is None else self.gate(x, rows)
        return self.down(activate(self.experts.each, self.up(x, rows), gate), rows)


class Stack(nn.Module):
    """One linear map an expert: weight (count, out, in)."""

    def __init__(self, count: int, fan_in: int, out: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, out, fan_in))
        self.bias = nn.Parameter(torch.zeros(count, out)) if bias else None

    def forward(self, x: Tensor, rows: list[int]) -> Tensor:
        biases = [None] * len(rows) if self.bias is None else self.bias.unbind()
        maps = zip(x.split(rows), self.weight.unbind(), biases, strict=True)
        return torch.cat([F.linear(part, weight, bias) for part, weight, bias in maps])


def balance(routing: Routing) -> tuple[Tensor, Tensor]:
    """The load-balancing loss of each row (batch,), and each expert's share of the tokens in it (batch, count).

    count * sum over experts of (share of tokens sent there) * (mean probability): per_token when all are equally busy,
    more when they are not (Switch Transformer, equation 4). It is taken row by row, as DeepSeek-V3 does (arXiv
    2412.19437, section 2.1.2): so it is a sum over rows, and how a step is cut into micro-batches does not matter.
    """
    count = routing.probabilities.shape[-1]
    sent = F.one_hot(routing.chosen, count).sum(-2).float().mean(1)  # (batch, count); adds up to per_token
    return count * (sent * routing.probabilities.mean(1)).sum(-1), sent

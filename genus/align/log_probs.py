"""log p of chosen tokens, with gradients, without ever holding all logits: they are made again in the backward pass."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.models.attend import FastAttend
from genus.models.heads import LanguageModel, Readout
from genus.train.cross_entropy import chunk_rows
from genus.train.losses import Tokens

__all__ = ["Said", "answer_log_probs", "log_probs"]


class Said(NamedTuple):
    """Of each scored token, in the order of rows and then places: log p in nats, and the entropy of its distribution."""

    log_probs: Tensor  # (scored,)
    entropy: Tensor  # (scored,), without a gradient
    rows: Tensor  # (scored,), the row of each

    def summed(self, rows: int) -> Tensor:
        """log p of each row's scored tokens together, (rows,)."""
        return self.log_probs.new_zeros(rows).index_add(0, self.rows, self.log_probs)


def answer_log_probs(model: LanguageModel, batch: Tokens, temperature: float = 1.0) -> Said:
    """log p of the scored targets of a batch, at a temperature."""
    assert batch.scored is not None
    dropout = model.spec.dropout if model.training else 0.0
    hidden = model.decoder(batch.tokens, batch.positions, FastAttend(model.spec, batch.documents, dropout))
    found, entropy = log_probs(model.read(hidden[batch.scored]), batch.targets[batch.scored], temperature)
    return Said(found, entropy, batch.scored.nonzero()[:, 0])


def log_probs(read: Readout, targets: Tensor, temperature: float = 1.0, chunk: int = 0) -> tuple[Tensor, Tensor]:
    """log p of targets (tokens,) and the entropy of what they are drawn from, both (tokens,), fp32, in nats."""
    chunk = chunk or chunk_rows(read.hidden.device.type, len(read.table))
    found: tuple[Tensor, Tensor] = _LogProbs.apply(*read[:3], targets, read.scale / temperature, chunk)
    return found


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        hidden, table, bias, targets, scale, rows = inputs
        ctx.save_for_backward(hidden, table, bias, targets)
        ctx.scale, ctx.rows = scale, rows
        kind = hidden.device.type
        ctx.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        said, entropies = [hidden.new_empty(0)], [hidden.new_empty(0)]
        for part, chosen in _chunks(hidden, targets, rows):
            logs = _logs(ctx, part, table, bias)
            said.append(logs.gather(1, chosen[:, None])[:, 0])
            entropies.append(-(logs.exp() * logs).nan_to_num(0.0).sum(1))
        entropy = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy)
        return torch.cat(said), entropy

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor | None, ...]:
        hidden, table, bias, targets = ctx.saved_tensors
        by_hidden, by_table = torch.zeros_like(hidden), torch.zeros_like(table)
        by_bias = None if bias is None else torch.zeros_like(bias)
        first = 0
        for part, chosen in _chunks(hidden, targets, ctx.rows):
            slope = -_logs(ctx, part, table, bias).exp()  # of log p by logits: 1 where chosen, minus p
            slope.scatter_add_(1, chosen[:, None], torch.ones_like(slope[:, :1]))
            slope *= ctx.scale * by[0][first : first + len(part), None]
            narrow = slope.to(ctx.dtype)
            by_hidden[first : first + len(part)] = narrow @ table.to(ctx.dtype)
            by_table += narrow.T @ part.to(ctx.dtype)
            if by_bias is not None:
                by_bias += slope.sum(0)
            first += len(part)
        return by_hidden, by_table, by_bias, None, None, None


def _chunks(hidden: Tensor, targets: Tensor, rows: int) -> Any:
    return zip(hidden.split(rows), targets.split(rows), strict=True)


def _logs(ctx: Any, part: Tensor, table: Tensor, bias: Tensor | None) -> Tensor:
    """(rows, vocab), fp32."""
    with torch.autocast(part.device.type, enabled=False):
        logits = (part.to(ctx.dtype) @ table.to(ctx.dtype).T).float()
        logits = logits if bias is None else logits + bias
        return F.log_softmax(logits * ctx.scale, -1)

"""log p of chosen tokens, with gradients, without ever holding many logits: they are made again in the backward pass."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.models.attend import FastAttend
from genus.models.heads import LanguageModel, Readout
from genus.train.cross_entropy import chunk_rows
from genus.train.losses import Tokens

__all__ = ["Said", "answer_log_probs", "log_probs"]

_KEPT = 2**23  # logits; so many are not made again


class Said(NamedTuple):
    """Of each scored token, in the order of rows and then places: log p in nats."""

    log_probs: Tensor  # (scored,)
    rows: Tensor  # (scored,), the row of each

    def summed(self, rows: int) -> Tensor:
        """log p of each row's scored tokens together, (rows,)."""
        return self.log_probs.new_zeros(rows).index_add(0, self.rows, self.log_probs)


def answer_log_probs(model: LanguageModel, batch: Tokens, temperature: float = 1.0) -> Said:
    """log p of the scored targets of a batch, at a temperature."""
    assert batch.scored is not None
    dropout = model.spec.dropout if model.training else 0.0
    hidden = model.decoder(batch.tokens, batch.positions, FastAttend(model.spec, batch.documents, dropout), batch.scored)
    said = log_probs(model.read(hidden), batch.targets[batch.scored], temperature)
    return Said(said, batch.scored.nonzero()[:, 0])


def log_probs(read: Readout, targets: Tensor, temperature: float = 1.0, chunk: int = 0) -> Tensor:
    """log p of targets, (tokens,), fp32, in nats."""
    chunk = chunk or chunk_rows(read.hidden.device.type, len(read.table))
    found: Tensor = _LogProbs.apply(*read[:3], targets, read.scale / temperature, chunk)
    return found


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        hidden, table, bias, targets, scale, rows = inputs
        ctx.save_for_backward(hidden, table, bias, targets)
        ctx.scale, ctx.rows = scale, rows
        kind = hidden.device.type
        ctx.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        said = [hidden.new_empty(0)]
        ctx.kept = [] if hidden.requires_grad and len(hidden) * len(table) <= _KEPT else None
        for part, chosen in _chunks(hidden, targets, rows):
            logs = _logs(ctx, part, table, bias)
            if ctx.kept is not None:
                ctx.kept.append(logs)
            said.append(logs.gather(1, chosen[:, None])[:, 0])
        return torch.cat(said)

    @staticmethod
    def backward(ctx: Any, by: Tensor) -> tuple[Tensor | None, ...]:
        hidden, table, bias, targets = ctx.saved_tensors
        by_hidden, by_table = torch.zeros_like(hidden), torch.zeros_like(table)
        by_bias = None if bias is None else torch.zeros_like(bias)
        first = 0
        for number, (part, chosen) in enumerate(_chunks(hidden, targets, ctx.rows)):
            logs = _logs(ctx, part, table, bias) if ctx.kept is None else ctx.kept[number]
            slope = -logs.exp()  # of log p by logits: 1 where chosen, minus p
            slope.scatter_add_(1, chosen[:, None], torch.ones_like(slope[:, :1]))
            slope *= ctx.scale * by[first : first + len(part), None]
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

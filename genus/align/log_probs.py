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
    """Of each scored token, in the order of rows and then places: log p in nats, and where asked for the entropy of its
    distribution."""

    log_probs: Tensor  # (scored,)
    entropy: Tensor  # (scored,) or (0,), without a gradient
    rows: Tensor  # (scored,), the row of each

    def summed(self, rows: int) -> Tensor:
        """log p of each row's scored tokens together, (rows,)."""
        return self.log_probs.new_zeros(rows).index_add(0, self.rows, self.log_probs)


def answer_log_probs(model: LanguageModel, batch: Tokens, temperature: float = 1.0, entropy: bool = False) -> Said:
    """log p of the scored targets of a batch, at a temperature; and the entropy, which costs a tenth more."""
    assert batch.scored is not None
    dropout = model.spec.dropout if model.training else 0.0
    hidden = model.decoder(batch.tokens, batch.positions, FastAttend(model.spec, batch.documents, dropout))
    said = log_probs(model.read(hidden[batch.scored]), batch.targets[batch.scored], temperature, entropy)
    return Said(*said, batch.scored.nonzero()[:, 0])


def log_probs(
    read: Readout, targets: Tensor, temperature: float = 1.0, entropy: bool = False, chunk: int = 0
) -> tuple[Tensor, Tensor]:
    """log p of targets (tokens,), and the entropy of what they are drawn from, (tokens,) or not asked for (0,); fp32, in
    nats."""
    chunk = chunk or chunk_rows(read.hidden.device.type, len(read.table))
    found: tuple[Tensor, Tensor] = _LogProbs.apply(*read[:3], targets, read.scale / temperature, chunk, entropy)
    return found


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        hidden, table, bias, targets, scale, rows, wanted = inputs
        ctx.save_for_backward(hidden, table, bias, targets)
        ctx.scale, ctx.rows = scale, rows
        kind = hidden.device.type
        ctx.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        said, entropies = [hidden.new_empty(0)], [hidden.new_empty(0)]
        ctx.kept = [] if hidden.requires_grad and len(hidden) * len(table) <= _KEPT else None
        for part, chosen in _chunks(hidden, targets, rows):
            logs = _logs(ctx, part, table, bias)
            if ctx.kept is not None:
                ctx.kept.append(logs)
            said.append(logs.gather(1, chosen[:, None])[:, 0])
            if wanted:
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
        for number, (part, chosen) in enumerate(_chunks(hidden, targets, ctx.rows)):
            logs = _logs(ctx, part, table, bias) if ctx.kept is None else ctx.kept[number]
            slope = -logs.exp()  # of log p by logits: 1 where chosen, minus p
            slope.scatter_add_(1, chosen[:, None], torch.ones_like(slope[:, :1]))
            slope *= ctx.scale * by[0][first : first + len(part), None]
            narrow = slope.to(ctx.dtype)
            by_hidden[first : first + len(part)] = narrow @ table.to(ctx.dtype)
            by_table += narrow.T @ part.to(ctx.dtype)
            if by_bias is not None:
                by_bias += slope.sum(0)
            first += len(part)
        return by_hidden, by_table, by_bias, None, None, None, None


def _chunks(hidden: Tensor, targets: Tensor, rows: int) -> Any:
    return zip(hidden.split(rows), targets.split(rows), strict=True)


def _logs(ctx: Any, part: Tensor, table: Tensor, bias: Tensor | None) -> Tensor:
    """(rows, vocab), fp32."""
    with torch.autocast(part.device.type, enabled=False):
        logits = (part.to(ctx.dtype) @ table.to(ctx.dtype).T).float()
        logits = logits if bias is None else logits + bias
        return F.log_softmax(logits * ctx.scale, -1)

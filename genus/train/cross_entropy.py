"""Cross-entropy over a large vocabulary that never holds all logits: their gradient is taken while they are at hand.

The product with the head's table, the softmax and the products for both gradients are done for some hundred tokens at a
time: the memory of one chunk in place of two of all, no product done twice, and on a CPU the chunk stays in its cache.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.models.heads import Readout

__all__ = ["chunk_rows", "cross_entropy"]

_CPU_ROWS = 256  # tokens of a chunk; at a vocabulary of 8,192 its logits are 8 MiB
_LOGITS = 2**27  # of a chunk elsewhere: 512 MiB


def cross_entropy(
    read: Readout, targets: Tensor, z_loss: float = 0.0, chunk: int = 0, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sums over targets (tokens,) of -log p(target), in nats, and of `z_loss` * log(Z)^2, which has no gradient of its own.

    The gradient of the first sum is that of both, so that the loss that is reported stays the cross-entropy (PaLM, arXiv
    2204.02311, section 5). Logits are fp32, their products in autocast's dtype. `chunk` is how many tokens' logits are made
    at once; 0 is what suits the device. `weights` (tokens,), which learn nothing, weigh each target; none are 1.
    """
    wanted = torch.is_grad_enabled() and (read.hidden.requires_grad or read.table.requires_grad)
    chunk = chunk or chunk_rows(read.hidden.device.type, len(read.table))
    sums: tuple[Tensor, Tensor] = _CrossEntropy.apply(*read, targets, weights, z_loss, wanted, chunk)
    return sums


def chunk_rows(device: str, vocab: int) -> int:
    """Tokens whose logits are made at once on a kind of device."""
    return _CPU_ROWS if device == "cpu" else max(1, _LOGITS // vocab)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        hidden, table, bias, scale, targets, weights, z_loss, wanted, rows = inputs
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        losses, slopes = [], [_slope(part) if wanted else None for part in inputs[:3]]
        with torch.autocast(kind, enabled=False):
            narrow = table.to(dtype)
            for first in range(0, len(hidden), rows):
                chunk = slice(first, first + rows)
                part = hidden[chunk].to(dtype)
                weight = None if weights is None else weights[chunk, None].float()
                loss, slope = _chunk(_logits(part, narrow, bias, scale), targets[chunk, None], weight, z_loss)
                losses.append(loss)
                if wanted:
                    _add(slopes, chunk, slope.mul_(scale) if scale != 1 else slope, (part, narrow))
        ctx.save_for_backward(*slopes)
        sums = torch.stack(losses).sum(0)
        loss, z = sums[0].clone(), sums[1].clone()  # FSDP hangs its hooks on what is no view
        ctx.mark_non_differentiable(z)
        return loss, z

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor | None, ...]:
        slopes = [None if slope is None else slope * by[0] for slope in ctx.saved_tensors]
        return (*slopes, None, None, None, None, None, None)


def _logits(hidden: Tensor, table: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    logits = (hidden @ table.T).float()  # (rows, vocab)
    logits = logits if bias is None else logits.add_(bias)
    return logits if scale == 1 else logits.mul_(scale)


def _chunk(logits: Tensor, targets: Tensor, weight: Tensor | None, z_loss: float) -> tuple[Tensor, Tensor]:
    """Both sums over (rows, vocab) and (rows, 1), as one tensor; and their slope by the logits, in the logits' place."""
    ones: Tensor | float = 1.0 if weight is None else weight
    logs = F.log_softmax(logits, -1)
    said = logs.gather(1, targets)
    log_z = logits.gather(1, targets) - said
    sums = torch.stack((-(said * ones).sum(), z_loss * (log_z.square() * ones).sum()))
    slope = torch.exp(logs, out=logits)
    if z_loss:
        slope *= 1 + 2 * z_loss * log_z
    slope.scatter_add_(1, targets, slope.new_full(targets.shape, -1.0))
    return sums, slope if weight is None else slope.mul_(weight)


def _slope(part: Tensor | None) -> Tensor | None:
    """Where the gradient of an input gathers; none for what stands still, such as a table beside LoRA."""
    return torch.zeros_like(part) if part is not None and part.requires_grad else None


def _add(slopes: list[Tensor | None], chunk: slice, slope: Tensor, product: tuple[Tensor, Tensor]) -> None:
    """What a chunk adds to the slopes by hidden states, table and bias."""
    by_hidden, by_table, by_bias = slopes
    hidden, table = product
    narrow = slope.to(table.dtype)
    if by_hidden is not None:
        by_hidden[chunk] = narrow @ table
    if by_table is not None and by_table.dtype == narrow.dtype:
        by_table.addmm_(narrow.T, hidden)
    elif by_table is not None:
        by_table += narrow.T @ hidden  # rows of a chunk are summed in fp32 by the product, chunks here
    if by_bias is not None:
        by_bias += slope.sum(0)

"""The one training loop. A phase brings batches and a loss; the loop does the rest of a step and yields what happened.

The loss gives (sum, weight). Sums are added up over the micro-batches of a step and divided by their whole weight, so that
cutting a step into 1 x 8 or 8 x 1 gives the same update.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genus.train.guard import Guard

__all__ = ["Loss", "Step", "TrainState", "train_steps"]

Loss = Callable[[Any], tuple[Tensor, int]]  # of one micro-batch


@dataclass(frozen=True)
class Step:
    """One step as it happened: the mean loss (nats per unit of weight), the gradient's norm before clipping."""

    number: int
    loss: float
    weight: int
    gradient_norm: float
    lr: float
    applied: bool


@dataclass
class TrainState:
    """All that the next step depends on, besides the batches. `step` counts finished steps."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    guard: Guard
    step: int = 0


def train_steps(
    state: TrainState, steps: Iterable[list[Any]], loss: Loss, lr_at: Callable[[int], float], clip: float
) -> Iterator[Step]:
    """Train on `steps`, each a list of micro-batches, and yield after every update, when state can be saved.

    `lr_at(step)` is the learning rate for step number `step` (from 1); clip 0 leaves gradients as they are.
    """
    parameters = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    for micro_batches in steps:
        lr = lr_at(state.step + 1)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        mean, weight = _gradients(parameters, micro_batches, loss)
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip or float("inf")).item()
        applied = state.guard.accepts(mean, norm)
        if applied:
            state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        yield Step(state.step, mean, weight, norm, lr, applied)


def _gradients(parameters: list[nn.Parameter], micro_batches: list[Any], loss: Loss) -> tuple[float, int]:
    """Leave the gradient of the mean loss on the parameters; give that mean and the weight."""
    sums, weight = [], 0
    for batch in micro_batches:
        total, part = loss(batch)
        total.backward()
        sums.append(total.detach())
        weight += part
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    torch._foreach_div_(gradients, float(weight))
    return float(torch.stack(sums).double().sum()) / weight, weight

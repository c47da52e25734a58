"""The one training loop. A phase brings batches and a loss; the loop does the rest of a step and yields what happened.

The loss gives a sum and a weight. Sums are added up over the micro-batches of a step and divided by their whole weight, so
that cutting a step into 1 x 8 or 8 x 1 gives the same update.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genus.parallel.mesh import Ranks, local
from genus.parallel.shard import hold_gradients
from genus.train.guard import Guard

__all__ = ["Loss", "Scored", "Step", "TrainState", "train_steps"]


class Scored(NamedTuple):
    """A loss of one micro-batch: a sum, its weight, and other sums of that weight, of any shape, for the metrics."""

    total: Tensor
    weight: int
    stats: Mapping[str, Tensor] = {}


Loss = Callable[[Any], Scored | tuple[Tensor, int]]  # of one micro-batch


@dataclass(frozen=True)
class Step:
    """One step as it happened: the mean loss (nats per unit of weight), the gradient's norm before clipping, mean stats."""

    number: int
    loss: float
    weight: int
    gradient_norm: float
    lr: float
    applied: bool
    stats: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass
class TrainState:
    """All that the next step depends on, besides the batches. `step` counts finished steps."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    guard: Guard
    step: int = 0
    ranks: Ranks = field(default_factory=Ranks)


def train_steps(
    state: TrainState,
    steps: Iterable[list[Any]],
    loss: Loss,
    lr_at: Callable[[int], float],
    clip: float,
    *,
    settle: Callable[[int], bool] = lambda _step: True,
) -> Iterator[Step]:
    """Train on `steps`, each a list of micro-batches, and yield each in order. A spike (guard.py) changes no weight.

    `lr_at(step)` is the learning rate for step number `step` (from 1); clip 0 leaves gradients as they are.
    On an accelerator a step is yielded while the next one runs, which is state.step by then, unless `settle(step)` asks to
    wait for it. So there a spike is told by limits that are one step old, and the state can be saved only after settling.
    """
    parameters = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    ahead = _skips_on_device(state)
    running: _Running | None = None
    for micro_batches in steps:
        lr = lr_at(state.step + 1)
        for group in state.optimizer.param_groups:
            group["lr"] = lr * group.get("rate", 1.0)
        mean, weight, stats = _gradients(parameters, micro_batches, loss, state.ranks)
        norm = _clip(parameters, clip or float("inf"), state.ranks)
        refused = _refused(mean, norm, state.guard.limits())
        if ahead:
            state.optimizer.found_inf = refused.float()  # type: ignore[attr-defined]
        if ahead or not refused:
            state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        before, running = running, _Running(state.step, weight, lr, torch.stack((mean, norm.double(), refused)), stats)
        if before:
            yield before.read(state.guard)
        if not ahead or settle(state.step):
            yield running.read(state.guard)
            running = None
    if running:
        yield running.read(state.guard)


def _refused(loss: Tensor, norm: Tensor, limits: tuple[float, float]) -> Tensor:
    """Whether a step must not be applied, decided where its numbers are."""
    loss_limit, norm_limit = limits
    fine = torch.isfinite(loss) & torch.isfinite(norm) & (loss <= loss_limit) & (norm.double() <= norm_limit)
    return ~fine


def _skips_on_device(state: TrainState) -> bool:
    """Whether the optimizer leaves a step out by itself where `found_inf` is 1, as fused ones do: no wait for the device."""
    device = next(state.model.parameters()).device
    return device.type == "cuda" and getattr(state.optimizer, "_step_supports_amp_scaling", False)


class _Running:
    """A step that the device may not have finished; its numbers are on their way to the CPU."""

    def __init__(self, number: int, weight: int, lr: float, numbers: Tensor, stats: Mapping[str, Tensor]) -> None:
        self.number, self.weight, self.lr = number, weight, lr
        self.numbers = numbers.to("cpu", non_blocking=True)  # loss, gradient norm, refused
        self.stats = {name: value.to("cpu", non_blocking=True) for name, value in stats.items()}
        self.arrived = torch.cuda.Event() if numbers.is_cuda else None
        if self.arrived:
            self.arrived.record()

    def read(self, guard: Guard) -> Step:
        """Wait for the numbers, and let the guard remember them."""
        if self.arrived:
            self.arrived.synchronize()
        loss, norm, refused = self.numbers.tolist()
        guard.note(loss, norm, applied=not refused)
        return Step(self.number, loss, self.weight, norm, self.lr, not refused, self.stats)


def _gradients(
    parameters: list[nn.Parameter], micro_batches: list[Any], loss: Loss, ranks: Ranks
) -> tuple[Tensor, int, dict[str, Tensor]]:
    """Leave the gradient of the mean loss on the parameters; give that mean, the weight, and the mean stats.

    All are of the step as a whole, of which each rank computes its own micro-batches.
    """
    sums, weight = [], 0
    stats: dict[str, Any] = defaultdict(float)
    for number, batch in enumerate(micro_batches, start=1):
        hold_gradients(loss, number == len(micro_batches))
        scored = Scored(*loss(batch))
        scored.total.backward()
        sums.append(scored.total.detach())
        weight += scored.weight
        for name, value in scored.stats.items():
            stats[name] += value
    total, weight, stats = ranks.totals(torch.stack(sums).double().sum(), weight, stats)
    torch._foreach_div_([local(gradient) for gradient in _present(parameters)], float(weight))
    means = {name: value / weight for name, value in stats.items()}
    return total / weight, weight, means


def _clip(parameters: list[nn.Parameter], most: float, ranks: Ranks) -> Tensor:
    """Scale the gradient down to a norm of at most `most`; give its norm before."""
    if not ranks.many:
        return torch.nn.utils.clip_grad_norm_(parameters, most)
    gradients = _present(parameters)
    norm = ranks.norm(gradients)
    torch._foreach_mul_([local(gradient) for gradient in gradients], (most / (norm + 1e-6)).clamp(max=1.0))
    return norm


def _present(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]

"""A model over the ranks: tensor parallelism, activation checkpointing, compiling, then FSDP2, in this order, from outside.

The model is made without memory (device "meta"), cut up, and only then given memory and values, so that no rank ever holds
more than its share and one tensor.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from genus.core.errors import GenusError
from genus.models.decoder import Block
from genus.models.heads import LanguageModel
from genus.models.weights import empty_model
from genus.parallel.mesh import Ranks, is_split, local, window_of
from genus.parallel.recipe import Parallel

__all__ = ["Objective", "fill", "hold_gradients", "let_go", "shard", "whole"]


class Objective(nn.Module):
    """A loss with the model it reads, as one module: what FSDP gathers for it includes the head, tied or not.

    `loss(model, batch)` gives a sum and its weight.
    """

    def __init__(self, model: LanguageModel, loss: Callable[[LanguageModel, Any], Any]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> Any:
        return self.loss(self.model, batch)


def shard(objective: Objective, parallel: Parallel, ranks: Ranks, bf16: bool, compiled: bool) -> None:
    """Cut the objective's model up over the ranks, in place. One process: only what `parallel` asks of that one.

    `compiled` compiles each block by itself, because FSDP gathers between them.
    """
    model = objective.model
    if parallel.fp8:
        _use_fp8(model)
    blocks: list[Block] = list(model.decoder.blocks)  # type: ignore[arg-type]
    if ranks.layout.tensor > 1:
        from genus.parallel.tensor import split_products

        split_products(model, ranks)
    for block in blocks:
        if compiled:
            # layers whose windows are alike are then one program, where each number would be its own, up to a limit of 8
            block.attention.layer %= len(model.spec.attention.windows)
            block.forward = torch.compile(block.forward)  # type: ignore[method-assign]
        if parallel.checkpointing == "full":
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
    if ranks.many:
        _cut_up(objective, ranks, bf16)


def _cut_up(objective: Objective, ranks: Ranks, bf16: bool) -> None:
    """FSDP2 over the blocks, and over all that is in none of them."""
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    # gathered in bf16, added up in fp32; the stream and what is not in a block stay in fp32, as under autocast alone
    policy = (
        MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False) if bf16 else MixedPrecisionPolicy()
    )
    for block in objective.model.decoder.blocks:
        fully_shard(block, mesh=ranks.data_mesh(whole=False), mp_policy=policy)
    fully_shard(objective, mesh=ranks.data_mesh(whole=True))
    for module in objective.modules():
        if isinstance(module, FSDPModule):  # the loop divides by the weight of the step; here gradients are summed
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def hold_gradients(loss: Any, last: bool) -> None:
    """Before a micro-batch: add gradients up over the ranks only in the backward of the last of a step."""
    if hasattr(loss, "set_requires_gradient_sync"):  # FSDP has made it so
        loss.set_requires_gradient_sync(last)


def let_go(loss: Any) -> None:
    """After a forward that no backward follows: give back what was gathered for it."""
    if hasattr(loss, "reshard"):
        loss.reshard()


@torch.no_grad()
def fill(parameter: Tensor, values: Tensor) -> None:
    """Set a parameter, of which this rank may hold a part, from all of its values."""
    local(parameter).copy_(values[window_of(parameter)])


@torch.no_grad()
def whole(model: LanguageModel, ranks: Ranks) -> LanguageModel | None:
    """The model put together on the first rank, one tensor at a time; None on the others, all of which must take part."""
    if not ranks.many:
        return model
    found: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        full = parameter.full_tensor() if is_split(parameter) else parameter
        if ranks.first:
            found[name] = full.detach()
    if not ranks.first:
        return None
    copy = empty_model(model.spec)
    copy.load_state_dict(found, assign=True)
    return copy


def _use_fp8(model: LanguageModel) -> None:
    """Swap the blocks' linear maps for torchao's. Raises GenusError where the GPU or the library cannot."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (9, 0):
        raise GenusError("parallel.fp8 needs a GPU that multiplies in 8 bits (Hopper or later); leave it out here")
    try:
        from torchao.float8 import convert_to_float8_training
    except ImportError:
        raise GenusError("parallel.fp8 needs torchao; install it (pip install 'genus[fp8]'), or leave it out") from None
    convert_to_float8_training(model.decoder.blocks)

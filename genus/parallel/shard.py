"""A model over the ranks: tensor parallelism, activation checkpointing, compiling, then FSDP2, in this order, from outside.

The model is made without memory (device "meta"), cut up, and only then given memory and values, so that no rank ever holds
more than its share and one tensor.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, SequenceParallel
from torch.utils.checkpoint import checkpoint

from genus.core.errors import GenusError
from genus.models.attend import FastAttend
from genus.models.decoder import Block
from genus.models.heads import LanguageModel
from genus.models.weights import empty_model
from genus.parallel.mesh import Ranks, local
from genus.parallel.plan import splits
from genus.parallel.recipe import Parallel

__all__ = ["Objective", "by_tokens", "fill", "hold_gradients", "keeps", "shard", "whole", "window_of"]


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
        _split_products(model, ranks)
    for block in blocks:
        if compiled:
            block.forward = torch.compile(block.forward)  # type: ignore[method-assign]
        if parallel.checkpointing == "full":
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
    if not ranks.many:
        return
    # gathered in bf16, added up in fp32; the stream and what is not in a block stay in fp32, as under autocast alone
    policy = (
        MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False) if bf16 else MixedPrecisionPolicy()
    )
    for block in blocks:
        fully_shard(block, mesh=ranks.data_mesh(whole=False), mp_policy=policy)
    fully_shard(objective, mesh=ranks.data_mesh(whole=True))
    for module in objective.modules():
        if isinstance(module, FSDPModule):  # the loop divides by the weight of the step; here gradients are summed
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def hold_gradients(loss: Any, last: bool) -> None:
    """Before a micro-batch: add gradients up over the ranks only in the backward of the last of a step."""
    if isinstance(loss, FSDPModule):
        loss.set_requires_gradient_sync(last)


def by_tokens(values: Tensor, ranks: Ranks) -> Tensor:
    """This rank's share of (batch, time) where rows are split by tokens: (batch, time / tensor)."""
    return values.chunk(ranks.layout.tensor, dim=1)[ranks.tensor_rank]


def keeps(tensor: Tensor, ranks: Ranks) -> bool:
    """Whether this is the first rank among those that hold the same part of a tensor."""
    if not isinstance(tensor, DTensor):
        return ranks.first
    axes = zip(tensor.device_mesh.get_coordinate() or (), tensor.placements, strict=True)
    return not any(at for at, placement in axes if placement.is_replicate())


def window_of(tensor: Tensor) -> tuple[slice, ...]:
    """Where this rank's part of a tensor lies in the whole; () is all of it."""
    if not isinstance(tensor, DTensor):
        return ()
    shape, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    return tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))


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
        full = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        if ranks.first:
            found[name] = full.detach()
    if not ranks.first:
        return None
    copy = empty_model(model.spec)
    copy.load_state_dict(found, assign=True)
    return copy


def _split_products(model: LanguageModel, ranks: Ranks) -> None:
    """Apply the plan to every block, and give each rank its tokens of the stream."""
    mesh, table = ranks.mesh["tensor"], splits(model.spec)
    for block in model.decoder.blocks:
        for name, module in list(block.named_modules()):
            if name in table:
                _STYLES[table[name]]()._apply(module, mesh)
            elif name in ("attention.k", "attention.v"):
                _apply_whole(module, mesh)
        _gather_tokens(block.attention, mesh, ranks, model.spec.attention.heads)  # type: ignore[arg-type]
        _gather_tokens(block.mlp, mesh, ranks, 0)  # type: ignore[arg-type]
    for table_of in (model.decoder.embed, model.decoder.position):
        if table_of is not None:
            table_of.register_forward_pre_hook(lambda _, inputs: (by_tokens(inputs[0], ranks),))


_STYLES: dict[str, Callable[[], Any]] = {
    "columns": ColwiseParallel,
    "rows": partial(RowwiseParallel, output_layouts=Shard(1)),
    "tokens": partial(SequenceParallel, use_local_output=True),
}


def _gather_tokens(module: nn.Module, mesh: DeviceMesh, ranks: Ranks, heads: int) -> None:
    """Give a module all tokens of the stream; attention also learns which heads are here."""
    if (sinks := getattr(module, "sinks", None)) is not None:
        module.sinks = nn.Parameter(distribute_tensor(sinks, mesh, [Shard(0)]))
    share = heads // ranks.layout.tensor
    mine = slice(ranks.tensor_rank * share, (ranks.tensor_rank + 1) * share)

    def gather(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x = DTensor.from_local(inputs[0], mesh, [Shard(1)], run_check=False).redistribute(placements=[Replicate()])
        return (x, inputs[1], _HeadsHere(inputs[2], mine)) if heads else (x,)

    module.register_forward_pre_hook(gather)


class _HeadsHere:
    """An `attend` for the heads of this rank."""

    def __init__(self, attend: FastAttend, heads: slice) -> None:
        self.attend = attend
        attend.heads = heads

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        return self.attend(layer, q, k, v, None if sinks is None else local(sinks))


def _apply_whole(module: nn.Module, mesh: DeviceMesh) -> None:
    """Every rank makes the whole output for its own use, so that their gradients add up."""

    def replicate(_: str, part: nn.Module, mesh: DeviceMesh) -> None:
        for name, parameter in part.named_parameters(recurse=False):
            part.register_parameter(name, nn.Parameter(distribute_tensor(parameter, mesh, [Replicate()])))

    def output(_: nn.Module, out: DTensor, mesh: DeviceMesh) -> Tensor:
        return out.to_local(grad_placements=[Partial()])

    distribute_module(module, mesh, replicate, output_fn=output)  # type: ignore[arg-type]


def _use_fp8(model: LanguageModel) -> None:
    """Swap the blocks' linear maps for torchao's. Raises GenusError where the GPU or the library cannot."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (9, 0):
        raise GenusError("parallel.fp8 needs a GPU that multiplies in 8 bits (Hopper or later); leave it out here")
    try:
        from torchao.float8 import convert_to_float8_training
    except ImportError:
        raise GenusError("parallel.fp8 needs torchao; install it (pip install 'genus[fp8]'), or leave it out") from None
    convert_to_float8_training(model.decoder.blocks)

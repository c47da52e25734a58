"""Tensor parallelism as DTensor does it: the plan's words as its styles, put around the modules of a model from outside."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, SequenceParallel

from genus.models.attend import FastAttend
from genus.models.heads import LanguageModel
from genus.parallel.mesh import Ranks, by_tokens, local
from genus.parallel.plan import splits

__all__ = ["split_products"]


def split_products(model: LanguageModel, ranks: Ranks) -> None:
    """Apply the plan to every block, and give each rank its tokens of the stream. In place."""
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
    "heads": partial(SequenceParallel, sequence_dim=2, use_local_output=True),
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

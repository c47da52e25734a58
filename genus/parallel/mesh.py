"""The processes of a run, where this one stands among them, and what they tell each other. One process needs no word of it.

Started by torchrun or Slurm, which say in the environment who is who. How a model is cut up over the mesh is in shard.py.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeGuard

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from genus.core.errors import GenusError
from genus.core.progress import set_quiet
from genus.parallel.recipe import Layout, Parallel, layout_of

__all__ = ["Ranks", "by_tokens", "is_split", "joined", "keeps", "local", "window_of"]

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

_PATIENCE = timedelta(minutes=30)  # for others: the first may write a model folder meanwhile


class Ranks:
    """All processes of a run. By default this is the only one.

    `first` alone prints and writes what is written once; `data_rank` counts the readers of rows, `tensor_rank` those that
    share their rows.
    """

    def __init__(self, layout: Layout | None = None, rank: int = 0, device: str = "cpu") -> None:
        self.layout, self.rank, self.device = layout or Layout(), rank, device
        self.world, self.first, self.many = self.layout.world, rank == 0, self.layout.world > 1
        self.data_rank, self.tensor_rank = divmod(rank, self.layout.tensor)
        if self.many:
            sizes = (self.layout.replicate, self.layout.shard, self.layout.tensor)
            self.mesh = init_device_mesh(device, sizes, mesh_dim_names=("replicate", "shard", "tensor"))
            # what no tensor splits is cut up over the tensor axis too, whose ranks hold different tokens of a row
            rest = (self.layout.replicate, self.layout.shard * self.layout.tensor)
            self._rest = init_device_mesh(device, rest, mesh_dim_names=("replicate", "shard"))
            self._files = dist.new_group(backend="gloo", timeout=_PATIENCE)  # for the thread that writes checkpoints

    def __str__(self) -> str:
        layout = self.layout
        return f"{self.world}: replicate {layout.replicate} x shard {layout.shard} x tensor {layout.tensor}"

    def data_mesh(self, whole: bool) -> DeviceMesh:
        """The mesh that FSDP cuts up over: of what tensor parallelism leaves `whole`, or of what it splits."""
        copies = self.layout.replicate > 1
        if whole:
            return self._rest if copies else self._rest["shard"]
        return self.mesh["replicate", "shard"] if copies else self.mesh["shard"]

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all ranks, the same bits on each; `value` itself is not changed."""
        if not self.many:
            return value
        summed = value.clone()
        dist.all_reduce(summed)
        return summed

    def totals(self, loss: Tensor, weight: int, stats: Mapping[str, Tensor]) -> tuple[Tensor, int, dict[str, Tensor]]:
        """`total` of a step's sums, in one message and in fp64."""
        if not self.many:
            return loss, weight, dict(stats)
        values = [loss, torch.tensor(weight, device=loss.device), *stats.values()]
        summed = self.total(torch.cat([value.double().flatten() for value in values]))
        parts = summed.split([value.numel() for value in values])
        named = {name: part.view_as(stats[name]) for name, part in zip(stats, parts[2:], strict=True)}
        return parts[0].squeeze(), round(parts[1].item()), named

    def any(self, flag: bool) -> bool:
        """Whether it is so on any rank."""
        return bool(self.total(torch.tensor(int(flag))).item())

    def wait(self) -> None:
        """Until all are here."""
        self.any(False)

    def all_wrote(self, well: bool) -> bool:
        """Whether all did, asked from the thread that writes checkpoints, beside whatever the step is telling."""
        if not self.many:
            return well
        failed = torch.tensor(int(not well))
        dist.all_reduce(failed, group=self._files)
        return not failed.item()

    def norm(self, gradients: list[Tensor]) -> Tensor:
        """The norm of a gradient of which each rank holds parts; what several ranks hold alike counts once."""
        parts = [local(gradient) for gradient in gradients]
        squares = [part.float().square().sum() for part in torch._foreach_norm(parts)]
        shares = torch.tensor([1 / _copies(gradient, self.world) for gradient in gradients], device=parts[0].device)
        return self.total((torch.stack(squares) * shares).sum()).sqrt()


@contextlib.contextmanager
def joined(parallel: Parallel, device: torch.device) -> Iterator[Ranks]:
    """The ranks that torchrun's environment describes; all but the first are quiet.

    Raises GenusError for a layout that they do not make, before any of them waits for another.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    layout = layout_of(parallel, world)
    if world == 1:
        yield Ranks()
        return
    if rank:
        set_quiet(True)
    # it warns that what two axes cut up takes two messages to gather
    logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)
    if device.type == "cuda":
        place = int(os.environ.get("LOCAL_RANK", "0"))
        if place >= torch.cuda.device_count():
            raise GenusError(f"process {place} of this machine has no GPU of its own; start {torch.cuda.device_count()}")
        torch.cuda.set_device(place)
    _meet(world, rank, device)
    try:
        yield Ranks(layout, rank, device.type)
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "peer" in str(error):  # so gloo and NCCL say it
            why = str(error).split("\n", maxsplit=1)[0][:200]
            raise GenusError(
                f"process {rank} has lost another ({why}); look for that one's own message, then give the same command again"
            ) from error
        raise
    dist.destroy_process_group()  # not after an error: the others may be gone


def _meet(world: int, rank: int, device: torch.device) -> None:
    """Start telling the other ranks things."""
    from torch._C._distributed_c10d import PrefixStore, Store
    from torch.distributed.rendezvous import rendezvous

    store: Store = next(rendezvous("env://", timeout=_PATIENCE))[0]
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        # torchrun keeps one store over its restarts, in which the addresses of dead processes are still written.
        # On several machines the counts may differ: docs/scale.md
        store = PrefixStore(f"start-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=_PATIENCE)


def by_tokens(values: Tensor, ranks: Ranks) -> Tensor:
    """This rank's share of (batch, time) where rows are split by tokens: (batch, time / tensor)."""
    return values.chunk(ranks.layout.tensor, dim=1)[ranks.tensor_rank]


def is_split(tensor: Tensor) -> TypeGuard["DTensor"]:
    """Whether it is a DTensor. Asked so, one process need not import what DTensor needs: 1 s."""
    return hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor, sharing its memory."""
    return tensor.to_local() if is_split(tensor) else tensor


def keeps(tensor: Tensor, ranks: Ranks) -> bool:
    """Whether this is the first rank among those that hold the same part of a tensor."""
    if not is_split(tensor):
        return ranks.first
    axes = zip(tensor.device_mesh.get_coordinate() or (), tensor.placements, strict=True)
    return not any(at for at, placement in axes if placement.is_replicate())


def window_of(tensor: Tensor) -> tuple[slice, ...]:
    """Where this rank's part of a tensor lies in the whole; () is all of it."""
    if not is_split(tensor):
        return ()
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    shape, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    return tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))


def _copies(tensor: Tensor, world: int) -> int:
    """How many ranks hold each part of a tensor."""
    if not is_split(tensor):
        return world
    kept = 1
    for axis, placement in enumerate(tensor.placements):
        kept *= tensor.device_mesh.size(axis) if placement.is_replicate() else 1
    return kept * world // tensor.device_mesh.size()

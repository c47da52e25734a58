"""What a user chooses of a run over many processes, and the layout that follows. Light: no PyTorch here."""

from dataclasses import dataclass
from typing import Literal

from genus.core.errors import GenusError
from genus.models.spec import DecoderSpec, Experts

__all__ = ["Layout", "Parallel", "check_layout", "layout_of", "uneven"]


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """How torchrun's processes share the work. A run may go on with another number of them, and with other values here."""

    shard: int = 0
    """Processes among which weights, gradients and optimizer state are cut up (FSDP2); 0 is all that the others leave."""
    replicate: int = 1
    """Copies of that whole, each with its own rows (HSDP): one a machine keeps the gathering within machines."""
    tensor: int = 1
    """Processes that split each matrix product, and the norms by tokens; keep them within a machine."""
    checkpointing: Literal["none", "full"] = "none"
    """Activations within blocks: kept, or computed again (full), for less memory and a third more arithmetic."""
    fp8: bool = False
    """Matrix products in 8 bits, on GPUs that have it (Hopper and later) and with torchao installed."""

    def __post_init__(self) -> None:
        if self.shard < 0 or self.replicate < 1 or self.tensor < 1:
            raise GenusError("parallel: replicate and tensor must be at least 1, and shard at least 0; correct the recipe")


@dataclass(frozen=True)
class Layout:
    """Processes along each axis of the mesh, the innermost last. Ranks that differ only in `tensor` read the same rows."""

    replicate: int = 1
    shard: int = 1
    tensor: int = 1

    @property
    def world(self) -> int:
        """All processes."""
        return self.replicate * self.shard * self.tensor

    @property
    def data(self) -> int:
        """Processes, or groups of them, that read rows of their own."""
        return self.replicate * self.shard


def layout_of(parallel: Parallel, world: int) -> Layout:
    """The layout of `world` processes. Raises GenusError when they do not divide so."""
    fixed = parallel.replicate * parallel.tensor
    shard = parallel.shard or max(1, world // fixed)
    if shard * fixed != world:
        raise GenusError(
            f"parallel: replicate {parallel.replicate} x shard {parallel.shard or 'auto'} x tensor {parallel.tensor} "
            f"does not make the {world} processes there are; start {shard * fixed} (torchrun --nproc-per-node), or change it"
        )
    return Layout(parallel.replicate, shard, parallel.tensor)


def check_layout(layout: Layout, spec: DecoderSpec, batch: int, micro_batch: int) -> None:
    """Raise GenusError, naming the field to change, where the model or the step cannot be cut up so."""
    rows = batch // layout.data
    if batch % layout.data:
        raise GenusError(f"batch = {batch} rows cannot be shared out among {layout.data} readers; choose a multiple")
    if rows % min(rows, micro_batch):
        raise GenusError(
            f"micro_batch = {micro_batch} does not divide the {rows} rows that each of {layout.data} readers gets "
            f"of batch = {batch}; choose a divisor of {rows}"
        )
    if reason := uneven(spec, spec.context, layout.tensor):
        raise GenusError(f"parallel: {reason}")


def uneven(spec: DecoderSpec, context: int, ways: int) -> str:
    """Why rows of `context` tokens and the model's matrix products cannot be split so; "" where they can."""
    if ways == 1:
        return ""
    if isinstance(spec.mlp, Experts):
        return f"tensor = {ways} does not split experts; use tensor = 1 and more of shard"
    sizes = {"heads": spec.attention.heads, "hidden": spec.each_mlp.hidden, "context": context}
    if spec.attention.kv_heads > 1:  # a single one is kept whole
        sizes["kv_heads"] = spec.attention.kv_heads
    for name, size in sizes.items():
        if size % ways:
            return f"tensor = {ways} does not divide model.{name} = {size}; choose a divisor"
    return ""

"""The bytes that a training step holds, counted on tensors without memory: the real model and loss, run on shapes alone.

Every storage that an operation makes is counted until it is freed, so saved activations and temporaries are what the code
makes of them. Not seen: what a kernel allocates within itself, and what an allocator leaves unused between blocks.
"""

import contextlib
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from genus.models.heads import LanguageModel
from genus.models.parts.experts import ExpertMlps
from genus.models.spec import DecoderSpec
from genus.train.cross_entropy import chunk_rows
from genus.train.losses import Tokens, next_token
from genus.train.optim import make_optimizer
from genus.train.recipe import Optim

__all__ = ["Bytes", "LiveBytes", "Micro", "trace"]

Bytes = Counter[str]
"""By kind: weights, gradients (of blocks), outer (gradients of what is in no block), optimizer, activations, and casts
(copies of weights in the format of the computation)."""

_CAST = torch.ops.aten._to_copy.default


@dataclass(frozen=True, kw_only=True)
class Micro:
    """What one device computes at once. Among `ways` the stream is split by tokens (tensor parallelism); of the matrix
    products that they split, the spec has one device's share."""

    rows: int
    time: int
    bf16: bool
    checkpointing: bool = False
    accumulated: bool = False  # gradients of an earlier micro-batch are there already
    ways: int = 1
    split_tables: bool = False  # by the vocabulary among them, and so the logits; the spec has one device's share
    many: bool = False  # other devices hold most of the weights: the fullest moment is that of the other kinds
    cpu: bool = True  # the loss takes fewer rows at once there
    optim: Optim = Optim()  # noqa: RUF009 - frozen

    def size(self, held: Bytes) -> int:
        """Of the bytes held, those that decide which moment is the fullest."""
        return held["activations"] + held["outer"] if self.many else held.total()


class LiveBytes(TorchDispatchMode):
    """While active, the bytes of every storage that operations make, by kind, and for each phase the fullest moment,
    by `size`."""

    def __init__(self, size: Callable[[Bytes], int] = Counter.total) -> None:
        super().__init__()
        self.size = size
        self.live: Bytes = Counter()
        self.peaks: dict[str, Bytes] = {}
        self.phase = ""
        self._kinds: dict[int, tuple[str, int, Any]] = {}  # storage -> its kind, its bytes, what tells when it is gone

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        cast = func is _CAST and self._kinds.get(args[0].untyped_storage()._cdata, ("",))[0] == "weights"
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._count(leaf, "casts" if cast else "activations")
        return out

    def enter(self, phase: str) -> None:
        """Begin a phase: its fullest moment is kept apart."""
        self.phase = phase
        self._look()

    def mark(self, tensor: Tensor | None, kind: str) -> None:
        """Count a tensor's storage as another kind from here on."""
        if tensor is not None:
            self._count(tensor, kind)
            known, size, gone = self._kinds[tensor.untyped_storage()._cdata]
            self.live[known] -= size
            self.live[kind] += size
            self._kinds[tensor.untyped_storage()._cdata] = (kind, size, gone)

    def _count(self, tensor: Tensor, kind: str) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._kinds:
            self._kinds[key] = (kind, size, weakref.ref(storage, partial(self._gone, key)))
            self.live[kind] += size
            self._look()

    def _gone(self, key: int, _: Any) -> None:
        kind, size, _ = self._kinds.pop(key)
        self.live[kind] -= size

    def _look(self) -> None:
        if self.phase not in self.peaks or self.size(self.live) > self.size(self.peaks[self.phase]):
            self.peaks[self.phase] = self.live.copy()


def trace(spec: DecoderSpec, micro: Micro) -> dict[str, Bytes]:
    """The fullest moment of each phase of a step that is not the first: forward (with the loss), the backward of the last
    block, of the next, of the first, update.

    Deep models are traced at two small depths: each moment's bytes grow evenly with every further round of windows.
    """
    period = len(spec.attention.windows)
    few = spec.depth % period + period * -(-4 // period)  # at least 4: last, next and first are not one, Muon takes 4
    if spec.depth <= few + period:
        return _peaks(spec, micro)
    less, more = (_peaks(replace(spec, depth=depth), micro) for depth in (few, few + period))
    further = (spec.depth - few) // period
    return {
        phase: Counter({kind: less[phase][kind] + further * (held[kind] - less[phase][kind]) for kind in held})
        for phase, held in more.items()
        if phase in less and phase != "within"  # which is between next and first, and so is what it holds
    }


@lru_cache(maxsize=256)
def _peaks(spec: DecoderSpec, micro: Micro) -> dict[str, Bytes]:
    """See trace; and of the backward of the blocks within."""
    rows = chunk_rows("cpu" if micro.cpu else "cuda", spec.vocab)
    with FakeTensorMode(), LiveBytes(micro.size) as live:
        model = _weightless(spec, live)
        optimizer = make_optimizer(model, micro.optim)
        _fill_state(model, optimizer, live, micro.accumulated)
        names = {spec.depth - 1: "last", spec.depth - 2: "next", 0: "first"}
        for layer, block in enumerate(model.decoder.blocks):
            _watch(block, micro, partial(live.enter, names.get(layer, "within")))
            if isinstance(block.mlp, ExpertMlps):
                block.mlp.loads = partial(_evenly, block.mlp.experts.count)  # type: ignore[method-assign]
        tokens = targets = torch.zeros((micro.rows, micro.time // micro.ways), dtype=torch.long)
        if micro.split_tables:
            model.decoder.register_forward_hook(lambda _, __, hidden: hidden.repeat(1, micro.ways, 1))
            targets = tokens.repeat(1, micro.ways)
        with torch.autocast("cpu", torch.bfloat16) if micro.bf16 else contextlib.nullcontext():
            scored = next_token(model, Tokens(tokens, targets, torch.zeros_like(tokens)), chunk=rows)
        scored.total.backward()
        del scored
        live.enter("update")
        optimizer.step()
    return live.peaks


def _weightless(spec: DecoderSpec, live: LiveBytes) -> LanguageModel:
    """A model whose weights have shapes and no values."""
    with torch.device("meta"):
        model = LanguageModel(spec)
    for path, module in model.named_modules():
        kind = "gradients" if path.startswith("decoder.blocks.") else "outer"
        for name, parameter in module._parameters.items():
            if parameter is not None:
                weight = nn.Parameter(torch.empty(parameter.shape))
                module._parameters[name] = weight
                live.mark(weight, "weights")
                weight.register_post_accumulate_grad_hook(lambda weight, kind=kind: live.mark(weight.grad, kind))
    return model.train()


def _fill_state(model: nn.Module, optimizer: torch.optim.Optimizer, live: LiveBytes, accumulated: bool) -> None:
    """As after a first step: the optimizer's state is there, and where micro-batches are added up, the gradients too."""
    for path, parameter in model.named_parameters():
        parameter.grad = torch.empty_like(parameter)
        live.mark(parameter.grad, "gradients" if path.startswith("decoder.blocks.") else "outer")
    optimizer.step()
    for state in optimizer.state.values():
        for value in state.values():
            live.mark(value, "optimizer")
    if not accumulated:
        optimizer.zero_grad(set_to_none=True)
    live.peaks.clear()
    live.phase = "forward"


def _watch(block: nn.Module, micro: Micro, entered: Callable[[], None]) -> None:
    """Tell when the backward of a block begins; recompute it there, and split it by tokens, where that is asked for."""
    if micro.ways > 1:
        for name in ("attention", "mlp"):
            part = block.get_submodule(name)
            part.register_forward_pre_hook(partial(_gather, ways=micro.ways))
            part.register_forward_hook(partial(_scatter, ways=micro.ways))
    compute = block.forward
    if micro.checkpointing:
        compute = partial(checkpoint, compute, use_reentrant=False, preserve_rng_state=False)
    block.forward = lambda *inputs: _Telling.apply(compute(*inputs), entered)


def _gather(_: nn.Module, inputs: tuple[Any, ...], ways: int) -> tuple[Any, ...]:
    """All tokens of the stream, and their turns, as an all-gather would bring them."""
    x, *rest = inputs
    if rest and rest[0] is not None:
        rest[0] = tuple(part.repeat(1, ways, 1, 1) for part in rest[0])
    return (x.repeat(1, ways, 1), *rest)


def _scatter(_: nn.Module, __: Any, out: Tensor, ways: int) -> Tensor:
    """This device's tokens of a sum over devices."""
    return out[:, : out.shape[1] // ways].clone()


class _Telling(torch.autograd.Function):
    """The identity; its backward says that it is reached."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tell: Callable[[], None]) -> Tensor:
        ctx.tell = tell
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        ctx.tell()
        return grad, None


def _evenly(experts: int, chosen: Tensor) -> list[int]:
    """Which expert a token meets, shapes do not tell: here each gets its fair share."""
    return [len(range(expert, chosen.numel(), experts)) for expert in range(experts)]

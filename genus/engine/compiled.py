"""A packed model as a list of computations. It says what models/decoder.py says, and tests hold the two together.

Not for models with experts, whose routers decide in every step what there is to compute.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genus.engine.attending import POSITIONS, TOKENS, TURN, WANTED, KernelStep, KernelStore
from genus.engine.kernels.product import PAIR, SIX
from genus.engine.kernels.program import At, Op, activate_op, gather_op, norm_op, rotate_op, run, table
from genus.engine.packed import PackedModel
from genus.models.parts.norm import LayerNorm
from genus.models.parts.position import rotation
from genus.models.spec import DecoderSpec, Experts, Rotary

__all__ = ["Listed", "can_list"]


def can_list(spec: DecoderSpec) -> bool:
    """Whether every step of a model is the same computations."""
    return not isinstance(spec.mlp, Experts)


class Listed:
    """A packed model as two lists: for all tokens of a step, up to `rows`, and for those whose logits are wanted."""

    def __init__(self, model: PackedModel, store: KernelStore, rows: int) -> None:
        self.model, self.spec, self.store, self.rows = model, model.spec, store, max(rows, SIX)
        spec, part, mlp = model.spec, model.spec.attention, model.spec.mlp
        assert not isinstance(mlp, Experts)
        self.x, self.normed, self.sum = (self._room(spec.width) for _ in range(3))
        self.embedded = self._room(spec.embed_width) if spec.embed_dim else self.x
        self.q, self.attended = (self._room(part.heads * part.head_dim) for _ in range(2))
        self.k, self.v = (self._room(part.kv_heads * part.head_dim) for _ in range(2))
        self.up, self.gate = self._room(mlp.hidden), self._room(mlp.hidden if mlp.gated else 0)
        self.numbers = torch.tensor([spec.norm.eps, mlp.clamp or 0, mlp.shift])
        self.eps, self.clamp, self.shift = (self.numbers[place:].data_ptr() for place in range(3))
        self.logits = torch.zeros(SIX, model.head.padded)
        blocks = [op for layer, block in enumerate(model.decoder.blocks) for op in self._block(layer, block)]
        self.ops, self.last = table([*self._enter(), *blocks]), table(list(self._leave()))

    def __call__(self, tokens: Sequence[int], positions: Sequence[int], wanted: Sequence[int], step: KernelStep) -> Tensor:
        """Read the tokens at their positions; logits (wanted, vocab) of those rows, to be read before the next call."""
        step.tell(TOKENS, *(np.array(each, np.int64) for each in (tokens, positions, wanted)))
        if isinstance(self.spec.position, Rotary):
            angles = rotation(self.spec.position, torch.tensor(positions)[None])
            step.tell(TURN, *(each.flatten(0, -2).contiguous().numpy() for each in angles))
        run(self.model.form, self.ops, len(tokens), step.words.ctypes.data)
        if len(self.logits) < len(wanted):
            self.logits = torch.zeros(len(wanted), self.model.head.padded)
            self.last = table(list(self._leave()))
        if wanted:
            run(self.model.form, self.last, len(wanted), step.words.ctypes.data)
        logits = self.logits[: len(wanted), : self.spec.vocab]
        return logits if self.model.scale == 1 else logits * self.model.scale

    def _enter(self) -> Iterator[Op]:
        """What comes before the blocks."""
        spec, decoder = self.spec, self.model.decoder
        yield gather_op(_at(self.embedded), _at(decoder.embed.weight), spec.embed_width, TOKENS)
        if decoder.project is not None:
            yield self._linear(decoder.project, self.embedded, self.x)
        if decoder.position is not None:
            table = decoder.position.weight[decoder.offset :]
            yield gather_op(_at(self.x), _at(table), spec.width, POSITIONS, added=True)
        if decoder.embed_norm is not None:
            yield self._norm(decoder.embed_norm, self.x, self.x)

    def _leave(self) -> Iterator[Op]:
        """The last norm and the head, for the rows that are wanted."""
        norm, head, project = self.model.decoder.norm, self.model.head, self.model.project
        yield gather_op(_at(self.normed), _at(self.x), self.spec.width, WANTED)
        if not isinstance(norm, nn.Identity):
            yield self._norm(norm, self.normed, self.normed)
        if project is not None:
            yield self._linear(project, self.normed, self.embedded)
        yield self._linear(head, self.normed if project is None else self.embedded, self.logits)

    def _room(self, width: int) -> Tensor:
        return torch.zeros(self.rows, -(-width // PAIR) * PAIR)

    def _block(self, layer: int, block: Any) -> Iterator[Op]:
        """See models.decoder.Block."""
        x, normed, attention, mlp = self.x, self.normed, block.attention, block.mlp
        mlp_norm = block.mlp_norm or block.attention_norm
        match block.wiring:
            case "pre":
                yield self._norm(block.attention_norm, x, normed)
                yield from self._attention(attention, normed, self.sum, x)
                yield self._norm(mlp_norm, self.sum, normed)
                yield from self._mlp(mlp, normed, x, self.sum)
            case "post":
                yield from self._attention(attention, x, self.sum, x)
                yield self._norm(block.attention_norm, self.sum, x)
                yield from self._mlp(mlp, x, self.sum, x)
                yield self._norm(mlp_norm, self.sum, x)
            case _:
                yield self._norm(block.attention_norm, x, normed)
                yield from self._attention(attention, normed, self.sum, x)
                if block.mlp_norm is not None:
                    yield self._norm(mlp_norm, x, normed)
                yield from self._mlp(mlp, normed, x, self.sum)

    def _attention(self, part: Any, x: Tensor, y: Tensor, residual: Tensor) -> Iterator[Op]:
        """y = residual + attention(x); see models.parts.attention.SelfAttention."""
        spec, position = self.spec.attention, self.spec.position
        yield from self._side_by_side(
            self._linear(part.q, x, self.q), self._linear(part.k, x, self.k), self._linear(part.v, x, self.v)
        )
        heads = (part.q_norm, self.q, spec.heads), (part.k_norm, self.k, spec.kv_heads)
        for norm, tensor, count in heads:
            if norm is not None:
                yield self._norm(norm, tensor, tensor, (spec.head_dim, count))
        if isinstance(position, Rotary):
            for _, tensor, count in heads:
                yield rotate_op(_at(tensor), count, spec.head_dim, position.dim // 2, position.pairs == "neighbours")
        kv = self.k.data_ptr(), self.v.data_ptr(), _at(self.k)[1]
        yield self.store.attend_op(part.layer, _at(self.q), kv, _at(self.attended), part.sinks)
        yield self._linear(part.out, self.attended, y, residual)

    def _mlp(self, part: Any, x: Tensor, y: Tensor, residual: Tensor) -> Iterator[Op]:
        """y = residual + mlp(x); see models.parts.mlp.FeedForward."""
        mlp, gate, row = part.mlp, 0, (_at(self.up)[1], self.up.shape[1] // 8)
        up = self._linear(part.up, x, self.up)
        if part.gate is None:
            yield up
        else:
            gate = self.gate.data_ptr()
            yield from self._side_by_side(up, self._linear(part.gate, x, self.gate))
        clamp, shift = self.clamp if mlp.clamp is not None else 0, self.shift if mlp.shift else 0
        yield activate_op(self.up.data_ptr(), gate, row, mlp.activation, clamp, shift)
        yield self._linear(part.down, self.up, y, residual)

    def _linear(self, layer: Any, x: Tensor, y: Tensor, residual: Tensor | None = None) -> Op:
        return layer.op(_at(x), _at(y), 0 if residual is None else residual.data_ptr())

    def _norm(self, norm: Any, x: Tensor, y: Tensor, shape: tuple[int, int] | None = None) -> Op:
        gain, bias = norm.weight, getattr(norm, "bias", None)
        numbers = 0 if gain is None else gain.data_ptr(), 0 if bias is None else bias.data_ptr(), self.eps
        return norm_op(_at(x), _at(y), numbers, shape or (self.spec.width, 1), isinstance(norm, LayerNorm))

    def _side_by_side(self, *ops: Op) -> Iterator[Op]:
        """Computations that need nothing of each other."""
        for op in ops[:-1]:
            yield [op[0], 0, *op[2:]]
        yield ops[-1]


def _at(tensor: Tensor) -> At:
    return tensor.data_ptr(), 4 * tensor.stride(0)

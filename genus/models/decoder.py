"""The one decoder of the lineage: embedding, blocks, final norm. It knows neither serving, nor parallelism, nor a family."""

import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.attend import Attend
from genus.models.parts.attention import SelfAttention
from genus.models.parts.mlp import FeedForward
from genus.models.parts.norm import make_norm
from genus.models.parts.position import Rotation, rotation
from genus.models.spec import DecoderSpec, Learned, Rotary

__all__ = ["Block", "Decoder"]


class Block(nn.Module):
    """Attention and MLP on a residual stream, wired as the spec says.

    pre                x = x + attention(norm(x)); x = x + mlp(norm'(x))         (GPT-2)
    parallel_one_norm  x = x + attention(norm(x)) + mlp(norm(x))                 (GPT-J)
    """

    def __init__(self, spec: DecoderSpec, layer: int) -> None:
        super().__init__()
        self.dropout = spec.dropout
        self.attention_norm = make_norm(spec.norm, spec.width)
        self.attention = SelfAttention(spec, layer)
        self.mlp_norm = make_norm(spec.norm, spec.width) if spec.wiring == "pre" else None
        self.mlp = FeedForward(spec)

    def forward(self, x: Tensor, turn: Rotation | None, attend: Attend) -> Tensor:
        normed = self.attention_norm(x)
        attended = self._drop(self.attention(normed, turn, attend))
        if self.mlp_norm is None:
            return x + attended + self._drop(self.mlp(normed))
        x = x + attended
        return x + self._drop(self.mlp(self.mlp_norm(x)))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class Decoder(nn.Module):
    """tokens and positions (batch, time), whole numbers -> hidden (batch, time, width)."""

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embed = nn.Embedding(spec.vocab, spec.width)
        self.position = nn.Embedding(spec.context, spec.width) if isinstance(spec.position, Learned) else None
        self.embed_norm = make_norm(spec.norm, spec.width) if spec.embed_norm else None
        self.blocks = nn.ModuleList(Block(spec, layer) for layer in range(spec.depth))
        self.norm = make_norm(spec.norm, spec.width)

    def forward(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        x = self.embed(tokens)
        if self.position is not None:
            x = x + self.position(positions)
        if self.embed_norm is not None:
            x = self.embed_norm(x)
        x = F.dropout(x, self.spec.dropout, self.training)
        turn = rotation(self.spec.position, positions) if isinstance(self.spec.position, Rotary) else None
        for block in self.blocks:
            x = block(x, turn, attend)
        return self.norm(x)

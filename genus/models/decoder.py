"""The one decoder of the lineage: embedding, blocks, final norm. It knows neither serving, nor parallelism, nor a family."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.attend import Attend
from genus.models.parts.attention import SelfAttention
from genus.models.parts.experts import ExpertMlps
from genus.models.parts.mlp import FeedForward
from genus.models.parts.norm import make_norm
from genus.models.parts.position import Rotation, rotation
from genus.models.spec import DecoderSpec, Experts, Learned, Rotary

__all__ = ["Block", "Decoder"]


class Block(nn.Module):
    """Attention and MLP on a residual stream, wired as the spec says.

    pre                x = x + attention(norm(x)); x = x + mlp(norm'(x))         (GPT-2)
    post               x = norm(x + attention(x)); x = norm'(x + mlp(x))         (GPT-1)
    parallel           x = x + attention(norm(x)) + mlp(norm'(x))                (GPT-NeoX)
    parallel_one_norm  x = x + attention(norm(x)) + mlp(norm(x))                 (GPT-J)
    """

    def __init__(self, spec: DecoderSpec, layer: int) -> None:
        super().__init__()
        self.dropout, self.wiring = spec.dropout, spec.wiring
        self.attention_norm = make_norm(spec.norm, spec.width)
        self.attention = SelfAttention(spec, layer)
        self.mlp_norm = None if spec.wiring == "parallel_one_norm" else make_norm(spec.norm, spec.width)
        self.mlp = (ExpertMlps if isinstance(spec.mlp, Experts) else FeedForward)(spec.mlp, spec.width)  # type: ignore[arg-type]

    def forward(self, x: Tensor, turn: Rotation | None, attend: Attend, only: Tensor | None = None) -> Tensor:
        """x (batch, time, width) -> the same; of the places that `only` (batch, time) marks, (marked, width)."""
        mlp_norm = self.mlp_norm or self.attention_norm
        normed = x if self.wiring == "post" else self.attention_norm(x)
        attended = self._drop(self.attention(normed, turn, attend))
        if only is not None:
            x, normed, attended = x[only], normed[only], attended[only]
        if self.wiring == "post":
            x = self.attention_norm(x + attended)
            return mlp_norm(x + self._drop(self.mlp(x)))
        if self.wiring == "pre":
            x = x + attended
            return x + self._drop(self.mlp(mlp_norm(x)))
        return x + attended + self._drop(self.mlp(normed if self.mlp_norm is None else mlp_norm(x)))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class Decoder(nn.Module):
    """tokens and positions (batch, time), whole numbers -> hidden (batch, time, width).

    With `only`, a mask (batch, time), hidden (marked, width) of the marked places: the last block, after which nothing looks
    back, is not finished for the others. After a forward in training, `rms` is the sum over these tokens of their root mean
    square before the last norm.
    """

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embed = nn.Embedding(spec.vocab, spec.embed_width)
        self.project = nn.Linear(spec.embed_dim, spec.width, bias=False) if spec.embed_dim else None
        self.offset = spec.position.offset if isinstance(spec.position, Learned) else 0
        rows = spec.context + self.offset
        self.position = nn.Embedding(rows, spec.width) if isinstance(spec.position, Learned) else None
        self.embed_norm = make_norm(spec.norm, spec.width) if spec.embed_norm else None
        self.blocks = nn.ModuleList(Block(spec, layer) for layer in range(spec.depth))
        self.rms: Tensor | None = None
        self.norm = nn.Identity() if spec.wiring == "post" else make_norm(spec.norm, spec.width)

    def forward(self, tokens: Tensor, positions: Tensor, attend: Attend, only: Tensor | None = None) -> Tensor:
        x = self.embed(tokens)
        if self.project is not None:
            x = self.project(x)
        if self.position is not None:
            x = x + self.position(positions + self.offset)
        if self.embed_norm is not None:
            x = self.embed_norm(x)
        x = F.dropout(x, self.spec.dropout, self.training)
        turn = rotation(self.spec.position, positions) if isinstance(self.spec.position, Rotary) else None
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, turn, attend)
        if isinstance(last.mlp, ExpertMlps):  # whose router is balanced over whole rows
            x = last(x, turn, attend)
            x = x if only is None else x[only]
        else:
            x = last(x, turn, attend, only)
        if self.training:
            self.rms = torch.linalg.vector_norm(x.detach(), dim=-1, dtype=torch.float32).sum() / self.spec.width**0.5
        return self.norm(x)

"""What a decoder is: a frozen description in the vocabulary of the lineage, checked when it is made.

Not here: weights, code that computes, or the name of any family. When a model does not fit, add a part.
"""

from dataclasses import dataclass
from typing import Literal

from genus.core.errors import GenusError

__all__ = ["Activation", "Alibi", "Attention", "DecoderSpec", "Learned", "Mlp", "Norm", "Position", "Rotary", "Wiring"]

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]
Wiring = Literal["pre", "parallel_one_norm"]


@dataclass(frozen=True, kw_only=True)
class Norm:
    """LayerNorm, or RMSNorm (no mean, no bias)."""

    kind: Literal["layer", "rms"] = "layer"
    eps: float = 1e-5
    bias: bool = True

    @property
    def vectors(self) -> int:
        """Learned vectors of the model's width: gain, and bias where there is one."""
        return 2 if self.kind == "layer" and self.bias else 1


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A learned vector for each position, added to the token's (GPT-1)."""


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Queries and keys turned by an angle that grows with the position (RoPE, arXiv 2104.09864).

    `dim` is how many dimensions of a head turn; `pairs` says which two turn together: neighbours (2m, 2m+1), or
    the halves (m, m + dim/2).
    """

    dim: int
    base: float = 10_000.0
    pairs: Literal["halves", "neighbours"] = "halves"


@dataclass(frozen=True, kw_only=True)
class Alibi:
    """A penalty on attention scores that grows with distance, one slope a head (arXiv 2108.12409)."""


Position = Learned | Rotary | Alibi


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Causal self-attention. `kv_heads` fewer than `heads` share keys and values; `scale` None means head_dim ** -0.5."""

    heads: int
    kv_heads: int
    head_dim: int
    scale: float | None = None
    bias: bool = True  # of q, k and v
    out_bias: bool = True


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """Two linear maps with an activation between; `gated` multiplies the activated gate into a third (SwiGLU)."""

    hidden: int
    activation: Activation = "gelu_tanh"
    gated: bool = False
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """A decoder-only transformer. Raises GenusError for a shape that cannot be."""

    vocab: int
    context: int
    width: int
    depth: int
    norm: Norm
    position: Position
    attention: Attention
    mlp: Mlp
    wiring: Wiring = "pre"
    embed_norm: bool = False
    tied: bool = True
    head_bias: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        attention = self.attention
        sizes = {
            "vocab": self.vocab,
            "context": self.context,
            "width": self.width,
            "depth": self.depth,
            "attention.heads": attention.heads,
            "attention.kv_heads": attention.kv_heads,
            "attention.head_dim": attention.head_dim,
            "mlp.hidden": self.mlp.hidden,
        }
        for name, size in sizes.items():
            if not 1 <= size < 2**31:
                raise GenusError(f"{name} = {size} is not a size; choose a whole number from 1 to 2^31 - 1")
        if attention.heads % attention.kv_heads:
            raise GenusError(
                f"attention.kv_heads = {attention.kv_heads} does not divide attention.heads = {attention.heads}; "
                "choose a divisor"
            )
        if isinstance(self.position, Rotary) and not (
            2 <= self.position.dim <= attention.head_dim and self.position.dim % 2 == 0
        ):
            raise GenusError(
                f"position.dim = {self.position.dim} cannot turn in pairs in a head of {attention.head_dim}; "
                f"choose an even number from 2 to {attention.head_dim}"
            )
        if not 0 <= self.dropout < 1:
            raise GenusError(f"dropout = {self.dropout} is not a share; choose a number from 0 to below 1")

    @property
    def parameters(self) -> int:
        """Number of learned numbers, by arithmetic, so that it can be asked before anything is allocated."""
        return self.embedding_parameters + self.depth * self._block_parameters + self.norm.vectors * self.width

    @property
    def embedding_parameters(self) -> int:
        """Those of the tables: tokens, learned positions, an untied head, the norm on the embedding."""
        total = self.vocab * self.width * (1 if self.tied else 2) + self.vocab * self.head_bias
        if isinstance(self.position, Learned):
            total += self.context * self.width
        return total + self.embed_norm * self.norm.vectors * self.width

    @property
    def _block_parameters(self) -> int:
        attention, mlp, width = self.attention, self.mlp, self.width
        inner, shared = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
        weights = width * (2 * inner + 2 * shared) + (3 if mlp.gated else 2) * width * mlp.hidden
        biases = attention.bias * (inner + 2 * shared) + attention.out_bias * width
        biases += mlp.bias * ((2 if mlp.gated else 1) * mlp.hidden + width)
        norms = (2 if self.wiring == "pre" else 1) * self.norm.vectors * width
        return weights + biases + norms

    def training_flop(self, time: int) -> float:
        """FLOP to train on one token in rows of `time` tokens: 6 N + 12 L H Q T (PaLM, arXiv 2204.02311, appendix B).

        N leaves out tables that are only looked up; the head's matrix product counts.
        """
        multiplied = self.parameters - self.embedding_parameters + self.vocab * self.width
        attention = self.depth * self.attention.heads * self.attention.head_dim * time
        return 6.0 * multiplied + 12.0 * attention

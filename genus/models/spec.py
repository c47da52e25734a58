"""What a decoder is: a frozen description in the vocabulary of the lineage, checked when it is made.

Not here: weights, code that computes, or the name of any family. When a model does not fit, add a part.
"""

from dataclasses import dataclass, replace
from typing import Literal

from genus.core.errors import GenusError

__all__ = [
    "Activation",
    "Alibi",
    "Attention",
    "DecoderSpec",
    "Experts",
    "Learned",
    "Llama3",
    "Mlp",
    "Norm",
    "Position",
    "Rotary",
    "Strided",
    "Window",
    "Wiring",
    "Yarn",
]

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "relu_squared", "silu"]
Wiring = Literal["pre", "post", "parallel", "parallel_one_norm"]


@dataclass(frozen=True, kw_only=True)
class Norm:
    """LayerNorm, or RMSNorm (no mean, no bias)."""

    kind: Literal["layer", "rms"] = "layer"
    eps: float = 1e-5
    bias: bool = True
    gain: bool = True

    @property
    def vectors(self) -> int:
        """Learned vectors of the model's width: gain and bias, where there are such."""
        return self.gain + (self.kind == "layer" and self.bias)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A learned vector for each position, added to the token's (GPT-1). `offset` rows precede that of position 0 (OPT)."""

    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class Llama3:
    """Slow turns slowed further by `factor`, fast ones kept, by how often they go round in `original` tokens (Llama 3.1)."""

    factor: float = 8.0
    low: float = 1.0  # at most so many rounds: slowed
    high: float = 4.0  # at least so many: kept; blended between
    original: int = 8192


@dataclass(frozen=True, kw_only=True)
class Yarn:
    """As Llama3, blended by dimension instead, and cos and sin are multiplied by 0.1 ln(factor) + 1 (arXiv 2309.00071)."""

    factor: float = 32.0
    slow: float = 1.0
    fast: float = 32.0
    original: int = 4096
    truncate: bool = False  # whole numbers as the blend's borders


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Queries and keys turned by an angle that grows with the position (RoPE, arXiv 2104.09864).

    `dim` is how many dimensions of a head turn; `pairs` says which two turn together: neighbours (2m, 2m+1), or
    the halves (m, m + dim/2). `stretch` is how a trained model was taken to longer texts.
    """

    dim: int
    base: float = 10_000.0
    pairs: Literal["halves", "neighbours"] = "halves"
    stretch: Llama3 | Yarn | None = None


@dataclass(frozen=True, kw_only=True)
class Alibi:
    """A penalty on attention scores that grows with distance, one slope a head (arXiv 2108.12409)."""


Position = Learned | Rotary | Alibi


@dataclass(frozen=True, kw_only=True)
class Strided:
    """A query at i sees the keys i, i - stride, i - 2 stride, ... (Sparse Transformer, arXiv 1904.10509, section 4.2)."""

    stride: int


Window = int | Strided | None
"""What a layer's queries see of the past: a band of so many keys (their own included), a stride, or all of it."""


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Causal self-attention. `kv_heads` fewer than `heads` share keys and values; `scale` None means head_dim ** -0.5.

    `windows` are taken by the layers in turn, from the first layer on. A `sink` is one learned score a head that takes
    its share of the softmax and gives nothing. `qk_norm` puts the spec's norm on each head's queries and keys, before they
    turn; layers have gains of their own, heads share them.
    """

    heads: int
    kv_heads: int
    head_dim: int
    scale: float | None = None
    bias: bool = True  # of q, k and v
    out_bias: bool = True
    windows: tuple[Window, ...] = (None,)
    sinks: bool = False
    qk_norm: bool = False

    def window(self, layer: int) -> Window:
        """That of one layer."""
        return self.windows[layer % len(self.windows)]


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """Two linear maps with an activation between; `gated` multiplies the activated gate into a third (SwiGLU).

    Gated only: the gate is cut off above `clamp` and the other factor on both sides, and `shift` is added to the latter.
    """

    hidden: int
    activation: Activation = "gelu_tanh"
    gated: bool = False
    bias: bool = True
    clamp: float | None = None
    shift: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Experts:
    """`count` MLPs side by side, of which a router picks `per_token` for each token and mixes what they say.

    The mix is the softmax of the picked scores. `balance` weighs the loss that keeps experts about equally busy.
    """

    count: int
    per_token: int
    each: Mlp
    router_bias: bool = True
    balance: float = 0.01


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
    mlp: Mlp | Experts
    wiring: Wiring = "pre"
    embed_dim: int | None = None  # of the token table, where it is not the width: two maps lead in and out
    embed_norm: bool = False
    tied: bool = True
    head_bias: bool = False
    head_scale: float = 1.0  # logits are multiplied by it
    dropout: float = 0.0

    def __post_init__(self) -> None:
        attention, mlp = self.attention, self.each_mlp
        sizes = {
            "vocab": self.vocab,
            "context": self.context,
            "width": self.width,
            "depth": self.depth,
            "embed_dim": self.embed_width,
            "attention.heads": attention.heads,
            "attention.kv_heads": attention.kv_heads,
            "attention.head_dim": attention.head_dim,
            "mlp.hidden": mlp.hidden,
        }
        for window in attention.windows:
            if window is not None:
                sizes["attention.windows"] = window.stride if isinstance(window, Strided) else window
        if isinstance(self.mlp, Experts):
            sizes |= {"mlp.count": self.mlp.count, "mlp.per_token": self.mlp.per_token}
        for name, size in sizes.items():
            if not 1 <= size < 2**31:
                raise GenusError(f"{name} = {size} is not a size; choose a whole number from 1 to 2^31 - 1")
        self._check_parts()
        # one way to say each pattern, so that specs that mean the same are equal
        object.__setattr__(self, "attention", replace(attention, windows=_shortest(attention, self.depth)))

    def _check_parts(self) -> None:
        """What the parts ask of each other."""
        attention = self.attention
        if attention.heads % attention.kv_heads:
            raise GenusError(
                f"attention.kv_heads = {attention.kv_heads} does not divide attention.heads = {attention.heads}; "
                "choose a divisor"
            )
        if not attention.windows:
            raise GenusError("attention.windows is empty; name a window for each layer, or (None,) for none")
        if isinstance(self.position, Rotary) and not (
            2 <= self.position.dim <= attention.head_dim and self.position.dim % 2 == 0
        ):
            raise GenusError(
                f"position.dim = {self.position.dim} cannot turn in pairs in a head of {attention.head_dim}; "
                f"choose an even number from 2 to {attention.head_dim}"
            )
        if isinstance(self.mlp, Experts) and self.mlp.per_token > self.mlp.count:
            raise GenusError(f"mlp.per_token = {self.mlp.per_token} is more than mlp.count = {self.mlp.count}; choose fewer")
        if not 0 <= self.dropout < 1:
            raise GenusError(f"dropout = {self.dropout} is not a share; choose a number from 0 to below 1")

    @property
    def each_mlp(self) -> Mlp:
        """The MLP of a block, or that of each expert."""
        return self.mlp.each if isinstance(self.mlp, Experts) else self.mlp

    @property
    def embed_width(self) -> int:
        """Columns of the token table."""
        return self.embed_dim or self.width

    @property
    def parameters(self) -> int:
        """Number of learned numbers, by arithmetic, so that it can be asked before anything is allocated."""
        projections = 2 * self.width * self.embed_dim if self.embed_dim else 0
        final_norm = 0 if self.wiring == "post" else self.norm.vectors * self.width
        return self.embedding_parameters + projections + self.depth * self._block_parameters + final_norm

    @property
    def active_parameters(self) -> int:
        """`parameters` without the experts that a token does not meet."""
        idle = (self.mlp.count - self.mlp.per_token) if isinstance(self.mlp, Experts) else 0
        return self.parameters - self.depth * idle * self._mlp_parameters

    @property
    def embedding_parameters(self) -> int:
        """Those of the tables: tokens, learned positions, an untied head, the norm on the embedding."""
        total = self.vocab * self.embed_width * (1 if self.tied else 2) + self.vocab * self.head_bias
        if isinstance(self.position, Learned):
            total += (self.context + self.position.offset) * self.width
        return total + self.embed_norm * self.norm.vectors * self.width

    @property
    def _block_parameters(self) -> int:
        attention, width = self.attention, self.width
        inner, shared = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
        weights = width * (2 * inner + 2 * shared) + attention.sinks * attention.heads
        weights += attention.qk_norm * 2 * self.norm.vectors * attention.head_dim
        biases = attention.bias * (inner + 2 * shared) + attention.out_bias * width
        norms = (1 if self.wiring == "parallel_one_norm" else 2) * self.norm.vectors * width
        mlp = self._mlp_parameters
        if isinstance(self.mlp, Experts):
            mlp = self.mlp.count * (mlp + width + self.mlp.router_bias)
        return weights + biases + norms + mlp

    @property
    def _mlp_parameters(self) -> int:
        mlp, width = self.each_mlp, self.width
        into = 2 if mlp.gated else 1
        return (into + 1) * width * mlp.hidden + mlp.bias * (into * mlp.hidden + width)

    def training_flop(self, time: int) -> float:
        """FLOP to train on one token in rows of `time` tokens: 6 N + 12 L H Q T (PaLM, arXiv 2204.02311, appendix B).

        N leaves out tables that are only looked up and experts that a token does not meet; the head's matrix product
        counts. In a layer with a window, T is the number of keys that a late query sees.
        """
        multiplied = self.active_parameters - self.embedding_parameters + self.vocab * self.embed_width
        seen = sum(_keys(self.attention.window(layer), time) for layer in range(self.depth))
        return 6.0 * multiplied + 12.0 * self.attention.heads * self.attention.head_dim * seen


def _shortest(attention: Attention, depth: int) -> tuple[Window, ...]:
    """The shortest pattern that gives the same windows to `depth` layers."""
    pattern = attention.windows
    for length in range(1, len(pattern)):
        if all(attention.window(layer) == pattern[layer % length] for layer in range(depth)):
            return pattern[:length]
    return pattern[:depth]


def _keys(window: Window, time: int) -> int:
    if isinstance(window, Strided):
        return -(-time // window.stride)
    return time if window is None else min(window, time)

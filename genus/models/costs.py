"""What a spec costs in memory and arithmetic, before anything is allocated: counts, not measurements."""

from genus.models.spec import DecoderSpec

__all__ = ["ADAMW_BYTES", "cache_numbers", "generating_flop"]

ADAMW_BYTES = 16  # a parameter in fp32: itself, its gradient, two moments; activations come on top


def cache_numbers(spec: DecoderSpec, tokens: int) -> int:
    """Numbers in the keys and values that must be kept after `tokens` tokens; a layer with a band needs only its band.

    A strided layer needs all: which of the past a token sees changes with each token.
    """
    attention = spec.attention
    windows = [attention.window(layer) for layer in range(spec.depth)]
    kept = sum(min(tokens, window) if isinstance(window, int) else tokens for window in windows)
    return 2 * attention.kv_heads * attention.head_dim * kept


def generating_flop(spec: DecoderSpec, seen: int) -> float:
    """FLOP to make one token that sees `seen` tokens, itself included: a forward, which is a third of a training step."""
    return spec.training_flop(seen) / 3

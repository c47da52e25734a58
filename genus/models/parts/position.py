"""Where a token stands: rotations of queries and keys, and ALiBi's slopes. Learned positions are a table in the decoder."""

import math

import torch
from torch import Tensor

from genus.models.spec import Llama3, Rotary, Yarn

__all__ = ["Rotation", "alibi_slopes", "rotate", "rotation"]

Rotation = tuple[Tensor, Tensor]  # cos and sin, each (batch, time, 1, dim / 2), fp32


def rotation(spec: Rotary, positions: Tensor) -> Rotation:
    """Cosines and sines of `positions` (batch, time). Angles are built in fp32: bf16 cannot tell position 257 from 258."""
    pairs = torch.arange(0, spec.dim, 2, device=positions.device, dtype=torch.float32)
    frequencies, magnitude = 1.0 / spec.base ** (pairs / spec.dim), 1.0
    match spec.stretch:
        case Llama3():
            frequencies = _llama3(spec.stretch, frequencies)
        case Yarn():
            frequencies = _yarn(spec.stretch, spec, frequencies)
            magnitude = 0.1 * math.log(spec.stretch.factor) + 1.0 if spec.stretch.factor > 1 else 1.0
    angles = positions[..., None, None].float() * frequencies  # (batch, time, 1, dim / 2)
    return angles.cos() * magnitude, angles.sin() * magnitude


def _llama3(stretch: Llama3, frequencies: Tensor) -> Tensor:
    rounds = stretch.original * frequencies / (2 * math.pi)
    kept = ((rounds - stretch.low) / (stretch.high - stretch.low)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / stretch.factor)


def _yarn(stretch: Yarn, spec: Rotary, frequencies: Tensor) -> Tensor:
    def pair(rounds: float) -> float:
        """Which pair goes round so often in the original context."""
        return spec.dim / 2 * math.log(stretch.original / (rounds * 2 * math.pi)) / math.log(spec.base)

    first, last = pair(stretch.fast), pair(stretch.slow)
    if stretch.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, spec.dim - 1)
    index = torch.arange(spec.dim // 2, device=frequencies.device, dtype=torch.float32)
    slowed = ((index - first) / max(last - first, 0.001)).clamp(0, 1)
    return frequencies * (1 - slowed + slowed / stretch.factor)


def rotate(spec: Rotary, x: Tensor, turn: Rotation) -> Tensor:
    """Turn the first `spec.dim` dimensions of each head of x (batch, time, heads, head_dim); the rest pass through."""
    cos, sin = turn
    moving, still = x[..., : spec.dim].float(), x[..., spec.dim :]
    if spec.pairs == "neighbours":
        a, b = moving[..., 0::2], moving[..., 1::2]
        moved = torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2)
    else:
        a, b = moving.chunk(2, dim=-1)
        moved = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
    return torch.cat((moved.to(x.dtype), still), dim=-1)


def alibi_slopes(heads: int) -> Tensor:
    """One slope a head, (heads,): 2^(-8k/p) for the largest power of two p; heads beyond p take odd steps of half that."""
    power = 2 ** (heads.bit_length() - 1)
    slopes = [2 ** (-8 * k / power) for k in range(1, power + 1)]
    slopes += [2 ** (-4 * k / power) for k in range(1, 2 * (heads - power), 2)]
    return torch.tensor(slopes)

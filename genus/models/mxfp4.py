"""MXFP4, the four-bit form in which gpt-oss's experts are published: read only, and only into full floats.

A group of 32 numbers along the input shares one power of two; each number is one of 16 codes (OCP Microscaling Formats,
version 1.0, section 5.3.3).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BLOCKS", "SCALES", "decode"]

BLOCKS, SCALES = "_blocks", "_scales"  # what the two tensors' names end with, in place of one

_POSITIVE = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_CODES = torch.tensor(_POSITIVE + tuple(-value for value in _POSITIVE))
_PAIRS = torch.stack((_CODES.repeat(16), _CODES.repeat_interleave(16)), dim=-1)  # of a byte: low half first; (256, 2)


def decode(blocks: Tensor, scales: Tensor) -> Tensor:
    """blocks (experts, rows, groups, 16) and scales (experts, rows, groups), bytes -> fp32 (experts, rows, groups * 32)."""
    out = torch.empty(*blocks.shape[:2], blocks.shape[2] * 32)
    for one, codes, exponents in zip(out, blocks, scales, strict=True):  # expert by expert, to keep what is between small
        values = F.embedding(codes.int(), _PAIRS).flatten(-2)  # (rows, groups, 32)
        one.copy_(torch.ldexp(values, exponents.int()[..., None] - 127).flatten(-2))
    return out

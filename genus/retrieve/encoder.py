"""Vectors of texts: what is near in meaning is near in the vectors. Not for where vectors are kept or compared."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Encoder"]


class Encoder(Protocol):
    """Makes vectors; `name` and `sha256` tell encoders apart, so that an index knows its own."""

    name: str
    sha256: str
    width: int

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        """Of n texts the vectors (n, width), fp32, of length 1; of a text without tokens all zeros."""

"""Drawing tokens: the noise of engine/sample.py and its race, a row of weights at a time. Threads share the rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genus.engine.kernels import simd
from genus.engine.kernels.product import compiled
from genus.engine.kernels.simd import get, high, run, word

__all__ = ["draw", "philox", "uniform"]

_TIMES = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_STEPS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_SHIFT = np.uint64(12)
_ROUNDING = 1 + 1e-9  # more than there is


def draw(weights: NDArray[np.float32], keys: Sequence[tuple[int, int, int]]) -> list[int]:
    """A token for each row of weights (rows, vocab), which are not negative; keys are (seed, choice, position)."""
    weights, tokens = np.ascontiguousarray(weights), np.empty(len(keys), np.int64)
    numbers = np.array([(seed % 2**64, choice, position) for seed, choice, position in keys], np.uint64)
    run(_draw_rows, tokens.ctypes.data, weights.ctypes.data, numbers.ctypes.data, *weights.shape)
    return [int(token) for token in tokens]


def _draw_rows(words):
    tokens, weights, numbers, rows, vocab = word(words, 0), word(words, 1), word(words, 2), word(words, 3), word(words, 4)
    for row in range(rows * simd.thread() // simd.threads(), rows * (simd.thread() + 1) // simd.threads()):
        seed, choice, position = word(numbers, 3 * row), word(numbers, 3 * row + 1), word(numbers, 3 * row + 2)
        simd.put_word(tokens + 8 * row, _race(weights + 4 * vocab * row, vocab, seed, choice, position))


@compiled
def _race(weights, vocab, seed, choice, position):
    """argmax of log(weight) + Gumbel noise, -log(-log(uniform)): the token drawn.

    That is argmin of -log(uniform) / weight, the race of exponential clocks. As -log(u) >= 1 - u, most tokens are known to
    be later than the best so far before a logarithm is taken.
    """
    best = np.inf, 0
    for first in range(0, vocab, 4):
        noise = philox(np.uint64(seed), np.uint64(choice), np.uint64(first // 4 + 1), np.uint64(position))
        best = _sooner(best, weights, first, noise[0])
        if first + 4 <= vocab:
            best = _sooner(best, weights, first + 1, noise[1])
            best = _sooner(best, weights, first + 2, noise[2])
            best = _sooner(best, weights, first + 3, noise[3])
            continue
        for lane in range(1, vocab - first):
            best = _sooner(best, weights, first + lane, noise[lane])
    return best[1]


@compiled
def _sooner(best, weights, token, raw):
    weight, u = np.float64(get(weights + 4 * token)), uniform(raw)
    if 1 - u > best[0] * weight * _ROUNDING or weight == 0:
        return best
    time = -np.log(u) / weight
    return (time, token) if time < best[0] else best


@compiled
def uniform(raw):
    """A number strictly between 0 and 1: 52 bits and a half, which is exact; with 53 the greatest would round to 1."""
    return (np.float64(raw >> _SHIFT) + 0.5) * 2.0**-52


@compiled
def philox(seed, choice, block, position):
    """Four numbers of 64 bits, as NumPy's Philox gives them (Salmon et al. 2011, section 3.3, 4x64-10)."""
    c0, c1, c2, c3 = block, position, np.uint64(0), np.uint64(0)
    for _ in range(10):
        low_0, low_2 = _TIMES[0] * c0, _TIMES[1] * c2
        c0, c1, c2, c3 = high(_TIMES[1], c2) ^ c1 ^ seed, low_2, high(_TIMES[0], c0) ^ c3 ^ choice, low_0
        seed, choice = seed + _STEPS[0], choice + _STEPS[1]
    return c0, c1, c2, c3

"""Norms, rotations and activations. Threads share the rows; no row's result hangs on another."""

import numpy as np

from genus.engine.kernels import simd
from genus.engine.kernels.product import compiled
from genus.engine.kernels.simd import add, exp, fma, get, load, mul, put, spread, store, word, zero

__all__ = ["ACTIVATIONS", "activate", "gather", "norm", "rotate"]

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu", "relu", "relu_squared", "silu")


@compiled
def gather(op, step, rows):
    """y = rows of a table, and + y where they are added; see program.gather_op."""
    y_step, table, table_step, width = word(op, 3), word(op, 4), word(op, 5), word(op, 6)
    index, added, whole = word(step, word(op, 7)), word(op, 8), word(op, 6) // 8 * 8
    for row in range(rows * simd.thread() // simd.threads(), rows * (simd.thread() + 1) // simd.threads()):
        x, y = table + table_step * word(index, row), word(op, 2) + y_step * row
        for d in range(0, 4 * whole, 32):
            store(y + d, add(load(x + d), load(y + d)) if added else load(x + d))
        for d in range(4 * whole, 4 * width, 4):
            put(y + d, get(x + d) + get(y + d) if added else get(x + d))


@compiled
def norm(op, rows):
    """y = (x - mean) / deviation * gain + bias, or x / root mean square * gain, for each part of each row; see
    program.Norm."""
    width, parts = word(op, 8), word(op, 9)
    for unit in range(rows * parts * simd.thread() // simd.threads(), rows * parts * (simd.thread() + 1) // simd.threads()):
        row, part = unit // parts, 4 * width * (unit % parts)
        x, y = word(op, 2) + row * word(op, 3) + part, word(op, 4) + row * word(op, 5) + part
        mean = _sum(x, width) / np.float32(width) if word(op, 10) else np.float32(0)
        share = np.float32(1) / np.sqrt(_squares(x, width, mean) / np.float32(width) + get(word(op, 11)))
        whole = width // 8 * 8
        for d in range(0, 4 * whole, 32):
            value = mul(add(load(x + d), spread(-mean)), spread(share))
            if word(op, 6):
                value = mul(value, load(word(op, 6) + d))
            if word(op, 7):
                value = add(value, load(word(op, 7) + d))
            store(y + d, value)
        for d in range(4 * whole, 4 * width, 4):
            one = (get(x + d) - mean) * share
            if word(op, 6):
                one *= get(word(op, 6) + d)
            if word(op, 7):
                one += get(word(op, 7) + d)
            put(y + d, one)


@compiled
def _sum(x, width):
    sums, whole = zero(), width // 8 * 8
    for d in range(0, 4 * whole, 32):
        sums = add(sums, load(x + d))
    total = simd.total(sums)
    for d in range(4 * whole, 4 * width, 4):
        total += get(x + d)
    return total


@compiled
def _squares(x, width, mean):
    """The sum of squared distances from the mean."""
    sums, whole, less = zero(), width // 8 * 8, spread(-mean)
    for d in range(0, 4 * whole, 32):
        far = add(load(x + d), less)
        sums = fma(far, far, sums)
    total = simd.total(sums)
    for d in range(4 * whole, 4 * width, 4):
        total += (get(x + d) - mean) * (get(x + d) - mean)
    return total


@compiled
def rotate(op, step, rows):
    """Turn the first numbers of each head in place, pairs of neighbours or of halves; see program.Rotate."""
    heads, head_dim, half, neighbours = word(op, 4), word(op, 5), word(op, 6), word(op, 7)
    apart, side = (8, 4) if neighbours else (4, 4 * half)
    for row in range(rows * simd.thread() // simd.threads(), rows * (simd.thread() + 1) // simd.threads()):
        cos, sin = word(step, 8) + 4 * half * row, word(step, 9) + 4 * half * row
        for head in range(heads):
            x = word(op, 2) + row * word(op, 3) + 4 * head_dim * head
            for i in range(half):
                a, b = get(x + apart * i), get(x + apart * i + side)
                c, s = get(cos + 4 * i), get(sin + 4 * i)
                put(x + apart * i, a * c - b * s)
                put(x + apart * i + side, b * c + a * s)


@compiled
def activate(op, rows):
    """up = act(up), or up = act(gate) * up, over whole vectors of each row; see program.Activate."""
    up, gate, step, count, kind = word(op, 2), word(op, 3), word(op, 4), word(op, 5), word(op, 6)
    clamp, shift = word(op, 7), word(op, 8)
    units = rows * count
    for unit in range(units * simd.thread() // simd.threads(), units * (simd.thread() + 1) // simd.threads()):
        at = unit // count * step + unit % count * 32
        x = load(up + at)
        if gate:
            g = load(gate + at)
            if clamp:
                most, least = spread(get(clamp)), spread(-get(clamp))
                g, x = simd.minimum(most, g), simd.maximum(least, simd.minimum(most, x))  # so NaN stays
            if shift:
                x = add(x, spread(get(shift)))
            x = mul(_activated(g, kind), x)
        else:
            x = _activated(x, kind)
        store(up + at, x)


@compiled
def _activated(x, kind):
    if kind == 0:  # 0.5 x (1 + erf(x / sqrt 2))
        return mul(mul(spread(np.float32(0.5)), x), add(spread(np.float32(1)), _erf(mul(x, spread(np.float32(0.5**0.5))))))
    if kind == 1:  # 0.5 (1 + tanh u) is the logistic function of 2 u
        cubic = fma(mul(x, x), spread(np.float32(0.044715)), spread(np.float32(1)))
        return mul(x, _logistic(mul(mul(x, cubic), spread(np.float32(2 * (2 / np.pi) ** 0.5)))))
    if kind == 2:
        return mul(x, _logistic(mul(x, spread(np.float32(1.702)))))
    if kind == 3:
        return simd.maximum(zero(), x)
    if kind == 4:
        positive = simd.maximum(zero(), x)
        return mul(positive, positive)
    return mul(x, _logistic(x))


@compiled
def _logistic(x):
    """1 / (1 + e^-x), by powers of e that cannot overflow: for x < 0 it is e^x / (1 + e^x)."""
    small = exp(simd.minimum(x, simd.sub(zero(), x)))
    top = simd.choose(x, small, spread(np.float32(1)))
    return simd.div(top, add(spread(np.float32(1)), small))


@compiled
def _erf(x):
    """Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: within 1.5e-7."""
    size = simd.maximum(x, simd.sub(zero(), x))
    t = simd.div(spread(np.float32(1)), fma(size, spread(np.float32(0.3275911)), spread(np.float32(1))))
    terms = spread(np.float32(1.061405429))
    for term in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        terms = fma(terms, t, spread(np.float32(term)))
    rest = mul(mul(terms, t), exp(simd.sub(zero(), mul(size, size))))
    found = simd.sub(spread(np.float32(1)), rest)
    return simd.choose(x, simd.sub(zero(), found), found)

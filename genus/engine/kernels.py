"""The two loops in which decoding spends its time: matrices times a few rows, and attention over pages.

Both are made of blocks: some rows of x times a few columns of a matrix, the sums in registers. Each sum runs over its terms in
their order, one fused multiply-add after the other. So the bits of a result hang on its own row alone: not on how many rows
there are beside it, nor on how many threads, nor on where a prompt was cut into pieces.

A matrix (rows, columns) lies in panels of sixteen of its rows, (panels, columns, 16), so that a product reads it from front to
back. In int8 and int4, 32 columns of a row share a scale in bf16, and in int4 a least value too. Keys and values lie in panels
as well: then attention is two products, with a softmax between.

Addresses and counts come as whole numbers, see simd.run. Everything is fp32 but the stored matrices.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from genus.engine import simd
from genus.engine.simd import exp, fma, get, load, put, splat, store, word

__all__ = ["GROUP", "PAIR", "attend", "linear_bf16", "linear_fp32", "linear_int4", "linear_int8", "scratch_bytes"]

PAIR = 32
"""Rows of a matrix in two panels; each product has all of a pair."""
GROUP = 32
"""Columns of a row that share a scale."""
SIX = 6
"""Rows of x that share what is read of a panel: with two sums each they fill 12 of AVX2's 16 registers."""

compiled: Callable[..., Any] = njit(error_model="numpy")


@compiled
def _load_two(address):
    return load(address), load(address + 32)


@compiled
def _store_two(address, two):
    store(address, two[0])
    store(address + 32, two[1])


@compiled
def _more(sums, x, w):
    """sums + x w, of the one number at x and sixteen w."""
    value = splat(x)
    return fma(value, w[0], sums[0]), fma(value, w[1], sums[1])


def _blocks(scales_of: Any, read: Any) -> tuple[Any, Any]:
    """The two blocks of a format: `scales_of(address, group)` are vectors of which `read(panel, column, scales)` makes the
    sixteen numbers of a column."""

    @compiled
    def six_more(sums, x, step, w):
        a, b, c, d, e, f = sums
        return (
            _more(a, x, w),
            _more(b, x + step, w),
            _more(c, x + 2 * step, w),
            _more(d, x + 3 * step, w),
            _more(e, x + 4 * step, w),
            _more(f, x + 5 * step, w),
        )

    @compiled
    def six(x, x_step, panel, scales, count, start, start_step, y, y_step):
        """y = start + x panel for six rows that lie steps of bytes apart: (6, count) by (count, 16)."""
        sums = (
            _load_two(start),
            _load_two(start + start_step),
            _load_two(start + 2 * start_step),
            _load_two(start + 3 * start_step),
            _load_two(start + 4 * start_step),
            _load_two(start + 5 * start_step),
        )
        whole = count // GROUP * GROUP
        for group in range(0, whole, GROUP):
            shared = scales_of(scales, group)
            for k in range(group, group + GROUP):  # a known number of turns is unrolled
                sums = six_more(sums, x + 4 * k, x_step, read(panel, k, shared))
        if whole < count:
            shared = scales_of(scales, whole)
            for k in range(whole, count):
                sums = six_more(sums, x + 4 * k, x_step, read(panel, k, shared))
        for i in range(SIX):
            _store_two(y + i * y_step, sums[i])

    @compiled
    def one(x, panel, other, scales, other_scales, count, start, y):
        """The same for one row and a pair of panels: four sums, as each has to wait for itself."""
        left, right = _load_two(start), _load_two(start + 64)
        whole = count // GROUP * GROUP
        for group in range(0, whole, GROUP):
            shared, other_shared = scales_of(scales, group), scales_of(other_scales, group)
            for k in range(group, group + GROUP):
                left = _more(left, x + 4 * k, read(panel, k, shared))
                right = _more(right, x + 4 * k, read(other, k, other_shared))
        if whole < count:
            shared, other_shared = scales_of(scales, whole), scales_of(other_scales, whole)
            for k in range(whole, count):
                left = _more(left, x + 4 * k, read(panel, k, shared))
                right = _more(right, x + 4 * k, read(other, k, other_shared))
        _store_two(y, left)
        _store_two(y + 64, right)

    return six, one


@compiled
def _no_scales(address, group):
    return simd.zero()


@compiled
def _read_fp32(panel, k, shared):
    return load(panel + 64 * k), load(panel + 64 * k + 32)


@compiled
def _read_bf16(panel, k, shared):
    return simd.load_bf16(panel + 32 * k), simd.load_bf16(panel + 32 * k + 16)


@compiled
def _scales_int8(address, group):
    address += group // GROUP * 32
    return simd.load_bf16(address), simd.load_bf16(address + 16)


@compiled
def _read_int8(panel, k, shared):
    w0, w1 = simd.load_int8(panel + 16 * k), simd.load_int8(panel + 16 * k + 8)
    return simd.mul(w0, shared[0]), simd.mul(w1, shared[1])


@compiled
def _scales_int4(address, group):
    address += group // GROUP * 64
    return (
        (simd.load_bf16(address), simd.load_bf16(address + 16)),
        (simd.load_bf16(address + 32), simd.load_bf16(address + 48)),
    )


@compiled
def _read_int4(panel, k, shared):
    scales, least = shared
    pair, shift = panel + k // 2 * 16, k % 2 * 4  # a byte has column k in its lower half and k + 1 in its upper
    w0, w1 = simd.load_int4(pair, shift), simd.load_int4(pair + 8, shift)
    return fma(w0, scales[0], least[0]), fma(w1, scales[1], least[1])


_six_fp32, _one_fp32 = _blocks(_no_scales, _read_fp32)


def _linear(six: Any, one: Any) -> Any:
    @compiled
    def linear(words, panel_bytes, scale_bytes):
        """y = bias + x weight^T. words: x, weight, scales, bias, y, rows of x, columns, pairs of panels."""
        x, weight, scales, bias, y = word(words, 0), word(words, 1), word(words, 2), word(words, 3), word(words, 4)
        rows, columns, pairs = word(words, 5), word(words, 6), word(words, 7)
        x_step, y_step = 4 * columns, 4 * PAIR * pairs
        for pair in range(pairs * simd.thread() // simd.threads(), pairs * (simd.thread() + 1) // simd.threads()):
            panel, scale = weight + 2 * pair * panel_bytes, scales + 2 * pair * scale_bytes
            other, other_scale = panel + panel_bytes, scale + scale_bytes
            start, out = bias + 4 * PAIR * pair, y + 4 * PAIR * pair
            if rows < SIX:
                for row in range(rows):
                    one(x + row * x_step, panel, other, scale, other_scale, columns, start, out + row * y_step)
            else:
                for first in range(0, rows, SIX):
                    row = min(first, rows - SIX)  # the last six may overlap those before
                    six(x + row * x_step, x_step, panel, scale, columns, start, 0, out + row * y_step, y_step)
                for first in range(0, rows, SIX):
                    row = min(first, rows - SIX)
                    six(x + row * x_step, x_step, other, other_scale, columns, start + 64, 0, out + row * y_step + 64, y_step)

    return linear


_linear_fp32 = _linear(_six_fp32, _one_fp32)
_linear_bf16 = _linear(*_blocks(_no_scales, _read_bf16))
_linear_int8 = _linear(*_blocks(_scales_int8, _read_int8))
_linear_int4 = _linear(*_blocks(_scales_int4, _read_int4))


def linear_fp32(words):
    """See _linear."""
    _linear_fp32(words, 64 * word(words, 6), 0)


def linear_bf16(words):
    """See _linear."""
    _linear_bf16(words, 32 * word(words, 6), 0)


def linear_int8(words):
    """See _linear."""
    _linear_int8(words, 16 * word(words, 6), (word(words, 6) + GROUP - 1) // GROUP * 32)


def linear_int4(words):
    """See _linear."""
    _linear_int4(words, (word(words, 6) + 1) // 2 * 16, (word(words, 6) + GROUP - 1) // GROUP * 64)


def scratch_bytes(head_dim: int, places: int) -> int:
    """What a thread of `attend` needs beside: zeros, six queries, six results, six rows of scores."""
    return 4 * (PAIR + SIX * head_dim + SIX * -(-head_dim // PAIR) * PAIR + SIX * places)


def attend(words):
    """Keep the keys and values of a step's rows, then let each see those before it.

    words: q, k, v, out, each (rows, heads or kv_heads, head_dim); keys (pages, kv_heads, page / 16, head_dim, 16), values
    (pages, kv_heads, padded head_dim / 16, page, 16); slots (rows,), where in the cache each row goes; rows, heads, kv_heads,
    head_dim, page; tasks (count, 7), count; scratch, bytes of it for each thread, places of its rows; window or 0;
    sinks (heads,) or 0; scale.
    A task is some rows that follow each other in one text: first row, rows, position of the first, address of the text's
    pages, address of what is added to scores (heads or 1, rows, places) or 0, by how many numbers its heads and its rows are apart.
    """
    rows, tasks = word(words, 7), word(words, 13)
    for row in range(rows * simd.thread() // simd.threads(), rows * (simd.thread() + 1) // simd.threads()):
        _keep(words, row)
    simd.barrier()
    kv_heads = word(words, 9)
    for unit in range(simd.thread(), tasks * kv_heads, simd.threads()):
        _attend(words, word(words, 12) + unit // kv_heads * 56, unit % kv_heads)


@compiled
def _keep(words, row):
    keys, values, slot = word(words, 4), word(words, 5), word(word(words, 6), row)
    kv_heads, head_dim, page = word(words, 9), word(words, 10), word(words, 11)
    padded = (head_dim + PAIR - 1) // PAIR * PAIR
    place = slot % page
    for head in range(kv_heads):
        source = 4 * head_dim * (row * kv_heads + head)
        key = keys + 4 * page * head_dim * (slot // page * kv_heads + head) + 64 * head_dim * (place // 16) + 4 * (place % 16)
        value = values + 4 * page * padded * (slot // page * kv_heads + head) + 64 * place
        for d in range(head_dim):
            put(key + 64 * d, get(word(words, 1) + source + 4 * d))
            put(value + 64 * page * (d // 16) + 4 * (d % 16), get(word(words, 2) + source + 4 * d))


@compiled
def _attend(words, task, kv_head):
    """A task for the query heads of one key head, up to six of its rows (position by position, head by head) at a time."""
    heads, kv_heads, head_dim, page = word(words, 8), word(words, 9), word(words, 10), word(words, 11)
    rows, position, each = word(task, 1), word(task, 2), heads // kv_heads
    places, window = word(words, 16), word(words, 17)
    padded = (head_dim + PAIR - 1) // PAIR * PAIR
    zeros = word(words, 14) + word(words, 15) * simd.thread()
    queries = zeros + 4 * PAIR
    out = queries + 4 * SIX * head_dim
    scores = out + 4 * SIX * padded
    for first in range(0, rows * each, SIX):
        count = min(SIX, rows * each - first)
        end = position + (first + count - 1) // each + 1
        begin = 0 if window == 0 else max(0, position + first // each + 1 - window) // page * page
        stop = (end + PAIR - 1) // PAIR * PAIR
        for i in range(count):
            row, head = word(task, 0) + (first + i) // each, kv_head * each + (first + i) % each
            source = word(words, 0) + 4 * head_dim * (row * heads + head)
            for d in range(head_dim):
                put(queries + 4 * (i * head_dim + d), get(source + 4 * d) * get(word(words, 19)))
        size = 4 * page * head_dim
        for place in range(begin, end, PAIR):
            keys = word(words, 4) + size * (word(word(task, 3), place // page) * kv_heads + kv_head)
            panel = keys + 64 * head_dim * (place % page // 16)
            _product(queries, head_dim, panel, 64 * head_dim, head_dim, zeros, 0, scores + 4 * place, places, count)
        for i in range(count):
            index, head = (first + i) // each, kv_head * each + (first + i) % each
            bias = word(task, 4)
            if bias:
                bias += 4 * (word(task, 5) * head + word(task, 6) * index)
            low = begin if window == 0 else max(begin, position + index + 1 - window)
            sink = word(words, 18) + 4 * head if word(words, 18) else 0
            _softmax(scores + 4 * i * places, bias, begin, low, position + index + 1, stop, sink)
        size, start, step = 4 * page * padded, zeros, 0
        for place in range(begin, end, page):
            values = word(words, 5) + size * (word(word(task, 3), place // page) * kv_heads + kv_head)
            seen = min(page, end - place)
            for d in range(0, padded, PAIR):
                from_d = start + (4 * d if step else 0)
                panel = values + 4 * page * d
                _product(scores + 4 * place, places, panel, 64 * page, seen, from_d, step, out + 4 * d, padded, count)
            start, step = out, 4 * padded
        for i in range(count):
            row, head = word(task, 0) + (first + i) // each, kv_head * each + (first + i) % each
            target = word(words, 3) + 4 * head_dim * (row * heads + head)
            for d in range(head_dim):
                put(target + 4 * d, get(out + 4 * (i * padded + d)))


@compiled
def _product(x, x_step, panel, panel_bytes, count, start, start_step, y, y_step, rows):
    """y = start + x times a pair of panels, for one row or six; steps of x and y are in numbers."""
    if rows == 1:
        _one_fp32(x, panel, panel + panel_bytes, 0, 0, count, start, y)
    else:
        _six_fp32(x, 4 * x_step, panel, 0, count, start, start_step, y, 4 * y_step)
        other = panel + panel_bytes
        more = start + (64 if start_step else 0)
        _six_fp32(x, 4 * x_step, other, 0, count, more, start_step, y + 64, 4 * y_step)


@compiled
def _softmax(scores, bias, begin, low, high, stop, sink):
    """Scores of places begin to stop become weights; those outside of low to high weigh nothing."""
    for place in range(begin, low):
        put(scores + 4 * place, np.float32(-np.inf))
    for place in range(high, stop):
        put(scores + 4 * place, np.float32(-np.inf))
    greatest = simd.spread(np.float32(-np.inf))
    for place in range(begin, stop, 8):
        score = load(scores + 4 * place)
        if bias:
            score = simd.add(score, load(bias + 4 * place))
            store(scores + 4 * place, score)
        greatest = simd.maximum(score, greatest)
    top = np.float32(-np.inf)
    for i in range(8):
        top = max(top, simd.lane(greatest, i))
    if sink:
        top = max(top, get(sink))
    less, sums = simd.spread(-top), simd.zero()
    for place in range(begin, stop, 8):
        weight = exp(simd.add(load(scores + 4 * place), less))
        sums = simd.add(sums, weight)
        store(scores + 4 * place, weight)
    total = np.float32(0)
    for i in range(8):
        total += simd.lane(sums, i)
    if sink:
        total += simd.lane(exp(simd.spread(get(sink) - top)), 0)
    share = simd.spread(np.float32(1) / total)
    for place in range(begin, stop, 8):
        store(scores + 4 * place, simd.mul(load(scores + 4 * place), share))

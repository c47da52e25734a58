"""Some rows of x times a matrix, in blocks whose sums stay in registers.

Each sum runs over its terms in their order, one fused multiply-add after the other. So the bits of a result hang on its own
row alone: not on how many rows there are beside it, nor on how many threads.

A matrix (rows, columns) lies in panels of sixteen of its rows, (panels, columns, 16), so that a product reads it from front
to back. In int8 and int4, 32 columns of a row share a scale in bf16, and in int4 a least value too.
"""

from collections.abc import Callable
from typing import Any

from numba import njit

from genus.engine.kernels import simd
from genus.engine.kernels.simd import add, fma, load, splat, store, word

__all__ = [
    "CLAIMED",
    "GROUP",
    "PAIR",
    "compiled",
    "compiled_for",
    "linear_bf16",
    "linear_fp32",
    "linear_int4",
    "linear_int8",
    "product",
    "wide_product",
]

PAIR = 32
"""Rows of a matrix in two panels; a product has all of a pair."""
GROUP = 32
"""Columns of a row that share a scale."""
CLAIMED = 15
"""Which word of a computation counts the pairs that threads have taken."""
_SHARES = 8  # of a thread: fewer are held up longer, more ask more often
SIX = 6
"""Rows of x that share what is read of a panel: with two sums each they fill 12 of AVX2's 16 registers."""

compiled: Callable[..., Any] = njit(error_model="numpy")


def compiled_for(form: str) -> Callable[..., Any]:
    """`compiled` for functions that exist once for each format. What Numba keeps on disk knows them by name alone, and two
    that were compiled by two processes must not be taken for each other."""

    def named(function: Callable[..., Any]) -> Any:
        function.__name__ += f"_{form}"
        function.__qualname__ += f"_{form}"
        return compiled(function)

    return named


@compiled
def _load_two(address):
    return load(address), load(address + 32)


@compiled
def _store_two(address, two, residual):
    """Write two vectors, and add what is at `residual`, if that is an address."""
    if residual:
        store(address, add(two[0], load(residual)))
        store(address + 32, add(two[1], load(residual + 32)))
    else:
        store(address, two[0])
        store(address + 32, two[1])


@compiled
def _store_four(address, left, right, residual):
    _store_two(address, left, residual)
    _store_two(address + 64, right, residual + 64 if residual else 0)


@compiled
def _more(sums, x, w):
    """sums + x w, of the one number at x and sixteen w."""
    value = splat(x)
    return fma(value, w[0], sums[0]), fma(value, w[1], sums[1])


# The blocks of a format: `scales_of(address, group)` are vectors, of which `read(panel, column, scales)` makes the sixteen
# numbers of a column.


@compiled
def _six_more(sums, x, step, w):
    a, b, c, d, e, f = sums
    return (
        _more(a, x, w),
        _more(b, x + step, w),
        _more(c, x + 2 * step, w),
        _more(d, x + 3 * step, w),
        _more(e, x + 4 * step, w),
        _more(f, x + 5 * step, w),
    )


def _six(form: str, scales_of: Any, read: Any) -> Any:
    @compiled_for(form)
    def six(x, matrix, count, start, y, residual):
        """y = start + x panel (+ residual) for six rows: (6, count) by (count, 16). x, start, y: address and bytes from row
        to row; matrix: addresses of a panel and its scales."""
        at, step = start
        sums = (
            _load_two(at),
            _load_two(at + step),
            _load_two(at + 2 * step),
            _load_two(at + 3 * step),
            _load_two(at + 4 * step),
            _load_two(at + 5 * step),
        )
        panel, scales = matrix
        whole = count // GROUP * GROUP
        for group in range(0, whole, GROUP):
            shared = scales_of(scales, group)
            for k in range(group, group + GROUP):  # a known number of turns is unrolled
                sums = _six_more(sums, x[0] + 4 * k, x[1], read(panel, k, shared))
        if whole < count:
            shared = scales_of(scales, whole)
            for k in range(whole, count):
                sums = _six_more(sums, x[0] + 4 * k, x[1], read(panel, k, shared))
        for i in range(SIX):
            _store_two(y[0] + i * y[1], sums[i], residual + i * y[1] if residual else 0)

    return six


def _two(form: str, scales_of: Any, read: Any) -> Any:
    @compiled_for(form)
    def two(x, pair, count, start, y, residual):
        """The same for two rows and a pair of panels: eight sums, as each has to wait for itself. pair: panels and
        scales."""
        a, b, c, d = _load_two(start), _load_two(start + 64), _load_two(start), _load_two(start + 64)
        panel, scales, other, other_scales = pair
        whole = count // GROUP * GROUP
        for group in range(0, whole, GROUP):
            shared, other_shared = scales_of(scales, group), scales_of(other_scales, group)
            for k in range(group, group + GROUP):
                w, v = read(panel, k, shared), read(other, k, other_shared)
                a, b = _more(a, x[0] + 4 * k, w), _more(b, x[0] + 4 * k, v)
                c, d = _more(c, x[0] + x[1] + 4 * k, w), _more(d, x[0] + x[1] + 4 * k, v)
        if whole < count:
            shared, other_shared = scales_of(scales, whole), scales_of(other_scales, whole)
            for k in range(whole, count):
                w, v = read(panel, k, shared), read(other, k, other_shared)
                a, b = _more(a, x[0] + 4 * k, w), _more(b, x[0] + 4 * k, v)
                c, d = _more(c, x[0] + x[1] + 4 * k, w), _more(d, x[0] + x[1] + 4 * k, v)
        _store_four(y[0], a, b, residual)
        _store_four(y[0] + y[1], c, d, residual + y[1] if residual else 0)

    return two


def _one(form: str, scales_of: Any, read: Any) -> Any:
    @compiled_for(form)
    def one(x, pair, count, start, y, residual):
        """The same for one row."""
        a, b = _load_two(start), _load_two(start + 64)
        panel, scales, other, other_scales = pair
        whole = count // GROUP * GROUP
        for group in range(0, whole, GROUP):
            shared, other_shared = scales_of(scales, group), scales_of(other_scales, group)
            for k in range(group, group + GROUP):
                a = _more(a, x + 4 * k, read(panel, k, shared))
                b = _more(b, x + 4 * k, read(other, k, other_shared))
        if whole < count:
            shared, other_shared = scales_of(scales, whole), scales_of(other_scales, whole)
            for k in range(whole, count):
                a = _more(a, x + 4 * k, read(panel, k, shared))
                b = _more(b, x + 4 * k, read(other, k, other_shared))
        _store_four(y, a, b, residual)

    return one


@compiled
def _no_scales(address, group):
    return simd.zero()


@compiled
def _read_fp32(panel, k, shared):
    simd.prefetch(panel + 64 * (k + 24))  # else the processor, which follows rows of lines by itself, waits at each 4 KiB
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
    at, shift = panel + k // 8 * 64, k % 8 * 4  # 32 bits have eight columns of a row, the first in the lowest four
    w0, w1 = simd.load_int4(at, shift), simd.load_int4(at + 32, shift)
    return fma(w0, scales[0], least[0]), fma(w1, scales[1], least[1])


_six_fp32, _one_fp32 = _six("fp32", _no_scales, _read_fp32), _one("fp32", _no_scales, _read_fp32)


@compiled
def wide_product(x, panels, count, start, y):
    """y = start + x times the four panels at these addresses in fp32, for one row."""
    p, q, r, s = panels
    a, b, c, d = _load_two(start), _load_two(start + 64), _load_two(start + 128), _load_two(start + 192)
    for k in range(count):
        a, b = _more(a, x + 4 * k, _read_fp32(p, k, 0)), _more(b, x + 4 * k, _read_fp32(q, k, 0))
        c, d = _more(c, x + 4 * k, _read_fp32(r, k, 0)), _more(d, x + 4 * k, _read_fp32(s, k, 0))
    _store_four(y, a, b, 0)
    _store_four(y + 128, c, d, 0)


@compiled
def product(x, panel, count, start, y, rows):
    """y = start + x times a pair of panels in fp32, for one row or up to six, of which there must be room. x, start, y:
    address and bytes from row to row; panel: address and bytes from the first to the second."""
    if rows == 1:
        _one_fp32(x[0], (panel[0], 0, panel[0] + panel[1], 0), count, start[0], y[0], 0)
    else:
        _six_fp32(x, (panel[0], 0), count, start, y, 0)
        _six_fp32(x, (panel[0] + panel[1], 0), count, (start[0] + 64, start[1]), (y[0] + 64, y[1]), 0)


def _linear(form: str, scales_of: Any, read: Any) -> Any:
    six, two, one = (block(form, scales_of, read) for block in (_six, _two, _one))

    @compiled_for(form)
    def linear(op, rows, panel_bytes, scale_bytes):
        """y = bias + x weight^T (+ residual); see program.linear_op.

        Threads take shares of the panels as they come to them, so that one that other work holds up delays the rest little.
        """
        x, x_step, weight, scales, bias = word(op, 2), word(op, 3), word(op, 4), word(op, 5), word(op, 6)
        y, y_step, residual, columns, pairs = word(op, 7), word(op, 8), word(op, 9), word(op, 10), word(op, 11)
        last, share = rows % SIX, 1 + pairs // (_SHARES * simd.threads())
        index = end = 0
        while True:
            if index == end:
                index = simd.claim(op + 8 * CLAIMED, share)
                end = min(index + share, pairs)
            if index >= pairs:
                break
            panel, scale = weight + 2 * index * panel_bytes, scales + 2 * index * scale_bytes
            pair, start = (panel, scale, panel + panel_bytes, scale + scale_bytes), bias + 4 * PAIR * index
            for first in range(0, rows if last > 2 else rows - last, SIX):
                row = max(0, min(first, rows - SIX))  # the last six may overlap those before
                at = row * y_step + 4 * PAIR * index
                here, more = x + row * x_step, residual + at if residual else 0
                six((here, x_step), pair[:2], columns, (start, 0), (y + at, y_step), more)
                six((here, x_step), pair[2:], columns, (start + 64, 0), (y + at + 64, y_step), more + 64 if more else 0)
            at = (rows - last) * y_step + 4 * PAIR * index
            here, more = x + (rows - last) * x_step, residual + at if residual else 0
            if last == 2:
                two((here, x_step), pair, columns, start, (y + at, y_step), more)
            elif last == 1:
                one(here, pair, columns, start, y + at, more)
            index += 1

    return linear


_linear_fp32 = _linear("fp32", _no_scales, _read_fp32)
_linear_bf16 = _linear("bf16", _no_scales, _read_bf16)
_linear_int8 = _linear("int8", _scales_int8, _read_int8)
_linear_int4 = _linear("int4", _scales_int4, _read_int4)


@compiled
def linear_fp32(op, rows):
    """See _linear."""
    _linear_fp32(op, rows, 64 * word(op, 10), 0)


@compiled
def linear_bf16(op, rows):
    """See _linear."""
    _linear_bf16(op, rows, 32 * word(op, 10), 0)


@compiled
def linear_int8(op, rows):
    """See _linear."""
    _linear_int8(op, rows, 16 * word(op, 10), (word(op, 10) + GROUP - 1) // GROUP * 32)


@compiled
def linear_int4(op, rows):
    """See _linear."""
    _linear_int4(op, rows, (word(op, 10) + 7) // 8 * 64, (word(op, 10) + GROUP - 1) // GROUP * 64)

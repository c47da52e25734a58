"""Lists of computations that all threads do at one go.

A step of decoding is a few hundred small computations. Called one by one from Python they would take as long as reading all
weights in int8 does. So they are written down, sixteen whole numbers each, most of them addresses, and one call does them
all; the threads meet after each that the next one needs.
"""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from genus.engine.kernels import product, simd
from genus.engine.kernels.attention import attend
from genus.engine.kernels.pointwise import ACTIVATIONS, activate, gather, norm, rotate
from genus.engine.kernels.product import CLAIMED, compiled_for
from genus.engine.kernels.simd import word

__all__ = ["At", "Format", "Op", "activate_op", "attend_op", "gather_op", "linear_op", "norm_op", "rotate_op", "run"]

Format = Literal["fp32", "bf16", "int8", "int4"]
At = tuple[int, int]
"""Some rows: address, and bytes from row to row."""
Op = list[int]
"""A computation: its kind, whether threads wait for each other after it, and what its kernel reads, in that order."""
_WORDS = CLAIMED + 1  # the last counts what threads have taken of it
_LINEAR, _NORM, _ROTATE, _ATTEND, _ACTIVATE, _GATHER = range(6)


def linear_op(x: At, weight: tuple[int, int, int], y: At, shape: tuple[int, int], residual: int = 0) -> Op:
    """y = bias + x weight^T (+ residual, which has y's bytes from row to row). weight: addresses of panels, scales, bias;
    shape: columns, pairs of panels. y must not be x or the residual, and where there are 3 to 5 rows, all must have room for
    6."""
    return [_LINEAR, 1, *x, *weight, *y, residual, *shape]


def norm_op(x: At, y: At, numbers: tuple[int, int, int], shape: tuple[int, int], centred: bool) -> Op:
    """Layer norm, or the root mean square's where not `centred`, of the parts of each row; numbers: addresses of gain or 0,
    bias or 0, epsilon; shape: width of a part, parts."""
    return [_NORM, 1, *x, *y, *numbers[:2], *shape, int(centred), numbers[2]]


def rotate_op(x: At, heads: int, head_dim: int, half: int, neighbours: bool) -> Op:
    """Turn `half` pairs of numbers of each head in place, by the angles of the step."""
    return [_ROTATE, 1, *x, heads, head_dim, half, int(neighbours)]


def attend_op(q: At, kv: tuple[int, int, int], out: At, cache: tuple[int, int], sinks: int, group: int) -> Op:
    """Attention of the step's rows over a layer's pages; kv: addresses of keys and values, bytes from row to row of each;
    cache: addresses of the pages' keys and values."""
    k, v, step = kv
    return [_ATTEND, 1, *q, k, step, v, *out, *cache, sinks, group]


def activate_op(up: int, gate: int, row: tuple[int, int], kind: str, clamp: int = 0, shift: int = 0) -> Op:
    """up = act(up), or act(gate) (up + shift); row: bytes from row to row, vectors in it."""
    return [_ACTIVATE, 1, up, gate, *row, ACTIVATIONS.index(kind), clamp, shift]


def gather_op(y: At, table: At, width: int, index: int, added: bool = False) -> Op:
    """y = the rows of a table that are named at the address in word `index` of the step, or y + them."""
    return [_GATHER, 1, *y, *table, width, index, int(added)]


def _program(form: Format, linear: Any) -> Any:
    @compiled_for(form)
    def program(words):
        rows, step = word(words, 2), word(words, 3)
        for index in range(word(words, 1)):
            op = word(words, 0) + 8 * _WORDS * index
            kind = word(op, 0)
            if kind == _LINEAR:
                linear(op, rows)
            elif kind == _NORM:
                norm(op, rows)
            elif kind == _ROTATE:
                rotate(op, step, rows)
            elif kind == _ATTEND:
                attend(op, step, rows)
            elif kind == _ACTIVATE:
                activate(op, rows)
            else:
                gather(op, step, rows)
            if word(op, 1):
                simd.barrier()

    return program


_program_fp32 = _program("fp32", product.linear_fp32)
_program_bf16 = _program("bf16", product.linear_bf16)
_program_int8 = _program("int8", product.linear_int8)
_program_int4 = _program("int4", product.linear_int4)


def program_fp32(words):
    """All matrices in fp32."""
    _program_fp32(words)


def program_bf16(words):
    """All matrices in bf16."""
    _program_bf16(words)


def program_int8(words):
    """All matrices in int8."""
    _program_int8(words)


def program_int4(words):
    """All matrices in int4."""
    _program_int4(words)


_PROGRAMS: dict[Format, Callable[[int], None]] = {
    "fp32": program_fp32,
    "bf16": program_bf16,
    "int8": program_int8,
    "int4": program_int4,
}
# Numba keeps what it compiled under the function's name and looks at this file's date alone: the name stands for all files.
_VERSION = zlib.crc32(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
for _kernel in _PROGRAMS.values():
    _kernel.__qualname__ += f"_{_VERSION:08x}"


def table(ops: Sequence[Op]) -> "np.ndarray[Any, Any]":
    """Computations as a kernel reads them."""
    found = np.zeros((len(ops), _WORDS), np.int64)
    for row, op in zip(found, ops, strict=True):
        row[: len(op)] = op
    return found


def run(form: Format, ops: "np.ndarray[Any, Any]", rows: int, step: int = 0) -> None:
    """Do computations for so many rows; `step` is the address of what changes from step to step, see engine/attending.py."""
    ops[:, CLAIMED] = 0
    simd.run(_PROGRAMS[form], ops.ctypes.data, len(ops), rows, step)

"""Vectors of eight floats in Numba's Python, and a way to run what is written with them on PyTorch's own threads.

Numba compiles loops of scalars well, and leaves to chance which become vector code. Here a vector is a type of its own, so
that a kernel says what it keeps in registers and in which order it sums. LLVM makes AVX2, AVX-512 or NEON of it. Addresses
are whole numbers, in bytes. A kernel is compiled when it is first used, in a second or so, and kept on disk for the next
process.

PyTorch's threads wait by spinning, so threads of our own beside them would cost both half of their time. Kernels therefore
run inside of PyTorch's OpenMP library, whose functions they find by name.
"""

import contextlib
import ctypes
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import torch
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from genus.core.progress import say

WIDTH = 8
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)


class _Vector(types.Type):
    """Eight floats."""


_vector = _Vector(name="vector")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


def _floats(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [value] * WIDTH)


def _ints(value: int) -> ir.Constant:
    return ir.Constant(_INTS, [value] * WIDTH)


def _at(builder: Any, address: Any, kind: Any, align: int) -> Any:
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = align
    return value


def _spread(builder: Any, value: Any) -> Any:
    nothing = ir.Constant(_FLOATS, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(nothing, value, ir.Constant(_INT, 0)), nothing, _ints(0))


def _call(builder: Any, name: str, *values: Any) -> Any:
    kind = ir.FunctionType(values[0].type, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def _raw(make: Callable[[Any, Any], Any], result: Any, *arguments: Any) -> Any:
    return result(*arguments), lambda context, builder, signature, values: make(builder, values)


@intrinsic
def load(typing: Any, address: Any) -> Any:
    """Eight floats."""
    return _raw(lambda b, v: _at(b, v[0], _FLOATS, 4), _vector, types.int64)


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """Ask for a line of memory that is needed soon."""

    def make(context: Any, b: Any, signature: Any, v: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), _INT, _INT, _INT])
        function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
        b.call(function, [b.inttoptr(v[0], ir.IntType(8).as_pointer()), *(ir.Constant(_INT, each) for each in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(types.int64), make


@intrinsic
def claim(typing: Any, address: Any, count: Any) -> Any:
    """Add to a whole number that all threads see, and give what it was: who asks next gets the next share of work."""

    def make(b: Any, v: Any) -> Any:
        return b.atomic_rmw("add", b.inttoptr(v[0], ir.IntType(64).as_pointer()), v[1], "monotonic")

    return _raw(make, types.int64, types.int64, types.int64)


@intrinsic
def load_bf16(typing: Any, address: Any) -> Any:
    """Eight bf16, the upper halves of floats."""

    def make(b: Any, v: Any) -> Any:
        halves = b.zext(_at(b, v[0], ir.VectorType(ir.IntType(16), WIDTH), 2), _INTS)
        return b.bitcast(b.shl(halves, _ints(16)), _FLOATS)

    return _raw(make, _vector, types.int64)


@intrinsic
def load_int8(typing: Any, address: Any) -> Any:
    """Eight signed bytes."""

    def make(b: Any, v: Any) -> Any:
        return b.sitofp(b.sext(_at(b, v[0], ir.VectorType(ir.IntType(8), WIDTH), 1), _INTS), _FLOATS)

    return _raw(make, _vector, types.int64)


@intrinsic
def load_int4(typing: Any, address: Any, shift: Any) -> Any:
    """Four bits, from `shift` on, of each of eight words of 32: from 0 to 15."""

    def make(b: Any, v: Any) -> Any:
        nothing, shift = ir.Constant(_INTS, ir.Undefined), b.trunc(v[1], _INT)
        shifts = b.shuffle_vector(b.insert_element(nothing, shift, ir.Constant(_INT, 0)), nothing, _ints(0))
        return b.sitofp(b.and_(b.lshr(_at(b, v[0], _INTS, 4), shifts), _ints(15)), _FLOATS)

    return _raw(make, _vector, types.int64, types.int64)


@intrinsic
def splat(typing: Any, address: Any) -> Any:
    """One float, eight times."""
    return _raw(lambda b, v: _spread(b, _at(b, v[0], _FLOAT, 4)), _vector, types.int64)


@intrinsic
def spread(typing: Any, value: Any) -> Any:
    """A number, eight times."""
    return _raw(lambda b, v: _spread(b, v[0]), _vector, types.float32)


@intrinsic
def zero(typing: Any) -> Any:
    """Eight zeros."""
    return _raw(lambda b, v: _floats(0.0), _vector)


def _of_two(name: str, text: str) -> Any:
    """A function of two vectors."""

    @intrinsic
    def function(typing: Any, x: Any, y: Any) -> Any:
        def make(b: Any, v: Any) -> Any:
            if name in ("<", ">"):
                return b.select(b.fcmp_ordered(name, *v), *v)
            return getattr(b, name)(*v)

        return _raw(make, _vector, _vector, _vector)

    function.__doc__ = text
    return function


add = _of_two("fadd", "x + y.")
sub = _of_two("fsub", "x - y.")
mul = _of_two("fmul", "x * y.")
div = _of_two("fdiv", "x / y.")
maximum = _of_two(">", "The greater of each pair; y where one is NaN.")
minimum = _of_two("<", "The less of each pair; y where one is NaN.")


@intrinsic
def choose(typing: Any, sign: Any, x: Any, y: Any) -> Any:
    """x where the sign is below 0, else y."""
    return _raw(
        lambda b, v: b.select(b.fcmp_ordered("<", v[0], _floats(0.0)), v[1], v[2]), _vector, _vector, _vector, _vector
    )


@intrinsic
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return _raw(lambda b, v: _call(b, "llvm.fma.v8f32", *v), _vector, _vector, _vector, _vector)


@intrinsic
def exp(typing: Any, x: Any) -> Any:
    """e^x of what is at most 0, within 2 units in the last place; exactly 0 below -87."""

    def make(b: Any, v: Any) -> Any:
        def fused(x: Any, y: float, z: Any) -> Any:
            return _call(b, "llvm.fma.v8f32", x, _floats(y), z)

        # x = n ln 2 + r, |r| <= ln 2 / 2; adding 1.5 * 2^23 leaves n, rounded, in the lowest bits
        shifted = fused(v[0], 1.4426950408889634, _floats(12582912.0))
        n = b.fsub(shifted, _floats(12582912.0))
        r = fused(n, 2.12194440e-4, fused(n, -0.693359375, v[0]))  # ln 2 in two parts: n times the first is exact
        power = _floats(1 / 5040)
        for term in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
            power = _call(b, "llvm.fma.v8f32", power, r, _floats(term))
        two_to_n = b.bitcast(b.add(b.shl(b.bitcast(shifted, _INTS), _ints(23)), _ints(0x3F800000)), _FLOATS)
        return b.select(b.fcmp_ordered("<", v[0], _floats(-87.0)), _floats(0.0), b.fmul(power, two_to_n))

    return _raw(make, _vector, _vector)


@intrinsic
def lane(typing: Any, x: Any, index: Any) -> Any:
    """One of the eight."""
    return _raw(lambda b, v: b.extract_element(v[0], b.trunc(v[1], _INT)), types.float32, _vector, types.int64)


@intrinsic
def total(typing: Any, x: Any) -> Any:
    """The sum of the eight, from the first to the last."""

    def make(b: Any, v: Any) -> Any:
        found = b.extract_element(v[0], ir.Constant(_INT, 0))
        for index in range(1, WIDTH):
            found = b.fadd(found, b.extract_element(v[0], ir.Constant(_INT, index)))
        return found

    return _raw(make, types.float32, _vector)


@intrinsic
def store(typing: Any, address: Any, x: Any) -> Any:
    """Write eight floats."""

    def make(context: Any, b: Any, signature: Any, v: Any) -> Any:
        b.store(v[1], b.inttoptr(v[0], _FLOATS.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(types.int64, _vector), make


@intrinsic
def put(typing: Any, address: Any, x: Any) -> Any:
    """Write one float."""

    def make(context: Any, b: Any, signature: Any, v: Any) -> Any:
        b.store(v[1], b.inttoptr(v[0], _FLOAT.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), make


@intrinsic
def get(typing: Any, address: Any) -> Any:
    """One float."""
    return _raw(lambda b, v: _at(b, v[0], _FLOAT, 4), types.float32, types.int64)


@intrinsic
def put_word(typing: Any, address: Any, x: Any) -> Any:
    """Write a whole number of 64 bits."""

    def make(context: Any, b: Any, signature: Any, v: Any) -> Any:
        b.store(v[1], b.inttoptr(v[0], ir.IntType(64).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), make


@intrinsic
def high(typing: Any, x: Any, y: Any) -> Any:
    """The upper 64 of the 128 bits of a product."""

    def make(b: Any, v: Any) -> Any:
        wide = ir.IntType(128)
        return b.trunc(b.lshr(b.mul(b.zext(v[0], wide), b.zext(v[1], wide)), ir.Constant(wide, 64)), ir.IntType(64))

    return _raw(make, types.uint64, types.uint64, types.uint64)


@intrinsic
def word(typing: Any, address: Any, index: Any) -> Any:
    """The whole number of 64 bits at `index` of those at an address."""

    def make(b: Any, v: Any) -> Any:
        return b.load(b.gep(b.inttoptr(v[0], ir.IntType(64).as_pointer()), [v[1]]))

    return _raw(make, types.int64, types.int64, types.int64)


def _asks(name: str) -> Any:
    """A function of OpenMP without arguments, as one of Numba."""

    @intrinsic
    def ask(typing: Any) -> Any:
        def make(b: Any, v: Any) -> Any:
            return b.sext(
                b.call(cgutils.get_or_insert_function(b.module, ir.FunctionType(_INT, []), name), []), ir.IntType(64)
            )

        return _raw(make, types.int64)

    return ask


thread = _asks("genus_thread")
threads = _asks("genus_threads")
barrier = _asks("genus_barrier")


def _library() -> Any:
    """PyTorch's OpenMP library, which is there since PyTorch is; None where it has no GOMP_parallel, as on macOS."""
    folder = Path(torch.__file__).parent / "lib"
    for path in (None, *(path for kind in ("libgomp", "libiomp5", "libomp") for path in folder.glob(f"{kind}*.so*"))):
        with contextlib.suppress(OSError, TypeError):
            library = ctypes.CDLL(None if path is None else str(path))
            if hasattr(library, "GOMP_parallel"):
                return library
    return None


@cache
def _openmp() -> tuple[Callable[[int, Any, int, int], None], list[Any]]:
    """What runs a kernel at an address on so many threads, and what must stay: kernels know three functions by name."""
    library = _library()
    parallel: Any
    if library is None:
        functions = [ctypes.CFUNCTYPE(ctypes.c_int)(lambda value=value: value) for value in (0, 1, 0)]

        def parallel(kernel: int, words: Any, threads: int, flags: int) -> None:
            ctypes.CFUNCTYPE(None, ctypes.c_int64)(kernel)(ctypes.addressof(words))

    else:
        functions = [library.omp_get_thread_num, library.omp_get_num_threads, library.GOMP_barrier]
        parallel = library.GOMP_parallel
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
    for name, function in zip(("genus_thread", "genus_threads", "genus_barrier"), functions, strict=True):
        binding.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
    return parallel, functions


@cache
def _compiled(kernel: Callable[[int], None]) -> Any:
    _openmp()
    patience = threading.Timer(2, say, ["compiling the engine's kernels for this machine: some 15 s, once"])
    patience.start()
    try:
        return numba.cfunc(types.void(types.int64), cache=True)(kernel)
    finally:
        patience.cancel()


def run(kernel: Callable[[int], None], *words: int) -> None:
    """Run a kernel, a function of one address at which it finds `words`, on all of PyTorch's threads at once."""
    _openmp()[0](_compiled(kernel).address, (ctypes.c_int64 * len(words))(*words), torch.get_num_threads(), 0)

"""Read a GGUF file (llama.cpp's form): metadata and tensors, each dequantised when it is asked for.

The header is read here and not by the gguf package, whose reader trusts the counts in it and keeps an array object for each
word of the vocabulary; that package knows the quantised forms. Not here: what names mean (families/gguf.py).
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from genus.core.errors import GenusError

__all__ = ["GgufFile"]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_VERSIONS = (2, 3)
_BLOCK_ROWS = 4096  # dequantised at once; the package's steps need several times the memory of their result


@dataclass(frozen=True)
class _Place:
    """Bytes `start` to `stop` of the file hold rows of `row` bytes each, in the quantised form `kind`."""

    shape: tuple[int, ...]
    kind: int
    start: int
    stop: int
    row: int


class GgufFile:
    """An open file. `metadata` maps keys to numbers, texts, and lists or arrays of them; `shapes` tensors to theirs.

    Raises GenusError for a file that is cut short or whose header lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._at = 0
            self.metadata, self._places = self._header()
        except (OSError, ValueError, OverflowError, struct.error) as error:
            raise GenusError(f"{path} is not a whole GGUF file ({error}); download it again") from error
        self.shapes = {name: place.shape for name, place in self._places.items()}

    def kind(self, name: str) -> str:
        """The quantised form of a tensor, such as "Q4_1"."""
        from gguf.constants import GGMLQuantizationType

        return GGMLQuantizationType(self._places[name].kind).name

    def read(self, name: str) -> np.ndarray:
        """A tensor in fp32. Raises GenusError for a quantised form that the gguf package cannot read."""
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import dequantize

        place = self._places[name]
        raw = np.frombuffer(self._map, np.uint8, place.stop - place.start, place.start).reshape(-1, place.row)
        out = np.empty((len(raw), place.shape[-1]), np.float32)
        for row in range(0, len(raw), _BLOCK_ROWS):
            try:
                out[row : row + _BLOCK_ROWS] = dequantize(raw[row : row + _BLOCK_ROWS], GGMLQuantizationType(place.kind))
            except NotImplementedError as error:
                raise GenusError(
                    f"{self.path}: {name} is {self.kind(name)}; get the model in another quantisation"
                ) from error
        self._map.madvise(mmap.MADV_DONTNEED, place.start - place.start % mmap.PAGESIZE)  # its pages are not needed again
        return out.reshape(place.shape)

    def _header(self) -> tuple[dict[str, Any], dict[str, _Place]]:
        magic, version, tensors, keys = self._unpack("4sIQQ")
        if magic != b"GGUF" or version not in _VERSIONS:
            raise ValueError(f"it begins with {magic!r}, version {version}, not GGUF, version 2 or 3, little-endian")
        metadata: dict[str, Any] = {}
        for _ in range(keys):
            key = self._text()
            if key in metadata:
                raise ValueError(f"the key {key[:80]!a} is given twice")
            metadata[key] = self._value(self._unpack("I")[0])
        entries: dict[str, tuple[tuple[int, ...], int, int]] = {}
        for _ in range(tensors):
            name = self._text()
            if name in entries:
                raise ValueError(f"the tensor {name[:80]!a} is given twice")
            entries[name] = self._entry()
        step = metadata.get("general.alignment", 32)
        if not isinstance(step, int) or step < 8 or step & (step - 1):
            raise ValueError(f"its alignment is {step!r:.80}")
        start = -(-self._at // step) * step
        places = {name: _place(start, *entry) for name, entry in entries.items()}
        self._check_extents(places)
        return metadata, places

    def _check_extents(self, places: dict[str, _Place]) -> None:
        end = 0
        for name, place in sorted(places.items(), key=lambda item: item[1].start):
            if place.start < end or place.stop > len(self._map):
                where = "overlaps another tensor" if place.start < end else "ends outside the file"
                raise ValueError(f"the tensor {name[:80]!a} {where}")
            end = place.stop

    def _entry(self) -> tuple[tuple[int, ...], int, int]:
        """(shape, kind, offset) of a tensor; the file has the fastest dimension first."""
        (count,) = self._unpack("I")
        if not 1 <= count <= 4:
            raise ValueError(f"a tensor has {count} dimensions")
        shape = self._unpack(f"{count}Q")[::-1]
        kind, offset = self._unpack("IQ")
        return shape, kind, offset

    def _value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self._unpack(_SCALARS[kind])[0]
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            raise ValueError(f"a value has the unknown type {kind}")
        inner, count = self._unpack("IQ")
        if inner == _STRING:
            return [self._text() for _ in range(count)]  # each takes 8 bytes of the file, so a lying count ends soon
        if inner not in _SCALARS:
            raise ValueError(f"a list has values of type {inner}")
        dtype = np.dtype(_SCALARS[inner])
        return np.frombuffer(self._bytes(count * dtype.itemsize), dtype)

    def _text(self) -> str:
        return self._bytes(self._unpack("Q")[0]).decode("utf-8")

    def _bytes(self, count: int) -> bytes:
        found = self._map[self._at : self._at + count]
        if len(found) < count:
            raise ValueError("it ends in the middle of its header")
        self._at += count
        return found

    def _unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, self._bytes(struct.calcsize("<" + form)))


def _place(start: int, shape: tuple[int, ...], kind: int, offset: int) -> _Place:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    values, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    if shape[-1] % values or not prod(shape):
        raise ValueError(f"a tensor of shape {list(shape)} cannot be of form {GGMLQuantizationType(kind).name}")
    row = shape[-1] // values * size
    return _Place(shape, kind, start + offset, start + offset + prod(shape[:-1]) * row, row)

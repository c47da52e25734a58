"""The safetensors of a model folder, mapped into memory and not copied: a tensor is read, and checked, when it is asked for.

What is refused here is refused for every model: pickles, damaged files, paths out of the folder, strange names, NaN.
The safetensors library judges each file; the bytes are mapped here, because it cannot give pages back (see `release`).
"""

import json
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import read_json, unique_keys
from genus.models.mxfp4 import BLOCKS, SCALES, decode

__all__ = ["INDEX", "WEIGHTS", "StoredTensors", "open_tensors"]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True)
class _Slot:
    """Where a tensor lies: bytes `start` to `stop` of a mapped file."""

    path: Path
    map: mmap.mmap
    start: int
    stop: int
    dtype: str
    shape: list[int]


class StoredTensors:
    """Names and tensors of a folder."""

    def __init__(self, folder: Path, slots: dict[str, _Slot]) -> None:
        self.folder, self._slots = folder, slots
        packed = {name.removesuffix(BLOCKS) for name in slots if name.removesuffix(BLOCKS) + SCALES in slots}
        self.names = {*slots, *packed} - {packed_name + end for packed_name in packed for end in (BLOCKS, SCALES)}

    def read(self, name: str) -> Tensor:
        """One tensor, a private view of the mapped file that outlives this object: writing to it does not reach the file.

        Where the file has a tensor's MXFP4 blocks and scales in its place, they are decoded, to [..., in, out] in fp32.
        Raises GenusError naming it when it is not floating point, or not finite.
        """
        tensor = self._view(name, _FLOATS) if name in self._slots else self._decoded(name)
        # A sum is not finite when a term is not, and needs no memory; the exact question is for a sum that overflows.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise self.wrong(name, "holds NaN or infinity; take an earlier checkpoint")
        return tensor

    def _view(self, name: str, dtypes: dict[str, torch.dtype]) -> Tensor:
        slot = self._slots[name]
        if slot.dtype not in dtypes:
            raise self.wrong(name, f"is {slot.dtype}, not floating point; Genus reads unquantised weights and MXFP4")
        dtype = dtypes[slot.dtype]
        if slot.start == slot.stop:
            return torch.empty(slot.shape, dtype=dtype)
        raw = torch.frombuffer(slot.map, dtype=torch.uint8, count=slot.stop - slot.start, offset=slot.start)
        if slot.start % dtype.itemsize:  # a header that others wrote may end anywhere
            raw = raw.clone()
        return raw.view(dtype).view(slot.shape)

    def _decoded(self, name: str) -> Tensor:
        blocks, scales = (self._view(name + end, {"U8": torch.uint8}) for end in (BLOCKS, SCALES))
        if blocks.dim() != 4 or blocks.shape[-1] != 16 or blocks.shape[:-1] != scales.shape:
            shapes = f"{list(blocks.shape)} and {list(scales.shape)}"
            raise self.wrong(name, f"has blocks and scales of shapes {shapes}, which is not MXFP4; download it again")
        return decode(blocks, scales).mT

    def release(self, name: str) -> None:
        """Give the pages of a tensor back to the system, which reads them again where they are still used.

        So a folder can be checked in less memory than it fills. Not after writing to the tensor: that would be undone.
        """
        for slot in (self._slots[part] for part in (name, name + BLOCKS, name + SCALES) if part in self._slots):
            start = slot.start - slot.start % mmap.PAGESIZE
            if slot.start < slot.stop:
                slot.map.madvise(mmap.MADV_DONTNEED, start, slot.stop - start)

    def wrong(self, name: str, what: str) -> GenusError:
        """An error about one tensor of this folder."""
        return GenusError(f"{self.folder}: {_shown(name)} {what}")


@contextmanager
def open_tensors(folder: Path) -> Iterator[StoredTensors]:
    """Open all weight files of a folder. Raises GenusError naming the one that is not whole."""
    index = folder / INDEX
    places = _index_map(index) if index.is_file() else {}
    slots: dict[str, _Slot] = {}
    for path in _weight_files(folder, places):
        for name, slot in _open_file(path).items():
            if name in slots:
                raise GenusError(f"{folder}: {name} is in both {slots[name].path.name} and {path.name}; remove one")
            slots[name] = slot
    for name, file in places.items():
        if name not in slots or slots[name].path.name != file:
            raise GenusError(f"{index} says that {_shown(name)} is in {file}, which lacks it; copy the folder again")
    threads = torch.get_num_threads()
    # The checks wait for memory; on a busy machine threads would wait for each other, 10 times as long.
    torch.set_num_threads(1)
    try:
        yield StoredTensors(folder, slots)
    finally:
        torch.set_num_threads(threads)


def _open_file(path: Path) -> dict[str, _Slot]:
    try:
        with safe_open(path, framework="pt"):  # offsets, overlaps, sizes, types
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size), object_pairs_hook=unique_keys)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (SafetensorError, OSError, ValueError) as error:
        raise GenusError(f"{path} is not a whole safetensors file ({error}); copy or save it again") from error
    header.pop("__metadata__", None)
    strange = [name for name in header if not _NAME.fullmatch(name)]
    if strange:
        raise GenusError(f"{path} names a tensor {_shown(strange[0])}; names are up to 200 letters, digits and . _ -")
    return {name: _slot(path, mapped, 8 + size, entry) for name, entry in header.items()}


def _slot(path: Path, mapped: mmap.mmap, start: int, entry: dict[str, Any]) -> _Slot:
    first, last = entry["data_offsets"]
    return _Slot(path, mapped, start + first, start + last, entry["dtype"], entry["shape"])


def _weight_files(folder: Path, places: dict[str, str]) -> list[Path]:
    if places:
        names = sorted(set(places.values()))
        wrong = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
        if wrong:
            raise GenusError(
                f"{folder / INDEX} points outside its folder ({_shown(wrong[0])}); take it from its publisher again"
            )
        return [folder / name for name in names]
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise GenusError(
            f"{folder} holds {pickles[0]}, a pickle, which can run code when opened and is refused; "
            f"convert it with `genus import {folder} --out NEW_FOLDER`"
        )
    raise GenusError(f"{folder} has no {WEIGHTS}; name a folder that `genus` saved")


def _index_map(index: Path) -> dict[str, str]:
    content = read_json(index)
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found.values()):
        raise GenusError(f"{index} has no weight_map of names; take it from its publisher again")
    return found


def _shown(name: str) -> str:
    """A name that a stranger chose, fit for a terminal."""
    return name if _NAME.fullmatch(name) else ascii(name[:80])

"""Tensors of which each rank holds a part, as one safetensors file a rank, read back by any number of ranks.

A file says in its header where its parts lie in the whole; without that it holds whole tensors. PyTorch's distributed
checkpoint writes alike, but infers a tensor's shape from the parts that it finds, and so would not miss a file.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genus.core.errors import GenusError
from genus.parallel.mesh import Ranks, keeps, local, window_of

__all__ = ["Parts", "Stored", "file_name", "parts_of", "write_parts"]

_KEY = "genus.parts"


class Parts(NamedTuple):
    """What one rank writes: tensors by name, and of each that is not whole where it lies: "offset" and the "shape"."""

    tensors: dict[str, Tensor]
    places: dict[str, dict[str, list[int]]]


def file_name(stem: str, rank: int, world: int) -> str:
    """model.safetensors, or of several ranks model-00002-of-00004.safetensors."""
    return f"{stem}.safetensors" if world == 1 else f"{stem}-{rank + 1:05d}-of-{world:05d}.safetensors"


def parts_of(tensors: Mapping[str, Tensor], ranks: Ranks, copy: bool) -> Parts:
    """This rank's share of `tensors`; what several ranks hold alike is the first's. `copy` lets training go on meanwhile."""
    parts = Parts({}, {})
    for name, tensor in tensors.items():
        mine = local(tensor).detach()
        if not keeps(tensor, ranks) or 0 in mine.shape:
            continue
        parts.tensors[name] = _copied(mine) if copy else mine.contiguous()
        if mine.shape != tensor.shape:
            offset = [window.start for window in window_of(tensor)]
            parts.places[name] = {"offset": offset, "shape": list(tensor.shape)}
    if copy and torch.cuda.is_available():
        torch.cuda.synchronize()
    return parts


def write_parts(path: Path, parts: Parts) -> None:
    """Write a file; of a full disk, raise GenusError."""
    try:
        save_file(parts.tensors, path, {_KEY: json.dumps(parts.places)} if parts.places else None)
    except SafetensorError as error:  # a full disk arrives as this, not as OSError
        raise GenusError(f"{path.parent} could not be written ({error}); free space or choose another folder") from error


class Stored:
    """Tensors of a checkpoint's files, put together when they are asked for. Raises GenusError for files that disagree."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._stack, self._parts = ExitStack(), dict[str, list[_Part]]()
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in paths:
            try:
                self._index(path, self._stack.enter_context(safe_open(path, framework="pt")))
            except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
                raise GenusError(f"{path.name} cannot be read ({error})") from error

    def _index(self, path: Path, file: Any) -> None:
        places = json.loads((file.metadata() or {}).get(_KEY, "{}"))
        for name in file.keys():  # noqa: SIM118 - not a dictionary
            shape = tuple(file.get_slice(name).get_shape())
            place = places.get(name, {"offset": [0] * len(shape), "shape": shape})
            whole = tuple(place["shape"])
            if self.shapes.setdefault(name, whole) != whole:
                raise GenusError(f"{path.name} holds {name} in another shape than the files beside it")
            self._parts.setdefault(name, []).append(_Part(file, tuple(place["offset"]), shape))

    def read(self, name: str, window: tuple[slice, ...] = ()) -> Tensor:
        """A tensor, or what of it lies in `window`. Raises GenusError where some of that is in no file."""
        whole, parts = self.shapes[name], self._parts[name]
        wanted = [cut.indices(size)[:2] for cut, size in zip(window or (slice(None),) * len(whole), whole, strict=True)]
        if len(parts) == 1 and parts[0].shape == whole:
            return parts[0].file.get_slice(name)[window] if whole and window else parts[0].file.get_tensor(name)
        shape, filled = [stop - start for start, stop in wanted], 0
        found = torch.empty(shape, dtype=parts[0].file.get_slice(name)[:0].dtype)
        for part in parts:
            both = _overlap(wanted, part)
            if all(start < stop for start, stop in both):
                piece = part.file.get_slice(name)[_within(both, part.offset)]
                found[_within(both, [start for start, _ in wanted])] = piece
                filled += piece.numel()
        if filled != found.numel():
            raise GenusError(f"of {name} a part is in no file")
        return found


class _Part(NamedTuple):
    file: Any
    offset: tuple[int, ...]
    shape: tuple[int, ...]


_Ends = list[tuple[int, int]]  # of each dimension: from where to where


def _overlap(wanted: _Ends, part: _Part) -> _Ends:
    """What a wanted piece of a tensor and a stored part of it have in common; a start beyond its stop where nothing."""
    ends = zip(wanted, part.offset, part.shape, strict=True)
    return [(max(start, at), min(stop, at + size)) for (start, stop), at, size in ends]


def _within(ends: _Ends, offset: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(start - at, stop - at) for (start, stop), at in zip(ends, offset, strict=True))


def _copied(tensor: Tensor) -> Tensor:
    """In memory that the device can write to while it goes on computing."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
    return copy.copy_(tensor, non_blocking=True)

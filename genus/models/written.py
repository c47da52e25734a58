"""Weights written to a model folder one tensor at a time, so that no more than one is in memory beside the model.

The safetensors library writes a dictionary that holds them all. Its form is small: the length of a JSON header in 8 bytes,
the header padded with spaces, and the tensors' bytes one after another. What is written here is read by stored.py.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from genus.core.files import write_json
from genus.models.stored import INDEX, WEIGHTS

__all__ = ["Layout", "write_weights"]

Layout = Mapping[str, tuple[int, ...]]  # name -> shape, in the order of writing

_SHARD_BYTES = 5 * 10**9
_CODES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def write_weights(folder: Path, layout: Layout, tensors: Iterable[Tensor], dtype: torch.dtype) -> None:
    """Write `tensors`, which come in the order of `layout`, as model.safetensors, or above 5 GB as several with an index."""
    shards = list(_shards(layout, dtype))
    stream = iter(tensors)
    if len(shards) == 1:
        _write_file(folder / WEIGHTS, shards[0], stream, dtype)
        return
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_file(folder / file, shard, stream, dtype)
        places.update(dict.fromkeys(shard, file))
    total = sum(_bytes(shape, dtype) for shape in layout.values())
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})


def _shards(layout: Layout, dtype: torch.dtype) -> Iterator[Layout]:
    shard: dict[str, tuple[int, ...]] = {}
    size = 0
    for name, shape in layout.items():
        if shard and size + _bytes(shape, dtype) > _SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[name] = shape
        size += _bytes(shape, dtype)
    yield shard


def _write_file(path: Path, layout: Layout, stream: Iterator[Tensor], dtype: torch.dtype) -> None:
    with path.open("wb") as file:
        file.write(_header(layout, dtype))
        for name, shape in layout.items():
            tensor = next(stream).detach().to("cpu", dtype).contiguous()
            if tensor.shape != shape:
                raise ValueError(f"{name} has shape {list(tensor.shape)}, announced as {list(shape)}")
            file.write(tensor.flatten().view(torch.uint8).numpy().data)


def _header(layout: Layout, dtype: torch.dtype) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}  # as Hugging Face's own files say
    end = 0
    for name, shape in layout.items():
        start, end = end, end + _bytes(shape, dtype)
        entries[name] = {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)  # so that a mapped tensor starts where vector instructions like it
    return len(text).to_bytes(8, "little") + text


def _bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return torch.Size(shape).numel() * dtype.itemsize

"""The streaming writer beside the safetensors library, in both directions."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from genus.core.errors import GenusError
from genus.models import written
from genus.models.stored import open_tensors
from genus.models.written import write_weights

SHAPES = {"b": (3, 5), "a": (7,), "empty": (0, 4), "scalar": (), "c.d": (2, 3, 4)}


def tensors(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_library_reads_what_is_written(tmp_path, dtype):
    made = tensors(dtype)
    write_weights(tmp_path, SHAPES, iter(made.values()), dtype)
    again = load_file(tmp_path / "model.safetensors")
    assert again.keys() == made.keys()
    assert all(torch.equal(again[name], made[name]) and again[name].dtype == dtype for name in made)
    assert int.from_bytes((tmp_path / "model.safetensors").read_bytes()[:8], "little") % 64 == 56  # data begin at 64 n


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_what_the_library_writes_is_read(tmp_path, dtype):
    made = tensors(dtype)
    save_file(made, tmp_path / "model.safetensors")
    check_read(tmp_path, made)


def check_read(folder, made):
    with open_tensors(folder) as stored:
        assert stored.names == made.keys()
        for name in made:
            assert torch.equal(stored.read(name), made[name])
            stored.release(name)
            assert torch.equal(stored.read(name), made[name])


def test_reading_leaves_the_number_of_threads_alone(tmp_path):
    save_file({"a": torch.full((3,), float("nan"))}, tmp_path / "model.safetensors")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(GenusError, match="a holds NaN"), open_tensors(tmp_path) as stored:
            stored.read("a")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_tensors_at_odd_places(tmp_path):
    """Others' headers may end anywhere; a view of fp32 must not."""
    made = tensors(torch.float32)
    save_file(made, tmp_path / "library.safetensors")
    text = (tmp_path / "library.safetensors").read_bytes()
    size = int.from_bytes(text[:8], "little")
    odd = text[8 : 8 + size].rstrip() + b" " * 3
    odd += b" " * (len(odd) % 2 == 0)
    (tmp_path / "library.safetensors").unlink()
    (tmp_path / "model.safetensors").write_bytes(len(odd).to_bytes(8, "little") + odd + text[8 + size :])
    check_read(tmp_path, made)


def test_several_files_have_an_index(tmp_path, monkeypatch):
    monkeypatch.setattr(written, "_SHARD_BYTES", 100)
    made = tensors(torch.float32)
    write_weights(tmp_path, SHAPES, iter(made.values()), torch.float32)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in made.values())
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / file)[name], made[name])
    assert len(set(index["weight_map"].values())) == len(list(tmp_path.glob("*.safetensors"))) == 2
    check_read(tmp_path, made)


def test_a_tensor_that_was_announced_otherwise(tmp_path):
    with pytest.raises(ValueError, match=r"a has shape \[8\], announced as \[7\]"):
        write_weights(tmp_path, {"a": (7,)}, iter([torch.zeros(8)]), torch.float32)


def test_a_tensor_that_is_not_floating_point(tmp_path):
    save_file({"a": torch.zeros(3, dtype=torch.int8)}, tmp_path / "model.safetensors")
    with open_tensors(tmp_path) as stored, pytest.raises(GenusError, match="a is I8, not floating point"):
        stored.read("a")

"""The safetensors of a model folder, opened but not read: each tensor is read, and checked, when it is asked for.

What is refused here is refused for every model: pickles, damaged files, paths out of the folder, NaN.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import read_json

__all__ = ["StoredTensors", "open_tensors"]

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


class StoredTensors:
    """Names and tensors of a folder."""

    def __init__(self, folder: Path, files: dict[str, Any]) -> None:
        self.folder, self._files = folder, files
        self.names = set(files)

    def read(self, name: str) -> Tensor:
        """One tensor. Raises GenusError naming it when it is damaged, not floating point, or not finite."""
        try:
            tensor: Tensor = self._files[name].get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise self.wrong(name, f"cannot be read ({error}); copy or save the folder again") from error
        if not tensor.is_floating_point():
            raise self.wrong(name, f"is {tensor.dtype}, not floating point; Genus reads unquantised weights")
        if not torch.isfinite(tensor).all():
            raise self.wrong(name, "holds NaN or infinity; take an earlier checkpoint")
        return tensor

    def wrong(self, name: str, what: str) -> GenusError:
        """An error about one tensor of this folder."""
        return GenusError(f"{self.folder}: {name[:120]} {what}")


@contextmanager
def open_tensors(folder: Path) -> Iterator[StoredTensors]:
    """Open all weight files of a folder. Raises GenusError naming the one that is not whole."""
    with ExitStack() as stack:
        files: dict[str, Any] = {}
        for path in _weight_files(folder):
            try:
                file = stack.enter_context(safe_open(path, framework="pt"))
                files |= dict.fromkeys(file.keys(), file)
            except (SafetensorError, OSError) as error:
                raise GenusError(f"{path} is not a whole safetensors file ({error}); copy or save it again") from error
        yield StoredTensors(folder, files)


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_index_map(index).values()))
        wrong = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
        if wrong:
            raise GenusError(f"{index} points outside its folder ({wrong[0][:80]!r}); take it from its publisher again")
        return [folder / name for name in names]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise GenusError(
            f"{folder} holds {pickles[0]}, a pickle, which can run code when opened and is refused; "
            f"convert it with `genus import {folder} --out NEW_FOLDER`"
        )
    raise GenusError(f"{folder} has no model.safetensors; name a folder that `genus` saved")


def _index_map(index: Path) -> dict[str, str]:
    content = read_json(index)
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise GenusError(f"{index} has no weight_map of names; take it from its publisher again")
    return found

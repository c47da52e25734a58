"""Conversion of pickled weights (pytorch_model.bin) to safetensors, the only place where a pickle is opened.

It happens in a process of its own, with PyTorch's weights-only unpickler, which builds tensors and calls nothing else.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from genus.core.errors import GenusError
from genus.core.files import new_folder
from genus.models.weights import load_model

__all__ = ["convert"]

_KEPT = ("*.json", "*.txt", "*.model", "*.md", "LICENSE*")

_CONVERT = """
import sys, torch
from safetensors.torch import save_file
tensors = {}
for path in sys.argv[2:]:
    tensors |= torch.load(path, map_location="cpu", weights_only=True)
unique = {}
for name, tensor in tensors.items():
    unique[name] = tensor.clone().contiguous()
save_file(unique, sys.argv[1], metadata={"format": "pt"})
"""


def convert(source: Path, out: Path) -> None:
    """Write `source`'s model as a folder with safetensors, checked by loading it. Raises GenusError for what is unsafe."""
    pickles = sorted(source.glob("pytorch_model*.bin"))
    if not (source / "config.json").is_file():
        raise GenusError(f"{source} has no config.json; name a Hugging Face model folder")
    if not pickles:
        raise GenusError(f"{source} has no pytorch_model.bin to convert; folders with safetensors are used as they are")
    if out.exists():
        raise GenusError(f"{out} exists; choose another --out")
    with new_folder(out) as folder:
        command = [sys.executable, "-c", _CONVERT, str(folder / "model.safetensors"), *map(str, pickles)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
            raise GenusError(f"{pickles[0]} is not a plain file of weights ({reason}); get a safetensors version instead")
        for pattern in _KEPT:
            for path in source.glob(pattern):
                if not path.name.endswith(".index.json"):
                    shutil.copyfile(path, folder / path.name)
        load_model(folder)

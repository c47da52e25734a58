"""Conversion of pickled weights (pytorch_model.bin) to safetensors, the only place where a pickle is opened.

It happens in a process of its own, with PyTorch's weights-only unpickler, which builds tensors and calls nothing else.
"""

import subprocess
import sys
from pathlib import Path

from genus.core.errors import GenusError
from genus.core.memory import require_memory
from genus.models.stored import WEIGHTS

__all__ = ["convert", "pickles_of"]

_CONVERT = """
import sys, torch
from safetensors.torch import save_file
tensors = {}
for path in sys.argv[2:]:
    for name, tensor in torch.load(path, map_location="cpu", weights_only=True).items():
        if name in tensors:
            raise SystemExit(f"{name!a:.99} is in two files")
        tensors[name] = tensor.clone().contiguous()
save_file(tensors, sys.argv[1], metadata={"format": "pt"})
"""


def pickles_of(source: Path) -> list[Path]:
    """The pickled weights of a folder, of which there may be several shards."""
    return sorted(source.glob("pytorch_model*.bin"))


def convert(pickles: list[Path], folder: Path) -> None:
    """Write the tensors of `pickles` as model.safetensors into `folder`. Raises GenusError for what is more than tensors."""
    require_memory(2.0 * sum(path.stat().st_size for path in pickles), f"converting {pickles[0]}")
    # -P: a torch.py in the folder where the user stands is not imported
    command = [sys.executable, "-P", "-c", _CONVERT, str(folder / WEIGHTS), *map(str, pickles)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise GenusError(f"{pickles[0]} is not a plain file of weights ({reason[:200]}); get a safetensors version instead")

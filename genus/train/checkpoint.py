"""Checkpoints of a run: weights, optimizer, random state, data position, in safetensors and JSON, never pickle.

A checkpoint is a folder that appears at once (core.files.new_folder) and carries the SHA-256 of its files. Loading takes the
newest whole one and says aloud which broken ones it passed over.
"""

import contextlib
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import new_folder, read_json, sha256, write_json
from genus.core.progress import say
from genus.train.loop import TrainState

__all__ = ["load_newest", "remove_checkpoints", "save_checkpoint", "saved_steps"]

_FILES = ("model.safetensors", "optimizer.safetensors", "state.json")


def save_checkpoint(folder: Path, state: TrainState, extra: dict[str, Any], keep: int) -> Path:
    """Write folder/step-N and then remove all but the newest `keep`. `extra` is JSON, given back by `load_newest`."""
    path = folder / f"step-{state.step}"
    with new_folder(path) as partial:
        _save_tensors(dict(state.model.named_parameters()), partial / "model.safetensors")
        _save_tensors({**_optimizer_tensors(state), **_random_state()}, partial / "optimizer.safetensors")
        write_json(partial / "state.json", {"step": state.step, "guard": state.guard.state(), "extra": extra})
        write_json(partial / "sha256.json", {name: sha256(partial / name) for name in _FILES})
    remove_checkpoints(_checkpoints(folder)[keep:])
    return path


def remove_checkpoints(paths: list[Path]) -> None:
    """Remove checkpoints so that a kill leaves none of them torn."""
    for path in paths:
        removed = path.with_name(f".{path.name}.removed")
        path.rename(removed)
        shutil.rmtree(removed)


def _tidy(folder: Path) -> None:
    """After a kill: put back a checkpoint that was about to be replaced, and remove what was half written or removed."""
    for left in folder.glob(".step-*"):
        whole = left.with_name(left.stem.removeprefix("."))
        with contextlib.suppress(OSError):  # another rank was faster
            if left.suffix == ".old" and not whole.exists():
                left.rename(whole)
            elif left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


def load_newest(folder: Path, state: TrainState, latest: int | None = None) -> dict[str, Any] | None:
    """Put the newest whole checkpoint into `state` and give its `extra`; None when there is no checkpoint at all.

    Only those of step `latest` and before count, where it is given. Raises GenusError when there are checkpoints but none
    is whole.
    """
    if latest is None:
        _tidy(folder)
    paths = [path for path in _checkpoints(folder) if latest is None or _step(path) <= latest]
    for path in paths:
        try:
            return _load(path, state)
        except GenusError as error:
            say(f"passing over {path}: {error}")
    if paths:
        raise GenusError(f"no checkpoint in {folder} is whole; restore one from a copy, or start again with --restart")
    return None


def saved_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in `folder`, newest first."""
    return [_step(path) for path in _checkpoints(folder)]


def _checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _load(path: Path, state: TrainState) -> dict[str, Any]:
    sums = read_json(path / "sha256.json")
    for name in _FILES:
        if not (path / name).is_file() or sha256(path / name) != sums.get(name):
            raise GenusError(f"{name} is cut short or changed")
    weights, rest = _load_tensors(path / "model.safetensors"), _load_tensors(path / "optimizer.safetensors")
    parameters = dict(state.model.named_parameters())
    if weights.keys() != parameters.keys():
        raise GenusError("it is of another model")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    _restore_optimizer(state, rest)
    _restore_random_state(rest)
    saved = read_json(path / "state.json")
    state.step = saved["step"]
    state.guard.restore(saved["guard"])
    extra: dict[str, Any] = saved["extra"]
    return extra


def _optimizer_tensors(state: TrainState) -> dict[str, Tensor]:
    """AdamW's moments and step counts, under the parameters' names."""
    return {
        f"{key}/{name}": value
        for name, parameter in state.model.named_parameters()
        for key, value in state.optimizer.state[parameter].items()
    }


def _restore_optimizer(state: TrainState, tensors: dict[str, Tensor]) -> None:
    state.optimizer.state.clear()
    for name, parameter in state.model.named_parameters():
        found = {
            key.split("/", 1)[0]: value.to(parameter.device) for key, value in tensors.items() if key.endswith(f"/{name}")
        }
        if found:
            state.optimizer.state[parameter] = found


def _random_state() -> dict[str, Tensor]:
    random = {"random/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["random/cuda"] = torch.cuda.get_rng_state()
    return random


def _restore_random_state(tensors: dict[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random/cpu"])
    if "random/cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random/cuda"])


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:  # a full disk arrives as this, not as OSError
        raise GenusError(f"{path.parent} could not be written ({error}); free space or choose another folder") from error


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise GenusError(f"{path.name} cannot be read ({error})") from error

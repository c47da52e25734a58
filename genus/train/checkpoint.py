"""Checkpoints of a run: weights, optimizer, random state, data position, in safetensors and JSON, never pickle.

A checkpoint is a folder that appears at once (core.files.new_folder) and carries the SHA-256 of its files. Loading takes the
newest whole one and says aloud which broken ones it passed over. Of several ranks each writes and reads its own parts
(tensors.py), and another number of ranks may go on.
"""

import contextlib
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genus.core.errors import GenusError
from genus.core.files import new_folder, read_json, sha256, sync_file, write_json
from genus.core.progress import say
from genus.models.heads import LanguageModel
from genus.models.spec import DecoderSpec
from genus.models.weights import empty_model
from genus.parallel.mesh import Ranks, local, window_of
from genus.train.loop import TrainState
from genus.train.tensors import Parts, Stored, file_name, parts_of, write_parts

__all__ = ["Saver", "checkpoints", "load_newest", "remove_checkpoints", "save_checkpoint", "saved_steps", "stored_model"]

_STEMS = ("model", "optimizer")


@dataclass(frozen=True)
class _Moment:
    """All that one rank writes of a state, while training may go on."""

    files: dict[str, Parts]
    about: dict[str, Any]

    @classmethod
    def of(cls, state: TrainState, extra: dict[str, Any], copy: bool) -> "_Moment":
        optimizer, ranks = parts_of(_optimizer_tensors(state), state.ranks, copy), state.ranks
        optimizer.tensors.update(_random_state())  # each rank has its own
        model = parts_of(dict(state.model.named_parameters()), ranks, copy)
        about = {"step": state.step, "guard": state.guard.state(), "extra": extra, "layout": vars(ranks.layout)}
        return cls({"model": model, "optimizer": optimizer}, about)


def save_checkpoint(folder: Path, state: TrainState, extra: dict[str, Any], keep: int) -> Path:
    """Write folder/step-N and then remove all but the newest `keep`. `extra` is JSON, given back by `load_newest`."""
    return _write(folder, _Moment.of(state, extra, copy=False), keep, state.ranks)


class Saver:
    """Saves checkpoints in `folder`: a lone CPU at once, others in a thread, from a copy, while training goes on.

    `written(path, seconds)` is told of each that is there. At most one is under way; an error in the thread is raised by
    the next call of any method.
    """

    def __init__(self, folder: Path, written: Callable[[Path, float], None]) -> None:
        self.folder, self.written = folder, written
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(self, state: TrainState, extra: dict[str, Any], keep: int) -> None:
        """Save a state as it is now; see `save_checkpoint`."""
        self.wait()
        behind = state.ranks.many or torch.cuda.is_available()
        moment = _Moment.of(state, extra, copy=behind)
        if not behind:
            self._write(moment, keep, state.ranks)
            return
        self._thread = threading.Thread(target=self._try, args=(moment, keep, state.ranks), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the last one is there."""
        if self._thread is not None:
            self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what went wrong in the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def _try(self, moment: _Moment, keep: int, ranks: Ranks) -> None:
        try:
            self._write(moment, keep, ranks)
        except BaseException as error:
            self._error = error

    def _write(self, moment: _Moment, keep: int, ranks: Ranks) -> None:
        began = time.monotonic()
        path = _write(self.folder, moment, keep, ranks)
        self.written(path, time.monotonic() - began)


def _write(folder: Path, moment: _Moment, keep: int, ranks: Ranks) -> Path:
    path = folder / f"step-{moment.about['step']}"
    with _common_folder(path, ranks) as partial:
        problem = None
        try:
            _write_mine(partial, moment, ranks)
        except (GenusError, OSError) as error:
            problem = error
        if not ranks.all_wrote(problem is None):  # all are told, so that none waits for a rank that has failed
            raise problem or GenusError(f"{path} could not be written by every rank; free space or choose another folder")
        if ranks.first:
            sums = _sums(partial, ranks)
            write_json(partial / "state.json", moment.about)
            write_json(partial / "sha256.json", {**sums, "state.json": sha256(partial / "state.json")})
    if ranks.first:
        remove_checkpoints(checkpoints(folder)[keep:])
    return path


def _write_mine(partial: Path, moment: _Moment, ranks: Ranks) -> None:
    """This rank's files, and for the first rank their sums."""
    names = {stem: file_name(stem, ranks.rank, ranks.world) for stem in moment.files}
    for stem, parts in moment.files.items():
        write_parts(partial / names[stem], parts)
    if not ranks.first:  # whose own are flushed with the folder
        for name in names.values():
            sync_file(partial / name)
        write_json(partial / f"sums-{ranks.rank}.json", {name: sha256(partial / name) for name in names.values()})


def _sums(partial: Path, ranks: Ranks) -> dict[str, str]:
    """The SHA-256 of every rank's files, each computed where it was written."""
    sums = {name: sha256(partial / name) for stem in _STEMS if (name := file_name(stem, 0, ranks.world))}
    for rank in range(1, ranks.world):
        path = partial / f"sums-{rank}.json"
        sums |= read_json(path)
        path.unlink()
    return sums


@contextlib.contextmanager
def _common_folder(path: Path, ranks: Ranks) -> Iterator[Path]:
    """`new_folder`, made by the first rank for all; a rank that fails keeps the folder from appearing."""
    if ranks.first:
        with new_folder(path) as partial:
            ranks.all_wrote(True)  # the others may begin
            yield partial
        return
    ranks.all_wrote(True)
    yield path.with_name(f".{path.name}.partial")


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
    if latest is None and state.ranks.first:
        _tidy(folder)
    state.ranks.wait()  # for a tidy folder
    paths = [path for path in checkpoints(folder) if latest is None or _step(path) <= latest]
    for path in paths:
        problem = None
        try:
            _check(path, state.ranks)
            extra = _load(path, state)
        except GenusError as error:
            problem = error
        if not state.ranks.any(problem is not None):
            return extra
        say(f"passing over {path}: {problem or 'another rank cannot read it'}")
    if paths:
        raise GenusError(f"no checkpoint in {folder} is whole; restore one from a copy, or start again with --restart")
    return None


def saved_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in `folder`, newest first."""
    return [_step(path) for path in checkpoints(folder)]


def checkpoints(folder: Path) -> list[Path]:
    """The folders of a run's checkpoints, newest first."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def stored_model(path: Path, spec: DecoderSpec) -> LanguageModel:
    """The model of one checkpoint, however many ranks wrote it. Raises GenusError when it is not whole, or of another."""
    _check(path, Ranks())
    weights, model = _stored(path, "model"), empty_model(spec)
    _check_shapes(weights, model)
    model.load_state_dict({name: weights.read(name) for name in weights.shapes}, assign=True)
    return model


def _check(path: Path, ranks: Ranks) -> None:
    """Compare the files with their sums, each rank a share of them. Raises GenusError on all ranks alike."""
    sums: dict[str, str] = {"sha256.json": ""}
    with contextlib.suppress(GenusError, TypeError, ValueError):  # absent, or no object
        sums = dict(read_json(path / "sha256.json")) or sums
    names = sorted(sums)
    mine = range(ranks.rank, len(names), ranks.world)
    broken = [i for i in mine if not (path / names[i]).is_file() or sha256(path / names[i]) != sums[names[i]]]
    # as numbers: a rank that finds nothing wrong learns the name too
    found = ranks.total(torch.bincount(torch.tensor(broken, dtype=torch.long), minlength=len(names)))
    if found.any():
        raise GenusError(f"{names[int(found.argmax())]} is cut short or changed")


def _load(path: Path, state: TrainState) -> dict[str, Any]:
    saved = read_json(path / "state.json")
    weights, rest = _stored(path, "model"), _stored(path, "optimizer")
    parameters = dict(state.model.named_parameters())
    _check_shapes(weights, state.model)
    with torch.no_grad():
        for name, parameter in parameters.items():
            local(parameter).copy_(weights.read(name, window_of(parameter)))
    _restore_optimizer(state, rest)
    _restore_random_state(path, state.ranks, saved)
    state.step = saved["step"]
    state.guard.restore(saved["guard"])
    extra: dict[str, Any] = saved["extra"]
    return extra


def _check_shapes(weights: Stored, model: nn.Module) -> None:
    if weights.shapes != {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}:
        raise GenusError("it is of another model")


def _stored(path: Path, stem: str) -> Stored:
    return Stored(sorted(path.glob(f"{stem}*.safetensors")))


def _optimizer_tensors(state: TrainState) -> dict[str, Tensor]:
    """What the optimizer remembers (AdamW: moments and step counts), under the parameters' names."""
    return {
        f"{key}/{name}": value
        for name, parameter in state.model.named_parameters()
        for key, value in state.optimizer.state[parameter].items()
    }


def _restore_optimizer(state: TrainState, stored: Stored) -> None:
    state.optimizer.state.clear()
    parameters = dict(state.model.named_parameters())
    for key in stored.shapes:
        kind, _, name = key.partition("/")
        if name in parameters:
            state.optimizer.state[parameters[name]][kind] = _restored(stored, key, parameters[name])


def _restored(stored: Stored, key: str, parameter: Tensor) -> Tensor:
    """A tensor of the optimizer, cut up as its parameter is, or whole where it has another shape."""
    if stored.shapes[key] != tuple(parameter.shape):
        return stored.read(key).to(parameter.device)
    values = stored.read(key, window_of(parameter))
    tensor = torch.empty_like(parameter, dtype=values.dtype, requires_grad=False)
    local(tensor).copy_(values)
    return tensor


def _random_state() -> dict[str, Tensor]:
    random = {"random/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["random/cuda"] = torch.cuda.get_rng_state()
    return random


def _restore_random_state(path: Path, ranks: Ranks, saved: dict[str, Any]) -> None:
    """What this rank left. In another layout the ranks draw anew, from the step and their number."""
    if saved.get("layout", vars(Ranks().layout)) != vars(ranks.layout):
        torch.manual_seed(saved["step"] * 1_000_003 + ranks.rank)
        return
    mine = Stored([path / file_name("optimizer", ranks.rank, ranks.world)])
    torch.set_rng_state(mine.read("random/cpu"))
    if "random/cuda" in mine.shapes and torch.cuda.is_available():
        torch.cuda.set_rng_state(mine.read("random/cuda"))
